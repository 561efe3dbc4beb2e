package wasmtest

import (
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
)

// Guest is a policy that is being assembled: a module with a memory that imports every function of the contract.
type Guest struct {
	Module
	functions map[string]Index
	free      int32 // where memory is not used yet
}

// NewGuest begins a policy with one page of memory, of which the first KiB is the test's own.
func NewGuest() *Guest {
	g := &Guest{functions: map[string]Index{}, free: 1 << 10}
	for _, f := range abi.Functions() {
		g.functions[f.Name] = g.Import(abi.ModulePolicy, f.Name, types(f.Params), types(f.Results))
	}
	g.Memory(1)
	return g
}

func types(list []abi.Type) []Type {
	out := make([]Type, len(list))
	for i, t := range list {
		out[i] = I32
		if t == abi.I64 {
			out[i] = I64
		}
	}
	return out
}

// Host calls a function of the contract and leaves its result.
func (g *Guest) Host(function string, args ...[]byte) []byte {
	return append(slices.Concat(args...), Call(g.functions[function])...)
}

// Text puts s into memory and pushes where it is and how long.
func (g *Guest) Text(s string) []byte {
	at := g.free
	if s != "" {
		g.Data(at, []byte(s))
		g.free += int32(len(s))
	}
	return append(I32Const(at), I32Const(int32(len(s)))...)
}

// Set sets an output of kind Bytes, or an element of a list of them, and ignores the code.
func (g *Guest) Set(field abi.FieldID, index int32, value string) []byte {
	return append(g.Host("set", I32Const(int32(field)), I32Const(index), g.Text(value)), Drop...)
}

// SetInt sets an output of kind Int, or an element of a list of them, and ignores the code.
func (g *Guest) SetInt(field abi.FieldID, index int32, value int64) []byte {
	return append(g.Host("set_i64", I32Const(int32(field)), I32Const(index), I64Const(value)), Drop...)
}

// Log logs a line and ignores the code.
func (g *Guest) Log(level int32, line string) []byte {
	return append(g.Host("log", I32Const(level), g.Text(line)), Drop...)
}

// Verdict, Pass and Error push what a hook returns.
var (
	Verdict = I32Const(abi.ReturnVerdict)
	Pass    = I32Const(abi.ReturnPass)
	Error   = I32Const(abi.ReturnError)
)
