package fuel

import (
	"math"
	"slices"
	"strings"
)

// tableType is what has to be known of a table.
type tableType struct {
	max uint32 // how far it may grow; the largest number if the module does not say
}

func (m *module) readTypes(r *reader) {
	n := r.count()
	r.limit("types", int64(n), m.limits.Types)
	for range n {
		if form := r.byte(); form != 0x60 {
			r.fail(ErrUnsupported, "type of form %#x", form)
			return
		}
		m.types = append(m.types, FuncType{Params: m.readTypeList(r), Results: m.readTypeList(r)})
	}
}

func (m *module) readTypeList(r *reader) Types {
	list := r.take(r.u32())
	r.limit("parameters or results", int64(len(list)), m.limits.Arity)
	for _, b := range list {
		checkValueType(r, b)
	}
	return Types(list)
}

func checkValueType(r *reader, b byte) {
	if !isValueType(b) {
		r.fail(ErrUnsupported, "value type %#x", b)
	}
}

func isValueType(b byte) bool { return strings.IndexByte(valueTypes, b) >= 0 }

func checkRefType(r *reader, b byte) {
	if t := Types([]byte{b}); t != FuncRef && t != ExternRef {
		r.fail(ErrUnsupported, "reference type %#x", b)
	}
}

func (m *module) readImports(r *reader) {
	n := r.count()
	r.limit("imports", int64(n), m.limits.Imports)
	for range n {
		i := ImportType{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
		switch i.Kind {
		case Func:
			i.Func = m.readFunction(r)
			m.importedFuncs++
		case Table:
			m.readTable(r)
		case Memory:
			m.readMemory(r, true)
		case Global:
			m.readGlobalType(r)
		default:
			r.fail(ErrUnsupported, "import of kind %d", i.Kind)
		}
		if r.err != nil {
			return
		}
		m.info.Imports = append(m.info.Imports, i)
	}
}

// readFunction reads the type index of one function and returns the type.
func (m *module) readFunction(r *reader) FuncType {
	t := r.index("type", len(m.types))
	if r.err != nil {
		return FuncType{}
	}
	m.funcs = append(m.funcs, t)
	return m.types[t]
}

func (m *module) readFunctions(r *reader) {
	n := r.count()
	r.limit("functions", int64(n), m.limits.Functions)
	m.funcs = slices.Grow(m.funcs, n)
	for range n {
		m.readFunction(r)
	}
	m.info.Functions = n
}

func (m *module) readTables(r *reader) {
	for range r.count() {
		m.readTable(r)
	}
}

func (m *module) readTable(r *reader) {
	checkRefType(r, r.byte())
	lo, hi, hasMax := readSizes(r)
	if !hasMax {
		hi = math.MaxUint32
	}
	m.tables = append(m.tables, tableType{max: hi})
	m.tableElements += int64(lo)
	r.limit("tables", int64(len(m.tables)), m.limits.Tables)
	r.limit("table elements", m.tableElements, m.limits.TableElements)
}

func (m *module) readMemories(r *reader) {
	for range r.count() {
		m.readMemory(r, false)
	}
}

func (m *module) readMemory(r *reader, imported bool) {
	lo, hi, hasMax := readSizes(r)
	m.memories++
	if m.memories > 1 {
		r.fail(ErrUnsupported, "a second memory")
	}
	m.info.Memory = &MemoryType{Min: lo, Max: hi, HasMax: hasMax, Imported: imported}
}

// readSizes reads the minimum and, if there is one, the maximum of a table or a memory.
func readSizes(r *reader) (lo, hi uint32, hasMax bool) {
	switch flags := r.byte(); flags {
	case 0:
		return r.u32(), 0, false
	case 1:
		return r.u32(), r.u32(), true
	case 2, 3:
		r.fail(ErrUnsupported, "shared memory")
	default:
		r.fail(ErrUnsupported, "64-bit memory or table (flags %#x)", flags)
	}
	return 0, 0, false
}

func (m *module) readGlobalType(r *reader) {
	checkValueType(r, r.byte())
	if mutable := r.byte(); mutable > 1 {
		r.malformed("mutability %d of a global", mutable)
	}
	m.globals++
	r.limit("globals", int64(m.globals), m.limits.Globals)
}

func (m *module) readGlobals(r *reader) {
	for range r.count() {
		m.readGlobalType(r)
		m.readConstant(r)
	}
}

func (m *module) readExports(r *reader) {
	n := r.count()
	r.limit("exports", int64(n), m.limits.Exports)
	for range n {
		e := ExportType{Name: r.name(), Kind: Kind(r.byte())}
		switch e.Kind {
		case Func:
			if f := r.index("function", len(m.funcs)); r.err == nil {
				e.Func = m.types[m.funcs[f]]
			}
		case Table:
			r.index("table", len(m.tables))
		case Memory:
			r.index("memory", m.memories)
		case Global:
			r.index("global", m.globals)
		default:
			r.fail(ErrUnsupported, "export of kind %d", e.Kind)
		}
		if e.Name == Export {
			r.fail(ErrReserved, "export %q", e.Name)
		}
		if r.err != nil {
			return
		}
		m.info.Exports = append(m.info.Exports, e)
	}
}
