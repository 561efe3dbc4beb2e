package fuel

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// growth is how much larger than the limit a module or a function may become by rewriting. What compilers make grows
// by an eighth; what grows by more was made to be expensive to compile.
const growth = 2

// rewrite writes the module anew, section by section.
func (m *module) rewrite(size int, initial int64) ([]byte, error) {
	out := append(make([]byte, 0, size+size/4), magic...)
	missing := []byte{secGlobal, secExport} // what has to be made up if the module has no such section
	for i := range m.sections {
		s := &m.sections[i]
		for len(missing) > 0 && s.id != secCustom && sectionOrder[missing[0]] <= sectionOrder[s.id] {
			if missing[0] != s.id {
				out = m.appendAdded(out, &section{id: missing[0], payload: []byte{0}}, initial)
			}
			missing = missing[1:]
		}
		var err error
		if out, err = m.appendSection(out, s, initial); err != nil {
			return nil, err
		}
	}
	for _, id := range missing {
		out = m.appendAdded(out, &section{id: id, payload: []byte{0}}, initial)
	}
	if limit := growth * m.limits.ModuleBytes; len(out) > limit {
		return nil, fmt.Errorf("%d bytes after metering, at most %d are allowed: %w", len(out), limit, ErrLimit)
	}
	return out, nil
}

// appendSection writes a section of the module, changed where it has to be.
func (m *module) appendSection(out []byte, s *section, initial int64) ([]byte, error) {
	switch {
	case s.id == secGlobal || s.id == secExport:
		return m.appendAdded(out, s, initial), nil
	case m.plain:
	case s.id == secCode:
		return m.appendCode(out, len(s.payload))
	case strings.HasPrefix(s.custom, ".debug_"):
		return out, nil
	}
	return appendFramed(out, s.id, s.payload), nil
}

// appendAdded writes the global or the export section with one entry more.
func (m *module) appendAdded(out []byte, s *section, initial int64) []byte {
	r := s.reader()
	payload := binary.AppendUvarint(nil, uint64(r.u32())+1)
	payload = append(payload, r.buf[r.pos:]...)
	if s.id == secGlobal {
		const mutable = 1
		payload = append(payload, I64[0], mutable, opI64Const)
		payload = appendVarint(payload, initial)
		payload = append(payload, opEnd)
	} else {
		payload = append(payload, byte(len(Export)))
		payload = append(payload, Export...)
		payload = append(payload, byte(Global))
		payload = binary.AppendUvarint(payload, uint64(m.globals))
	}
	return appendFramed(out, s.id, payload)
}

// appendCode writes the code section with the charges.
func (m *module) appendCode(out []byte, size int) ([]byte, error) {
	limit := growth * m.limits.FunctionBytes
	payload := binary.AppendUvarint(make([]byte, 0, size+size/4), uint64(len(m.bodies)))
	c := newMeter(m.globals)
	for i := range m.bodies {
		b := &m.bodies[i]
		code := c.body(b, m.charges[b.first:b.last])
		if len(code) > limit {
			return nil, fmt.Errorf("function %s: %d bytes of code after metering, at most %d are allowed: %w",
				m.functionName(m.importedFuncs+i), len(code), limit, ErrLimit)
		}
		payload = binary.AppendUvarint(payload, uint64(len(code)))
		payload = append(payload, code...)
	}
	return appendFramed(out, secCode, payload), nil
}

// appendFramed writes a section's id, its size and its content.
func appendFramed(out []byte, id byte, payload []byte) []byte {
	out = binary.AppendUvarint(append(out, id), uint64(len(payload)))
	return append(out, payload...)
}
