package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/alerts"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/gateway"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	"github.com/sallyport-dev/sallyport/idempotency"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/prune"
	"github.com/sallyport-dev/sallyport/kv"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/plugin/trace"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/sallyport-dev/sallyport/runtime"
	"github.com/sallyport-dev/sallyport/state"
)

// house is a gateway with all its parts, joined.
type house struct {
	log     *slog.Logger
	load    func() (*config.Snapshot, error)
	state   *state.State
	keys    *keyring
	alerts  *alerts.Sender
	ledger  *ledger.Ledger
	kv      *kv.KV
	runtime *runtime.Runtime
	trace   *trace.Writer
	tests   *selfTests
	metrics *admin.Metrics
	chains  *chainHealth

	idempotency *idempotency.Keys
	gateway     *gateway.Gateway
	seen        config.Seen // the configuration's files as they were before they were loaded
	current     atomic.Pointer[generation]
	draining    atomic.Bool
}

// generation is one generation of the configuration, as far as it has to be found again.
type generation struct {
	config   *config.Snapshot
	set      *runtime.Set
	snapshot *gateway.Snapshot
}

// openHouse builds the parts, each on those before it. What was opened is closed again if a later part fails.
func openHouse(ctx context.Context, log *slog.Logger, load func() (*config.Snapshot, error)) (_ *house, err error) {
	h := &house{log: log, load: load}
	defer func() {
		if err != nil {
			h.close(ctx)
		}
	}()
	first, err := load()
	if err != nil {
		return nil, err
	}
	h.seen = config.Look(first.Paths())
	if first, err = load(); err != nil { // with what was changed before it was looked; what is changed from now on, watch finds
		return nil, err
	}
	if h.state, err = state.Open(first.Data, stateOptions(first, log)); err != nil {
		return nil, err
	}
	if h.keys, err = newKeyring(h.state, h.configuration); err != nil {
		return nil, err
	}
	h.alerts = alerts.New(log, alertTarget(first))
	h.ledger, err = ledger.Open(ctx, ledger.Options{Store: h.state, Settings: ledgerSettings(first), Log: log, Alert: h.alerts.Give})
	if err != nil {
		return nil, fmt.Errorf("opening the ledger in %s: %w", first.Data, err)
	}
	h.metrics = admin.NewMetrics(version, func() float64 { return float64(h.state.Dropped()) }, time.Now)
	h.metrics.Watch(h.moneyFigures)
	h.chains = newChainHealth(log, h.metrics, h.configuration)
	if h.kv, err = kv.Open(ctx, kv.Options{Store: h.state, Log: log}); err != nil {
		return nil, fmt.Errorf("opening what policies remember in %s: %w", first.Data, err)
	}
	h.trace = trace.NewWriter(filepath.Join(first.Data, trace.Folder), traceSettings(first), log)
	h.metrics.WatchTrace(func() float64 { return float64(h.trace.Figures().Written) }, func() float64 { return float64(h.trace.Figures().Dropped) })
	h.runtime, err = runtime.New(ctx, runtime.Options{
		CacheDir: filepath.Join(first.Data, "policies"), Functions: h.functions(),
		Portable: extism.New(), Log: log, Observer: observer{h.metrics}, Shadows: shadows{h.metrics}, Tracer: h.trace, Compiler: compiler,
		CacheLimits: prune.Default(),
	})
	if err != nil {
		return nil, err
	}
	h.tests = &selfTests{dir: filepath.Join(first.Data, "policies"), compiler: compiler}
	v, err := h.prepare(ctx, first, nil)
	if err != nil {
		return nil, err
	}
	h.current.Store(v)
	pruneShared(first, log)
	h.idempotency = idempotency.New(idempotency.Options{Store: h.state})
	h.gateway = gateway.New(gateway.Parts{
		Log: log, Ledger: h.ledger, Recorder: recorder{h.state, h.metrics}, Idempotency: h.idempotency,
	}, v.snapshot)
	return h, nil
}

// functions are what guests may call.
func (h *house) functions() []runtime.Function {
	return hostfuncs.Functions(hostfuncs.Options{
		KV:    func(policy string) (hostfuncs.Namespace, error) { return h.kv.Namespace(policy) },
		Meter: h.metrics,
	})
}

// prepare makes a configuration ready to serve: policies compiled and tried, keys digested.
func (h *house) prepare(ctx context.Context, c *config.Snapshot, previous *gateway.Snapshot) (*generation, error) {
	directory, err := h.keys.directory(c)
	if err != nil {
		return nil, err
	}
	policies, err := readPolicies(ctx, c, h.log)
	if err == nil {
		err = checkManifests(c, policies)
	}
	if err != nil {
		return nil, err
	}
	set, err := h.runtime.Load(ctx, policies)
	if err != nil {
		return nil, err
	}
	if err := h.tests.run(ctx, policies); err != nil {
		set.Close()
		return nil, err
	}
	return &generation{c, set, gateway.NewSnapshot(c, set, directory, h.chains.tracker, previous, set.Close)}, nil
}

// reload takes the configuration in anew. A good one is swapped in whole; of a bad one the log tells every problem,
// and the old one keeps serving.
func (h *house) reload(ctx context.Context) {
	old := h.current.Load()
	c, err := h.load()
	if err == nil {
		var next *generation
		if next, err = h.prepare(ctx, c, old.snapshot); err == nil {
			h.current.Store(next)
			h.gateway.Swap(next.snapshot)
			h.ledger.Set(ledgerSettings(c))
			h.alerts.Set(alertTarget(c))
			h.trace.Set(traceSettings(c))
			h.warnFixed(old.config, c)
			pruneShared(c, h.log)
			h.log.Info("configuration changed", "file", c.File, "policies", policyNames(next.set))
			return
		}
	}
	if ctx.Err() != nil {
		return // the gateway ends, and nothing was refused
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			h.log.Error("configuration refused: the old one keeps serving", "problem", p.String())
		}
		return
	}
	h.log.Error("configuration refused: the old one keeps serving", "problem", err)
}

// warnFixed tells of changes that need a restart.
func (h *house) warnFixed(old, next *config.Snapshot) {
	if old.Listen != next.Listen || old.Admin != next.Admin || old.Data != next.Data ||
		old.RequestLog != next.RequestLog || old.Disk != next.Disk {
		h.log.Warn("listen, admin, data, request_log and disk take effect at the next start")
	}
}

func policyNames(set *runtime.Set) []string {
	var names []string
	for _, p := range set.Policies() {
		names = append(names, p.Name)
	}
	return names
}

// watch reloads when a file changes, until ctx is done.
func (h *house) watch(ctx context.Context) error {
	return config.Watch(ctx, h.seen, func() []string { return h.current.Load().config.Paths() }, func() { h.reload(ctx) })
}

// sweepInterval is how often expired idempotency keys are removed. They mean nothing long before.
const sweepInterval = 10 * time.Minute

// sweep removes what has expired, until ctx is done.
func (h *house) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := h.idempotency.Sweep(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("expired idempotency keys were not removed", "error", err)
			}
		}
	}
}

// adminOptions is what the admin listener serves.
func (h *house) adminOptions() admin.Options {
	return admin.Options{
		Token: h.current.Load().config.Admin.Token, Log: h.log, Metrics: h.metrics,
		Keys: h.keys, Teams: h.keys, Chains: h.chains, Books: admin.NewBooks(h.ledger, h.keys, h.keys), Backups: h.state,
		Records: records{h.state}, Policies: h.policies, Ready: h.ready,
	}
}

var errDraining = errors.New("shutting down")

func (h *house) ready() error {
	if h.draining.Load() {
		return errDraining
	}
	if h.configuration().Ledger.OnFailure == config.Unbudgeted {
		return nil // requests pass whatever the ledger's state; metrics tell of it
	}
	_, ledgerHealth := h.state.Health()
	return errors.Join(ledgerHealth, h.ledger.Available())
}

func (h *house) policies() []admin.Policy {
	var all []admin.Policy
	for _, p := range h.current.Load().set.Policies() {
		all = append(all, admin.Policy{Name: p.Name, Digest: p.Digest, Size: p.Size, Hooks: hookNames(p.Hooks), Veto: p.Veto})
	}
	return all
}

// configuration returns the one in force; nil before there is one.
func (h *house) configuration() *config.Snapshot {
	if v := h.current.Load(); v != nil {
		return v.config
	}
	return nil
}

// close closes the parts in reverse. The gateway has been shut down before.
func (h *house) close(ctx context.Context) {
	if h.runtime != nil {
		if err := h.runtime.Close(ctx); err != nil {
			h.log.Error("closing the policy runtime", "error", err)
		}
	}
	if h.trace != nil {
		h.trace.Close() // nothing is decided any more
	}
	if h.kv != nil {
		if err := h.kv.Close(); err != nil {
			h.log.Error("closing what policies remember", "error", err)
		}
	}
	if h.ledger != nil {
		if err := h.ledger.Close(); err != nil {
			h.log.Error("closing the ledger", "error", err)
		}
	}
	if h.alerts != nil {
		h.alerts.Close()
	}
	if h.state != nil {
		if err := h.state.Close(); err != nil {
			h.log.Error("closing the data folder", "error", err)
		}
	}
}

// recorder hands every record to the metrics and to the log.
type recorder struct {
	state   *state.State
	metrics *admin.Metrics
}

func (r recorder) Begin() { r.metrics.Begin() }

func (r recorder) Record(rec *record.Record) {
	r.metrics.Record(rec)
	r.state.Record(rec)
}

// observer hands what the runtime observes to the metrics.
type observer struct{ metrics *admin.Metrics }

func (o observer) HookDone(policy string, hook abi.Hook, took time.Duration, failure runtime.Failure) {
	reason := ""
	if failure != runtime.NoFailure {
		reason = failure.String()
	}
	o.metrics.HookDone(policy, hook, took, reason)
}

// PolicyOut implements runtime.Observer.
func (o observer) PolicyOut(policy string, hook abi.Hook, pause time.Duration) {
	o.metrics.PolicyOut(policy, hook, pause > 0)
}

// shadows hands how shadow policies compare to the metrics.
type shadows struct{ metrics *admin.Metrics }

// ShadowDone implements runtime.ShadowObserver.
func (s shadows) ShadowDone(policy string, hook abi.Hook, result runtime.ShadowResult) {
	s.metrics.ShadowDone(policy, hook, result.String())
}

// traceSettings say what is traced in this configuration. Traces stop with the request log before the disk is full.
func traceSettings(c *config.Snapshot) trace.Settings {
	return trace.Settings{Share: c.Trace.Share, MaxSize: c.Trace.MaxSize, MinFree: c.Disk.LogBelow}
}

// moneyFigures are read for each scrape of the metrics.
func (h *house) moneyFigures() admin.MoneyFigures {
	sent := h.alerts.Figures()
	logHealth, ledgerHealth := h.state.Health()
	return admin.MoneyFigures{
		Ledger: h.ledger.Figures(), AlertsGiven: sent.Given, AlertsSent: sent.Delivered, AlertsFailed: sent.Failed,
		LogPaused: logHealth != nil, LedgerPaused: ledgerHealth != nil,
	}
}

// stateOptions are the settings of the data folder in this configuration.
func stateOptions(c *config.Snapshot, log *slog.Logger) state.Options {
	o := state.Options{
		Log: log, Retention: c.RequestLog.Retention, MaxLogSize: c.RequestLog.MaxSize,
		MinFree: uint64(c.Disk.LogBelow), MinFreeLedger: uint64(c.Disk.LedgerBelow), Ballast: c.Disk.Ballast,
	}
	if o.Ballast == 0 {
		o.Ballast = -1 // none
	}
	return o
}

// alertTarget is where alerts go in this configuration.
func alertTarget(c *config.Snapshot) alerts.Target {
	return alerts.Target{URL: c.Alerts.Webhook, Secret: c.Alerts.Secret}
}

var (
	_ gateway.Policies   = (*runtime.Set)(nil)
	_ gateway.Identities = (*identity.Directory)(nil)
	_ gateway.Recorder   = recorder{}
	_ runtime.Observer   = observer{}

	_ runtime.ShadowObserver = shadows{}
	_ hostfuncs.Meter        = (*admin.Metrics)(nil)
)
