package hostfuncs

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// table is what the contract says of each field, by its id. An id without a field has no hooks.
type table []field

type field struct {
	hooks  abi.Hooks
	kind   abi.Kind
	output bool
	grant  bool
}

func newTable() table {
	fields := abi.Fields()
	t := make(table, fields[len(fields)-1].ID+1) // they come in the order of their ids
	for _, f := range fields {
		t[f.ID] = field{hooks: f.Hooks, kind: f.Kind, output: f.Output, grant: f.Grant}
	}
	return t
}

// find is the one place where it is decided whether a guest may use a field now. output says what for.
func (t table) find(c *runtime.Call, id abi.FieldID, output bool) (field, abi.Code) {
	if id < 0 || int(id) >= len(t) || t[id].hooks == 0 {
		return field{}, abi.UnknownField
	}
	f := t[id]
	switch {
	case f.output != output:
		return f, abi.BadArgument
	case !f.hooks.Has(c.Hook): // also while an instance is made: no hook runs then
		return f, abi.WrongHook
	case f.grant && f.kind != abi.Named && !c.GrantedField(id): // by name, each name has its grant
		return f, abi.NotGranted
	default:
		return f, abi.OK
	}
}

// isList reports whether a field's index means anything.
func (f field) isList() bool { return f.kind == abi.BytesList || f.kind == abi.IntList }

// isInt reports whether a field holds numbers.
func (f field) isInt() bool { return f.kind == abi.Int || f.kind == abi.IntList }
