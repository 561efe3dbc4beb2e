package fuel

// Limits bound the shape of a module, so that compiling it takes bounded time and an instance of it bounded memory.
// They are checked before anything is rewritten. The zero value allows nothing: start from DefaultLimits.
type Limits struct {
	ModuleBytes   int // size of the module; after rewriting it may be twice that
	FunctionBytes int // size of one function's code, for compilers that take more than linear time; rewritten, twice that
	Types         int // function types
	Arity         int // parameters of one function type, and results
	Imports       int // imports of every kind
	Functions     int // functions of the module's own
	Exports       int // exports of every kind
	Globals       int // globals, imported ones included
	Locals        int // locals of one function, parameters included
	TotalLocals   int // locals of all functions: a few bytes can declare thousands
	Nesting       int // blocks open at once
	Tables        int // tables, imported ones included
	TableElements int // elements in all tables when instantiated; also how far table.grow may take one table
	DataBytes     int // bytes in all data segments
}

// DefaultLimits leave room for what compilers make of a policy: a Go guest with JSON, regular expressions and
// cryptography has 4 MiB, 2,500 functions, the largest of 50 KiB with 600 nested blocks and none with over 21 locals.
// They keep the worst that is known to compile slowly (calls with many results, many locals alive in a loop, deep
// nests of loops, all of which wazero compiles in quadratic time or worse) to about a second for one function. A
// module may have many functions, so compiling has to be stoppable all the same.
func DefaultLimits() Limits {
	return Limits{
		ModuleBytes:   16 << 20,
		FunctionBytes: 128 << 10,
		Types:         4096,
		Arity:         32,
		Imports:       1024,
		Functions:     32 << 10,
		Exports:       4096,
		Globals:       4096,
		Locals:        1024,
		TotalLocals:   1 << 20,
		Nesting:       2048,
		Tables:        16,
		TableElements: 64 << 10,
		DataBytes:     8 << 20,
	}
}

// limit fails the reader if there is more of something than is allowed. It counts in int64 because a module's own
// numbers are unsigned 32-bit ones and their sums more.
func (r *reader) limit(what string, have int64, limit int) {
	if have > int64(limit) {
		r.fail(ErrLimit, "%d %s, at most %d are allowed", have, what, limit)
	}
}
