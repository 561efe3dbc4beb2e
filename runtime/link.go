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

// moduleExtism is the portable tier's module. It is named here only to tell its authors what is the matter.
const moduleExtism = "extism:host/env"

// hostFunction is one import as guests are linked to it.
type hostFunction struct {
	kind fuel.FuncType
	call func(c *Call, stack []uint64)
	// refused is what the i32 result says when the host does not run the function: the call's cap is used up.
	refused int32
}

// policyFunctions are the functions of abi.ModulePolicy: those that are implemented, and for the rest of the
// contract stubs that answer NotSupported.
func policyFunctions(implemented []Function) (map[string]hostFunction, error) {
	out := map[string]hostFunction{}
	for _, f := range abi.Functions() {
		out[f.Name] = stub(fuel.FuncType{Params: fuelTypes(f.Params), Results: fuelTypes(f.Results)}, int32(abi.NotSupported))
	}
	var errs []error
	for _, f := range implemented {
		known, ok := out[f.Name]
		if !ok {
			errs = append(errs, fmt.Errorf("host function %q is not in the contract", f.Name))
			continue
		}
		out[f.Name] = hostFunction{kind: known.kind, call: f.Call, refused: int32(abi.OverQuota)}
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

// stub is a function that this host does not serve: every i32 result is the code, every i64 result NoValue.
func stub(kind fuel.FuncType, code int32) hostFunction {
	return hostFunction{
		kind:    kind,
		refused: code,
		call:    func(_ *Call, stack []uint64) { answerCode(stack, kind.Results, code) },
	}
}

func answerCode(stack []uint64, results fuel.Types, code int32) {
	for i := range len(results) {
		switch results[i : i+1] {
		case fuel.I32:
			stack[i] = uint64(uint32(code))
		case fuel.I64:
			stack[i] = uint64(1) << 63 // abi.NoValue
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
	unserved := int32(abi.NotSupported)
	switch i.Module {
	case abi.ModulePolicy:
		known = r.functions
	case abi.ModuleWASI:
		known, unserved = r.wasi, errnoNoSys
	case moduleExtism:
		return f, false, fmt.Errorf("imports %s.%s: the portable tier is not served by this version of Sallyport", i.Module, i.Name)
	default:
		return f, false, fmt.Errorf("imports %s.%s, but only %s and %s are served", i.Module, i.Name, abi.ModulePolicy, abi.ModuleWASI)
	}
	if i.Kind != fuel.Func {
		return f, false, fmt.Errorf("imports %s.%s as a %s, but only functions are served", i.Module, i.Name, i.Kind)
	}
	f, served = known[i.Name]
	if !served {
		return stub(i.Func, unserved), false, nil
	}
	if f.kind != i.Func {
		return f, false, fmt.Errorf("imports %s.%s as %s, but it is %s", i.Module, i.Name, i.Func, f.kind)
	}
	return f, true, nil
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
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in := ctx.(*instance) //nolint:errcheck // guests are called with nothing else
		if !in.admit(mod) {
			answerCode(stack, f.kind.Results, f.refused)
			return
		}
		f.call(&in.call, stack)
	}
}
