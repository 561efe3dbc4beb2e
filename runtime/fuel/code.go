package fuel

import "fmt"

// body is the code of one function, analysed.
type body struct {
	bin    []byte // the function as it stands in the module: groups of locals, then instructions
	groups int    // how many groups of locals there are
	locals int64  // how many locals, parameters included
	decls  int    // where the first group begins
	code   int    // where the instructions begin
	bulk   bool   // something is charged by length, which takes a local to hold it

	first, last int // its part of the module's charges
}

func (m *module) readCode(r *reader) {
	n := r.count()
	if own := len(m.funcs) - m.importedFuncs; n != own {
		r.malformed("%d functions declared, %d have code", own, n)
		return
	}
	m.bodies = make([]body, n)
	w := &walker{m: m, set: core2()}
	for i := range m.bodies {
		size := r.u32()
		at := r.pos
		code := r.take(size)
		if r.err != nil {
			return
		}
		fr := reader{buf: code, base: r.base + at}
		m.readBody(w, &fr, i)
		if fr.err != nil {
			r.err = fmt.Errorf("function %s: %w", m.functionName(m.importedFuncs+i), fr.err)
			return
		}
	}
}

func (m *module) readBody(w *walker, r *reader, i int) {
	r.limit("bytes of code", int64(len(r.buf)), m.limits.FunctionBytes)
	params := m.types[m.funcs[m.importedFuncs+i]].Params
	b := &m.bodies[i]
	*b = body{bin: r.buf, groups: r.count(), locals: int64(len(params))}
	b.decls = r.pos
	for range b.groups {
		b.locals += int64(r.u32())
		checkValueType(r, r.byte())
	}
	b.code = r.pos
	m.totalLocals += b.locals
	r.limit("locals", b.locals, m.limits.Locals)
	r.limit("locals in all functions", m.totalLocals, m.limits.TotalLocals)
	w.walk(r, b)
}
