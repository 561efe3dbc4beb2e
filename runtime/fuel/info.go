package fuel

import "strings"

// Types is a sequence of value types, one byte for each as the binary format writes them. A string makes function
// types comparable.
type Types string

// The value types. Concatenated they make parameter and result lists.
const (
	I32       Types = "\x7f"
	I64       Types = "\x7e"
	F32       Types = "\x7d"
	F64       Types = "\x7c"
	V128      Types = "\x7b"
	FuncRef   Types = "\x70"
	ExternRef Types = "\x6f"
)

// valueTypes lists all of the above, to check a byte against.
const valueTypes = string(I32 + I64 + F32 + F64 + V128 + FuncRef + ExternRef)

// typeNames holds the text format's names, in the order of valueTypes.
const typeNames = "i32 i64 f32 f64 v128 funcref externref"

// String writes the types as the text format does: "(i32, i64)".
func (t Types) String() string {
	all := strings.Fields(typeNames)
	names := make([]string, len(t))
	for i := range len(t) {
		names[i] = "unknown"
		if at := strings.IndexByte(valueTypes, t[i]); at >= 0 {
			names[i] = all[at]
		}
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// FuncType is the type of a function. It is comparable: a hook is of type FuncType{Results: I32}.
type FuncType struct {
	Params, Results Types
}

// String writes the type as "(i32, i32) -> (i64)".
func (t FuncType) String() string { return t.Params.String() + " -> " + t.Results.String() }

// Kind says what an import or an export is.
type Kind byte

// The kinds, with the numbers of the binary format.
const (
	Func Kind = iota
	Table
	Memory
	Global
)

var kindNames = [...]string{"function", "table", "memory", "global"}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ImportType is one thing that the module wants from its host.
type ImportType struct {
	Module, Name string
	Kind         Kind
	Func         FuncType // where Kind is Func
}

// ExportType is one thing that the module offers.
type ExportType struct {
	Name string
	Kind Kind
	Func FuncType // where Kind is Func
}

// MemoryType is what the module says of its memory, in pages of 64 KiB.
type MemoryType struct {
	Min      uint32
	Max      uint32 // where HasMax
	HasMax   bool
	Imported bool
}

// CustomSection is a section that is no part of the program: a manifest, the names of functions.
type CustomSection struct {
	Name string
	Data []byte // a part of the bytes that were given
}

// Info is what a module says of itself.
type Info struct {
	Imports   []ImportType
	Exports   []ExportType
	Memory    *MemoryType // nil if there is none
	Start     bool        // there is a start function, which runs when the module is instantiated
	Functions int         // of the module's own
	Custom    []CustomSection
}
