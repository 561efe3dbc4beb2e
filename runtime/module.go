package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// digest is a SHA-256.
type digest [sha256.Size]byte

// moduleKey says which policies share compiled code. The memory limit is part of it because wazero takes it when
// it compiles.
type moduleKey struct {
	wasm   digest
	memory int64
}

// pages is how many pages of memory an instance may have.
func (k moduleKey) pages() uint32 { return uint32(k.memory / pageSize) }

// module is a compiled guest, linked to its host functions. It has a wazero.Runtime and a compiler's cache of its own; so its
// imports are linked with the types that this guest declares, and closing it leaves nothing behind.
type module struct {
	key       moduleKey
	users     int // pools that hold it; guarded by Runtime.mu
	size      int // of the bytes as they were given
	cache     wazero.CompilationCache
	runtime   wazero.Runtime
	compiled  wazero.CompiledModule
	hooks     []abi.Hook // exported ones
	hasMemory bool
	portable  bool // it imports something of ModuleExtism
	stubbed   []string
}

// hookType and initializeType are the types of the exports that the host calls.
var (
	hookType       = fuel.FuncType{Results: fuel.I32}
	initializeType = fuel.FuncType{}
)

// newModule checks, meters, compiles and links a guest.
func (r *Runtime) newModule(ctx context.Context, key moduleKey, wasm []byte) (*module, error) {
	m, metered, plan, err := r.check(key, wasm)
	if err != nil {
		return nil, err
	}
	if r.compiler != nil {
		if err := r.compiler.compile(ctx, r.cache.folder(key), key.pages(), metered); err != nil {
			return nil, fmt.Errorf("compiling the module: %w", err)
		}
	}
	if m.cache, err = openCache(r.cache.folder(key)); err != nil {
		return nil, err
	}
	if err := m.build(ctx, r.config(m), metered, plan); err != nil {
		return nil, errors.Join(err, m.close(ctx))
	}
	return m, nil
}

// check finds out what a guest is and wants, before anything of it is compiled, and meters it.
func (r *Runtime) check(key moduleKey, wasm []byte) (*module, []byte, plan, error) {
	instrument := func() (*fuel.Module, error) { return fuel.Instrument(wasm, initFuel, fuel.DefaultLimits()) }
	if r.unmetered {
		instrument = func() (*fuel.Module, error) { return fuel.Unmetered(wasm, fuel.DefaultLimits()) }
	}
	metered, err := instrument()
	if err != nil {
		return nil, nil, plan{}, fmt.Errorf("checking the module: %w", err)
	}
	m := &module{key: key, size: len(wasm)}
	p, importErr := r.planImports(metered.Imports)
	if err := errors.Join(importErr, m.readExports(metered.Exports), checkMemory(metered.Memory, key.memory)); err != nil {
		return nil, nil, plan{}, err
	}
	m.stubbed, m.portable = p.stubbed, p.functions[ModuleExtism] != nil
	return m, metered.Binary, p, nil
}

// runtimeConfig is the same wherever a module is compiled: the cache finds what another process has compiled by it.
func runtimeConfig(cache wazero.CompilationCache, pages uint32) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCompilationCache(cache).WithMemoryLimitPages(pages)
}

// config is how a module is compiled, and run.
func (r *Runtime) config(m *module) wazero.RuntimeConfig {
	return runtimeConfig(m.cache, m.key.pages()).WithCloseOnContextDone(r.unmetered)
}

func (m *module) build(ctx context.Context, config wazero.RuntimeConfig, metered []byte, p plan) error {
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := link(ctx, m.runtime, p); err != nil {
		return err
	}
	var err error
	if m.compiled, err = compile(ctx, m.runtime, metered); err != nil {
		return fmt.Errorf("compiling the module: %w", err)
	}
	return nil
}

// compile guards against a compiler that panics on what it should have refused. It has to run on this goroutine
// for that, so wazero's parallel compilation stays off.
func compile(ctx context.Context, r wazero.Runtime, wasm []byte) (_ wazero.CompiledModule, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the compiler panicked: %v", v)
		}
	}()
	return r.CompileModule(ctx, wasm)
}

// readExports finds the hooks, and checks the types of everything that the host will call.
func (m *module) readExports(exports []fuel.ExportType) error {
	var errs []error
	for _, e := range exports {
		hook, isHook := abi.ParseHook(e.Name)
		want := hookType
		switch {
		case e.Name == abi.ExportMemory && e.Kind == fuel.Memory:
			m.hasMemory = true
			continue
		case e.Name == abi.ExportInitialize:
			want = initializeType
		case !isHook && e.Name != abi.ExportConfigure && e.Name != abi.ExportHooks:
			continue
		}
		switch {
		case e.Kind != fuel.Func:
			errs = append(errs, fmt.Errorf("exports %s as a %s, but it must be a function", e.Name, e.Kind))
		case e.Func != want:
			errs = append(errs, fmt.Errorf("exports %s as %s, but it must be %s", e.Name, e.Func, want))
		case isHook:
			m.hooks = append(m.hooks, hook)
		}
	}
	slices.Sort(m.hooks)
	switch {
	case len(m.hooks) == 0 && len(errs) == 0:
		errs = append(errs, noHooks(exports))
	case exported(exports, "_start") && !exported(exports, abi.ExportInitialize):
		errs = append(errs, errors.New("is a command, which would have to be run before its hooks can be called: "+asReactor))
	}
	return errors.Join(errs...)
}

// asReactor says what to do with a module that was built as a program.
const asReactor = "build it as a reactor (for Go: -buildmode=c-shared)"

func exported(exports []fuel.ExportType, name string) bool {
	return slices.ContainsFunc(exports, func(e fuel.ExportType) bool { return e.Name == name })
}

// noHooks says that a module is no policy, and what its author may have meant.
func noHooks(exports []fuel.ExportType) error {
	names := make([]string, 0, abi.NumHooks)
	for h := range abi.NumHooks {
		names = append(names, h.String())
	}
	hint := ""
	if exported(exports, "_start") {
		hint = "; it is a command: " + asReactor
	}
	return fmt.Errorf("exports no hook: a policy exports at least one of %s%s", strings.Join(names, ", "), hint)
}

// checkMemory refuses a guest whose memory is over the limit before it has run. The engine enforces the limit too;
// it cannot say which setting to change.
func checkMemory(memory *fuel.MemoryType, limit int64) error {
	if memory == nil || int64(memory.Min)*pageSize <= limit {
		return nil
	}
	return fmt.Errorf("needs %d bytes of memory to begin with, but limits.memory is %d", int64(memory.Min)*pageSize, limit)
}

// instantiate makes an instance and runs its start section. wazero hands in, as the context, to the host functions
// that the start section calls.
func (m *module) instantiate(ctx context.Context) (api.Module, error) {
	return m.runtime.InstantiateModule(ctx, m.compiled, instanceConfig())
}

// close frees the compiled code, and whatever instances are left.
func (m *module) close(ctx context.Context) error {
	errs := []error{m.runtime.Close(ctx)}
	if m.compiled != nil {
		errs = append(errs, m.compiled.Close(ctx))
	}
	return errors.Join(append(errs, m.cache.Close(ctx))...)
}
