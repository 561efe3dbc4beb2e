package fuel

// Flags of an element segment.
const (
	elemNotActive   = 1 << iota // passive or declarative
	elemExplicit                // names its table, or is declarative
	elemExpressions             // holds constant expressions instead of function indices
)

func (m *module) readElements(r *reader) {
	n := r.count()
	for range n {
		flags := r.u32()
		if flags > elemNotActive|elemExplicit|elemExpressions {
			r.malformed("element segment with flags %d", flags)
		}
		m.readElementHead(r, flags)
		for range r.count() {
			if flags&elemExpressions != 0 {
				m.readConstant(r)
			} else {
				r.index("function", len(m.funcs))
			}
		}
		if r.err != nil {
			return
		}
	}
	m.elements = n
}

// readElementHead reads where the elements go and of what type they are. Both may be left out, and stand for table 0
// and function references then.
func (m *module) readElementHead(r *reader, flags uint32) {
	if flags&elemNotActive == 0 {
		table := uint32(0)
		if flags&elemExplicit != 0 {
			table = r.u32()
		}
		if int64(table) >= int64(len(m.tables)) {
			r.malformed("table %d of %d", table, len(m.tables))
		}
		m.readConstant(r)
	}
	if flags&(elemNotActive|elemExplicit) == 0 {
		return
	}
	switch kind := r.byte(); {
	case flags&elemExpressions != 0:
		checkRefType(r, kind)
	case kind != 0:
		r.malformed("elements of kind %d", kind)
	}
}

func (m *module) readData(r *reader) {
	n := r.count()
	if m.dataCount >= 0 && m.dataCount != n {
		r.malformed("%d data segments announced, %d found", m.dataCount, n)
	}
	total := int64(0)
	for range n {
		switch flags := r.u32(); flags {
		case 0:
			m.readConstant(r)
		case 1:
		case 2:
			r.index("memory", m.memories)
			m.readConstant(r)
		default:
			r.malformed("data segment with flags %d", flags)
		}
		total += int64(len(r.take(r.u32())))
		if r.err != nil {
			return
		}
	}
	r.limit("bytes of data", total, m.limits.DataBytes)
}

// readConstant reads a constant expression: one instruction and an end. It runs when the module is instantiated, and
// could read the global that is added if its index went unchecked.
func (m *module) readConstant(r *reader) {
	switch op := r.byte(); op {
	case opI32Const:
		r.signed(32)
	case opI64Const:
		r.signed(64)
	case opF32Const:
		r.skip(4)
	case opF64Const:
		r.skip(8)
	case opGlobalGet:
		r.index("global", m.globals)
	case opRefNull:
		checkRefType(r, r.byte())
	case opRefFunc:
		r.index("function", len(m.funcs))
	case opPrefixFD:
		if sub := r.u32(); sub != vecConst {
			r.fail(ErrUnsupported, "vector instruction %#x in a constant expression", sub)
		}
		r.skip(16)
	default:
		r.fail(ErrUnsupported, "instruction %#x in a constant expression", op)
	}
	if end := r.byte(); end != opEnd {
		r.fail(ErrUnsupported, "a constant expression of more than one instruction")
	}
}
