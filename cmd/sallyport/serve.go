package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/spf13/cobra"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	config, data        string
	demo                bool
	logFormat, logLevel string
}

func newServe() *cobra.Command {
	var flags serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := newLog(c.ErrOrStderr(), flags.logFormat, flags.logLevel)
			if err != nil {
				return err
			}
			if flags.demo {
				return serveDemo(c.Context(), log, c.OutOrStdout())
			}
			return serve(c.Context(), log, flags.load, func(data, adm net.Addr) {
				log.Info("serving", "address", data.String(), "admin", adm.String(), "version", version)
			})
		},
	}
	addConfigFlag(c, &flags.config)
	f := c.Flags()
	f.StringVar(&flags.data, "data", "", "the data `folder`, in place of the configuration's")
	f.BoolVar(&flags.demo, "demo", false, "run with a demo provider and a fresh key; needs no configuration")
	f.StringVar(&flags.logFormat, "log-format", "text", "text or json")
	f.StringVar(&flags.logLevel, "log-level", "info", "debug, info, warn or error")
	c.MarkFlagsMutuallyExclusive("demo", "config")
	return c
}

// load loads the configuration as the flags say.
func (f *serveFlags) load() (*config.Snapshot, error) {
	c, err := loadConfig(f.config)
	if err != nil || f.data == "" {
		return c, err
	}
	moved := *c
	moved.Data, err = filepath.Abs(f.data)
	return &moved, err
}

// gcPercent is how much garbage there may be beside what is in use before it is collected. Requests leave little: beside
// the usual 100 it saves a quarter to a half of the resident memory under load, and costs a hundredth of the CPU time. Who
// sets GOGC or GOMEMLIMIT knows better.
const gcPercent = 50

func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// serve runs a gateway until ctx is done, and then lets what is under way come to its end. started is called when
// both listeners are open.
func serve(ctx context.Context, log *slog.Logger, load func() (*config.Snapshot, error), started func(data, adm net.Addr)) error {
	limitGarbage()
	h, err := openHouse(ctx, log, load)
	if err != nil {
		return err
	}
	// The parts outlive ctx: exchanges still need them while they drain.
	defer h.close(context.WithoutCancel(ctx))
	c := h.current.Load().config
	data, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	adm, err := net.Listen("tcp", c.Admin.Listen)
	if err != nil {
		return errors.Join(err, data.Close())
	}
	if c.Admin.Token == "" {
		log.Warn("the admin API is off: set admin.token to make keys while the gateway runs")
	}
	started(data.Addr(), adm.Addr())
	return h.run(ctx, data, adm)
}

// run serves both listeners until ctx is done or one of them fails.
func (h *house) run(ctx context.Context, data, adm net.Listener) error {
	running, stop := context.WithCancelCause(ctx)
	// The admin side outlives the data side, so that a drain can be watched.
	adminRunning, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAdmin()
	var all sync.WaitGroup
	part := func(what func() error) {
		all.Go(func() {
			if err := what(); err != nil {
				stop(err)
			}
		})
	}
	part(func() error { return h.gateway.Serve(data) })
	part(func() error { return serveHTTP(adminRunning, adm, admin.Handler(h.adminOptions())) })
	part(func() error { return h.watch(running) })
	part(func() error { return h.sweep(running) })
	part(func() error { return h.gateway.Probe(running) })
	<-running.Done()
	h.drain()
	stopAdmin()
	all.Wait()
	if cause := context.Cause(running); ctx.Err() == nil {
		return cause
	}
	return nil
}

// drain says that the gateway is not ready, waits for those in front of it to see that, accepts nothing more, and lets
// the exchanges under way come to their end. Those that take too long are told, and end.
func (h *house) drain() {
	h.draining.Store(true)
	d := h.configuration().Drain
	h.log.Info("shutting down", "accepting_for", d.Delay, "then_waiting_at_most", d.Timeout)
	if d.Delay > 0 {
		<-time.After(d.Delay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.Timeout)
	defer cancel()
	if err := h.gateway.Shutdown(ctx); err != nil {
		h.log.Warn("some exchanges were cut off", "error", err)
	}
}

// newLog returns the process's log.
func newLog(out io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q: use text or json", format)
}
