package fuel

import (
	"bytes"
	"fmt"
)

// magic opens every core module: "\0asm" and version 1. A component has another version.
var magic = []byte("\x00asm\x01\x00\x00\x00")

// Numbers of the sections.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

var sectionNames = [...]string{
	"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data",
	"data count",
}

// sectionOrder is the order in which sections must stand: data count was added late and comes before code.
var sectionOrder = [...]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7, secStart: 8,
	secElement: 9, secDataCount: 10, secCode: 11, secData: 12,
}

// section is one section as it stands in the module.
type section struct {
	id      byte
	at      int    // where payload begins in the module
	payload []byte // without the id and the size
	custom  string // the name, where id is secCustom
}

// module is what has to be known of a module before its code can be checked and rewritten.
type module struct {
	limits   Limits
	sections []section

	types         []FuncType
	funcs         []uint32 // the type index of each function, the imported ones first
	importedFuncs int
	tables        []tableType
	tableElements int64
	memories      int
	globals       int
	elements      int
	dataCount     int // what the data count section announces, -1 without one
	totalLocals   int64
	bodies        []body
	charges       []charge // of all bodies, in the order of the code
	plain         bool     // the code is written as it is

	info Info
}

// read checks the whole structure of a module.
func read(bin []byte, limits Limits) (*module, error) {
	m := &module{limits: limits, dataCount: -1}
	if err := m.split(bin); err != nil {
		return nil, err
	}
	for i := range m.sections {
		if err := m.readSection(&m.sections[i]); err != nil {
			return nil, fmt.Errorf("%s section: %w", sectionNames[m.sections[i].id], err)
		}
	}
	if own := len(m.funcs) - m.importedFuncs; own != len(m.bodies) {
		return nil, fmt.Errorf("%d functions declared, %d have code: %w", own, len(m.bodies), ErrMalformed)
	}
	return m, nil
}

// split finds the sections and checks that each stands where it may, and once.
func (m *module) split(bin []byte) error {
	if !bytes.HasPrefix(bin, magic) {
		return fmt.Errorf("no WebAssembly module of version 1: %w", ErrMalformed)
	}
	r := &reader{buf: bin, pos: len(magic)}
	r.limit("bytes", int64(len(bin)), m.limits.ModuleBytes)
	last := 0
	for r.more() {
		s := section{id: r.byte()}
		if int(s.id) >= len(sectionNames) {
			r.fail(ErrUnsupported, "section %d", s.id)
			break
		}
		size := r.u32()
		s.at = r.pos
		s.payload = r.take(size)
		switch {
		case s.id == secCustom:
			m.readCustom(r, &s)
		case sectionOrder[s.id] <= last:
			r.malformed("%s section twice or out of order", sectionNames[s.id])
		default:
			last = sectionOrder[s.id]
		}
		m.sections = append(m.sections, s)
	}
	return r.err
}

func (m *module) readCustom(outer *reader, s *section) {
	r := s.reader()
	s.custom = r.name()
	m.info.Custom = append(m.info.Custom, CustomSection{Name: s.custom, Data: r.buf[r.pos:]})
	if outer.err == nil && r.err != nil {
		outer.err = fmt.Errorf("custom section: %w", r.err)
	}
}

func (s *section) reader() *reader { return &reader{buf: s.payload, base: s.at} }

// readSection reads one section and checks that it ends where its size says.
func (m *module) readSection(s *section) error {
	r := s.reader()
	switch s.id {
	case secCustom:
		return nil
	case secType:
		m.readTypes(r)
	case secImport:
		m.readImports(r)
	case secFunction:
		m.readFunctions(r)
	case secTable:
		m.readTables(r)
	case secMemory:
		m.readMemories(r)
	case secGlobal:
		m.readGlobals(r)
	case secExport:
		m.readExports(r)
	case secStart:
		r.index("function", len(m.funcs))
		m.info.Start = true
	case secElement:
		m.readElements(r)
	case secDataCount:
		m.dataCount = int(r.u32())
	case secCode:
		m.readCode(r)
	case secData:
		m.readData(r)
	}
	if r.err == nil && r.more() {
		r.malformed("%d bytes too many", r.left())
	}
	return r.err
}
