package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// hostFunction is one import as guests are linked to it.
type hostFunction struct {
	kind fuel.FuncType
	call func(c *Call, stack []uint64)
	// What the results say when the host does not run the function, because the call's cap is used up: an i32 refused,
	// an i64 none.
	refused int32
	none    uint64
	access  bool // it costs fuel instead of counting against the cap
}

// noValue is abi.NoValue as it stands on a stack.
const noValue = uint64(1) << 63

// grantKV is what functions that keep state need, as the contract has it.
const grantKV = "kv: own"

// policyFunctions are the functions of abi.ModulePolicy: those that are implemented, and for the rest of the
// contract stubs that answer NotSupported.
func policyFunctions(implemented []Function, traced bool) (map[string]hostFunction, error) {
	out := map[string]hostFunction{}
	keepState := map[string]abi.Function{}
	for _, f := range abi.Functions() {
		if f.Grant == grantKV {
			keepState[f.Name] = f
		}
		out[f.Name] = stub(fuel.FuncType{Params: fuelTypes(f.Params), Results: fuelTypes(f.Results)}, int32(abi.NotSupported), noValue)
	}
	var errs []error
	for _, f := range implemented {
		known, ok := out[f.Name]
		if !ok {
			errs = append(errs, fmt.Errorf("host function %q is not in the contract", f.Name))
			continue
		}
		call := f.Call
		if contract, keeps := keepState[f.Name]; keeps && traced {
			call = recorded(contract, call)
		}
		out[f.Name] = hostFunction{kind: known.kind, call: call, refused: int32(abi.OverQuota), none: noValue}
	}
	return out, errors.Join(errs...)
}

func fuelTypes(types []abi.Type) (out fuel.Types) {
	for _, t := range types {
		if t == abi.I64 {
			out += fuel.I64
		} else {
			out += fuel.I32
		}
	}
	return out
}

// stub is a function that this host does not serve: every i32 result is the code, every i64 result none.
func stub(kind fuel.FuncType, code int32, none uint64) hostFunction {
	f := hostFunction{kind: kind, refused: code, none: none}
	f.call = func(_ *Call, stack []uint64) { f.refuse(stack) }
	return f
}

// refuse answers in place of the function.
func (f *hostFunction) refuse(stack []uint64) {
	for i := range len(f.kind.Results) {
		switch f.kind.Results[i : i+1] {
		case fuel.I32:
			stack[i] = uint64(uint32(f.refused))
		case fuel.I64:
			stack[i] = f.none
		default:
			stack[i] = 0
		}
	}
}

// plan says how to link a module: what each of its imports is served by, and which of them are stubs.
type plan struct {
	functions map[string]map[string]hostFunction // by module, then by name
	stubbed   []string
}

// planImports checks a module's imports against what the host knows. Everything that is wrong is reported together.
func (r *Runtime) planImports(imports []fuel.ImportType) (plan, error) {
	p := plan{functions: map[string]map[string]hostFunction{}}
	var errs []error
	for _, i := range imports {
		f, served, err := r.findImport(i)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if p.functions[i.Module] == nil {
			p.functions[i.Module] = map[string]hostFunction{}
		}
		if known, twice := p.functions[i.Module][i.Name]; twice && known.kind != i.Func {
			errs = append(errs, fmt.Errorf("imports %s.%s twice, as %s and as %s", i.Module, i.Name, known.kind, i.Func))
			continue
		}
		p.functions[i.Module][i.Name] = f
		if !served {
			p.stubbed = append(p.stubbed, i.Module+"."+i.Name)
		}
	}
	return p, errors.Join(errs...)
}

// findImport returns what serves one import. A name that the host does not know, in a module that it knows, is
// served by a stub of the guest's own type, so that a guest newer than its host still loads.
func (r *Runtime) findImport(i fuel.ImportType) (f hostFunction, served bool, err error) {
	var known map[string]hostFunction
	unserved, none := int32(abi.NotSupported), noValue
	switch {
	case i.Module == abi.ModulePolicy:
		known = r.functions
	case i.Module == abi.ModuleWASI:
		known, unserved = r.wasi, errnoNoSys
	case i.Module == ModuleExtism && r.portable != nil:
		known, unserved, none = r.portable, 0, 0 // it has no codes: 0 is how it says that there is nothing
	default:
		return f, false, fmt.Errorf("imports %s.%s, but only %s are served", i.Module, i.Name, r.servedModules())
	}
	if i.Kind != fuel.Func {
		return f, false, fmt.Errorf("imports %s.%s as a %s, but only functions are served", i.Module, i.Name, i.Kind)
	}
	f, served = known[i.Name]
	if !served {
		return stub(i.Func, unserved, none), false, nil
	}
	if f.kind != i.Func {
		return f, false, fmt.Errorf("imports %s.%s as %s, but it is %s", i.Module, i.Name, i.Func, f.kind)
	}
	return f, true, nil
}

// servedModules names the modules that guests may import.
func (r *Runtime) servedModules() string {
	if r.portable == nil {
		return abi.ModulePolicy + " and " + abi.ModuleWASI
	}
	return abi.ModulePolicy + ", " + ModuleExtism + " and " + abi.ModuleWASI
}

// link makes the host modules that a plan asks for.
func link(ctx context.Context, to wazero.Runtime, p plan) error {
	for name, functions := range p.functions {
		builder := to.NewHostModuleBuilder(name)
		for name, f := range functions {
			builder.NewFunctionBuilder().
				WithGoModuleFunction(serve(f), []api.ValueType(f.kind.Params), []api.ValueType(f.kind.Results)).
				Export(name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("linking %s: %w", name, err)
		}
	}
	return nil
}

// serve makes the Go side of an import. The context of a guest's call is its instance, which is how the function
// finds its Call without searching or allocating.
func serve(f hostFunction) api.GoModuleFunc {
	if f.access {
		return serveAccess(f)
	}
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in := instanceOf(ctx)
		if !in.admit(mod) {
			f.refuse(stack)
			return
		}
		f.call(&in.call, stack)
	}
}

// serveAccess is serve for what costs fuel instead of counting against the cap.
func serveAccess(f hostFunction) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in := instanceOf(ctx)
		if !in.onTime(mod) {
			f.refuse(stack)
			return
		}
		if in.call.accesses++; in.call.accesses%accessBatch == 0 {
			in.charge(accessBatch * accessFuel)
		}
		f.call(&in.call, stack)
	}
}
