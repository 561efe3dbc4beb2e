package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// Load makes a set of policies, in the order in which they are asked. What a set that is still open uses already
// is shared: the same module is compiled once, and the same policy keeps its instances. If anything is wrong with
// any of them there is no set, and the error joins all problems, each beginning with the policy's name.
func (r *Runtime) Load(ctx context.Context, policies []Policy) (*Set, error) {
	r.loading.Lock()
	defer r.loading.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.closing, func() { cancel(ErrClosed) })()
	if r.isClosed() {
		return nil, ErrClosed
	}
	set := &Set{runtime: r}
	names := map[string]bool{}
	var errs []error
	for i := range policies {
		p := &policies[i]
		err := context.Cause(ctx)
		if err == nil && names[p.Name] {
			err = errors.New("there is another policy of this name")
		}
		names[p.Name] = true
		var b *binding
		if err == nil {
			b, err = r.bind(ctx, p)
		}
		if err != nil {
			errs = append(errs, about(p.Name, err)...)
			continue
		}
		set.add(b)
	}
	if len(errs) > 0 {
		r.drop(set.policies)
		return nil, errors.Join(errs...)
	}
	r.startShadows(set.policies)
	if err := r.cache.prune(r.current()); err != nil {
		r.log.Warn("old compiled policies were not removed", "error", err)
	}
	return set, nil
}

// current are the folders of the code that policies need, also those of sets that are about to be closed.
func (r *Runtime) current() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	folders := make(map[string]bool, len(r.modules))
	for key := range r.modules {
		folders[r.cache.folder(key)] = true
	}
	return folders
}

func (r *Runtime) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// about puts the policy's name before each of the problems that err joins.
func about(policy string, err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{fmt.Errorf("policy %q: %w", policy, err)}
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, about(policy, e)...)
	}
	return errs
}

// bind makes one policy ready to be asked.
func (r *Runtime) bind(ctx context.Context, policy *Policy) (*binding, error) {
	limits := policy.Limits.withDefaults()
	granted, grantErr := policy.Grants.compile()
	inputs, inputErr := compileInputs(policy.Inputs)
	if err := errors.Join(checkName(policy.Name), limits.check(), grantErr, inputErr, checkPercent(policy.Percent)); err != nil {
		return nil, err
	}
	key := poolKey{
		policy: policy.Name,
		module: moduleKey{wasm: sha256.Sum256(policy.Wasm), memory: limits.Memory &^ (pageSize - 1)},
		config: sha256.Sum256(policy.Config),
		script: sha256.Sum256(policy.Script),
		grants: fmt.Sprintf("%t %t %q", policy.Grants.Identities, policy.Grants.KV, policy.Grants.Inputs),
	}
	m, err := r.module(ctx, key.module, policy.Wasm)
	if err != nil {
		return nil, err
	}
	b := &binding{name: policy.Name, veto: policy.Veto, limits: limits, grants: granted, given: policy.Grants}
	b.reports = reporter{log: r.log, policy: policy.Name}
	b.observer, b.tracer, b.inputs, b.percent = r.observer, r.tracer, inputs, uint64(cmp.Or(policy.Percent, everybody))
	if policy.Shadow {
		b.shadow = newShadow(b)
	}
	if _, err = chooseHooks(policy, m.hooks); err == nil { // before an instance is made for nothing
		b.pool, err = r.pool(key, m, policy, limits)
	}
	if err == nil {
		if b.hooks, err = chooseHooks(policy, b.pool.served); err != nil {
			r.drop([]*binding{b})
			return nil, err
		}
	}
	if err != nil {
		r.mu.Lock()
		unused := r.releaseModule(m)
		r.mu.Unlock()
		unused.close(ctx)
		return nil, err
	}
	return b, nil
}

// checkName refuses names that would make identities ("policy:<name>/<id>") or log lines ambiguous.
func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.Contains(name, "/") || !isPrintable([]byte(name)) {
		return fmt.Errorf("the name must be 1 to %d printable bytes without a slash", maxName)
	}
	return nil
}

// chooseHooks says where a policy is asked.
func chooseHooks(policy *Policy, exported []abi.Hook) ([]abi.Hook, error) {
	hooks := exported
	var errs []error
	if len(policy.Hooks) > 0 {
		hooks = slices.Compact(slices.Sorted(slices.Values(policy.Hooks)))
		for _, h := range hooks {
			if !slices.Contains(exported, h) {
				errs = append(errs, fmt.Errorf("is bound to the hook %s, but does not serve it", h))
			}
		}
	}
	if policy.Veto && !slices.Contains(hooks, abi.Authenticate) {
		errs = append(errs, fmt.Errorf("veto works at the hook %s only, to which it is not bound", abi.Authenticate))
	}
	return hooks, errors.Join(errs...)
}

// module returns the compiled module for a key, with one more user.
func (r *Runtime) module(ctx context.Context, key moduleKey, wasm []byte) (*module, error) {
	r.mu.Lock()
	m := r.modules[key]
	if m != nil {
		m.users++
	}
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := r.newModule(ctx, key, wasm)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.users++
	r.modules[key] = m // nobody else made it meanwhile: sets are made one by one
	return m, nil
}

// pool returns the pool for a key, with one more user. The module's user passes to a new pool; an old one has its
// own, so that this one is given back.
func (r *Runtime) pool(key poolKey, m *module, policy *Policy, limits Limits) (*pool, error) {
	r.mu.Lock()
	p := r.pools[key]
	if p != nil {
		p.users++
		m.users--
	}
	r.mu.Unlock()
	if p != nil {
		p.newLimits(limits)
		return p, nil
	}
	p, err := newPool(r, key, m, policy)
	if err != nil {
		return nil, err
	}
	p.limits = limits
	r.mu.Lock()
	defer r.mu.Unlock()
	p.users++
	r.pools[key] = p
	return p, nil
}

// garbage is what nothing uses any more. It is closed after Runtime.mu has been let go, because closing waits for
// calls to end.
type garbage struct {
	pools   []*pool
	modules []*module
}

// drop gives back what bindings hold, and closes what nothing uses any more.
func (r *Runtime) drop(bindings []*binding) {
	r.mu.Lock()
	unused := r.release(bindings)
	r.mu.Unlock()
	unused.close(context.Background())
}

// release gives back what bindings hold. Runtime.mu is held.
func (r *Runtime) release(bindings []*binding) (g garbage) {
	for _, b := range bindings {
		p := b.pool
		if p.users--; p.users > 0 {
			continue
		}
		g.pools = append(g.pools, p)
		if r.pools[p.key] == p {
			delete(r.pools, p.key)
		}
		g.modules = append(g.modules, r.releaseModule(p.module).modules...)
	}
	return g
}

func (r *Runtime) releaseModule(m *module) (g garbage) {
	if m.users--; m.users > 0 {
		return g
	}
	if r.modules[m.key] == m {
		delete(r.modules, m.key)
	}
	return garbage{modules: []*module{m}}
}

// close closes pools before the modules that their instances are of.
func (g garbage) close(ctx context.Context) {
	for _, p := range g.pools {
		p.close()
	}
	for _, m := range g.modules {
		_ = m.close(ctx) // nothing of ours is open in it
	}
}
