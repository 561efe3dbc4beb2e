package fuel

// What a length costs, as powers of two.
const (
	scaleBytes    = -3 // 8 bytes for 1
	scaleElements = 0
	scalePages    = 16 + scaleBytes // a page is 64 KiB
)

// walker goes once over the instructions of a function, checks what the rewriting relies on, and finds where to
// charge what. It serves one function after the other.
type walker struct {
	m *module
	*reader
	set     *instructionSet
	body    *body
	regions regions
}

func (w *walker) walk(r *reader, b *body) {
	w.reader, w.body = r, b
	w.regions.reset()
	w.regions.open(shapeBlock)
	b.first = len(w.m.charges)
	w.regions.begin(b.first)
	w.regions.pay(costEntry + b.locals)
	w.charge(charge{at: w.pos})
	for len(w.regions.frames) > 0 && w.err == nil {
		w.step()
	}
	if w.more() {
		w.malformed("instructions after the end of the function")
	}
	w.regions.share()
	for i := range w.regions.list {
		w.m.charges[w.regions.list[i].charge].cost = w.regions.price(i)
	}
	b.last = len(w.m.charges)
}

func (w *walker) charge(c charge) { w.m.charges = append(w.m.charges, c) }

// step handles one instruction.
func (w *walker) step() {
	at := w.pos
	op := w.byte()
	in := w.set.oneByte[op]
	if in.shape > lastMeasured {
		in = w.prefixed(in.shape)
	}
	w.regions.pay(int64(in.cost))
	switch {
	case in.shape == shapePlain:
	case in.shape == shapeRefused:
		w.fail(ErrUnsupported, "instruction %#x (%s)", op, proposal(op))
	case in.shape <= lastControl:
		w.control(in.shape)
	case in.shape <= lastImmediate:
		w.immediates(in.shape)
	default:
		w.measured(in.shape, at)
	}
}

func (w *walker) prefixed(prefix shape) instruction {
	set := w.set.afterFC[:]
	if prefix == shapePrefixFD {
		set = w.set.afterFD[:]
	}
	sub := w.u32()
	if int64(sub) >= int64(len(set)) || set[sub].shape == shapeRefused {
		w.fail(ErrUnsupported, "instruction %#x after a prefix", sub)
		return instruction{}
	}
	return set[sub]
}

func (w *walker) control(s shape) {
	switch s {
	case shapeBlock, shapeIf:
		w.blockType()
		w.open(s)
	case shapeLoop:
		w.blockType()
		w.open(s)
		w.regions.begin(len(w.m.charges))
		w.charge(charge{at: w.pos})
	case shapeElse:
		if frames := w.regions.frames; frames[len(frames)-1].shape != shapeIf {
			w.malformed("else without if")
		}
		w.regions.alternative()
	case shapeEnd:
		if w.regions.close(len(w.m.charges)) {
			w.charge(charge{at: w.pos})
		}
	case shapeBranch:
		w.label(byMany)
	case shapeBranchTable:
		by := w.regions.beginSwitch()
		for range w.count() {
			w.label(by)
		}
		w.label(by)
	}
}

func (w *walker) label(by int) {
	w.regions.branch(w.index("label", len(w.regions.frames)), by)
}

func (w *walker) open(s shape) {
	w.regions.open(s)
	w.limit("nested blocks", int64(len(w.regions.frames)), w.m.limits.Nesting)
}

func (w *walker) blockType() {
	if w.more() && (w.buf[w.pos] == voidBlock || isValueType(w.buf[w.pos])) {
		w.pos++
		return
	}
	if t := w.signed(33); t < 0 || t >= int64(len(w.m.types)) {
		w.malformed("block of type %d of %d", t, len(w.m.types))
	}
}

// immediates checks and skips what follows an opcode.
func (w *walker) immediates(s shape) {
	switch s {
	case shapeLocal:
		if i := w.u32(); int64(i) >= w.body.locals {
			w.malformed("local %d of %d", i, w.body.locals)
		}
	case shapeConst32:
		w.signed(32)
	case shapeConst64:
		w.signed(64)
	case shapeMemory:
		w.memoryArgument()
	case shapeMemoryLane:
		w.memoryArgument()
		w.skip(1)
	case shapeCall:
		if f := w.index("function", len(w.m.funcs)); int64(f) < int64(w.m.importedFuncs) {
			w.regions.pay(costCallOut)
		}
	case shapeCallIndirect:
		w.index("type", len(w.m.types))
		w.index("table", len(w.m.tables))
	case shapeGlobal:
		w.index("global", w.m.globals)
	case shapeBytes1:
		w.skip(1)
	case shapeBytes4:
		w.skip(4)
	case shapeBytes8:
		w.skip(8)
	case shapeBytes16:
		w.skip(16)
	default:
		w.rareImmediates(s)
	}
}

// rareImmediates are those of reference types and segments.
func (w *walker) rareImmediates(s shape) {
	switch s {
	case shapeSelectTyped:
		if n := w.count(); n != 1 {
			w.malformed("select of %d types", n)
		}
		checkValueType(w.reader, w.byte())
	case shapeMemorySize:
		w.zero("memory")
	case shapeTable:
		w.index("table", len(w.m.tables))
	case shapeRefNull:
		checkRefType(w.reader, w.byte())
	case shapeRefFunc:
		w.index("function", len(w.m.funcs))
	case shapeDataDrop:
		w.dataSegment()
	case shapeElemDrop:
		w.index("element segment", w.m.elements)
	}
}

// measured handles instructions that take as long as the length they are given.
func (w *walker) measured(s shape, at int) {
	scale := scaleElements
	switch s {
	case shapeMemoryGrow:
		scale = scalePages
		w.zero("memory")
	case shapeMemoryInit:
		scale = scaleBytes
		w.dataSegment()
		w.zero("memory")
	case shapeMemoryCopy:
		scale = scaleBytes
		w.zero("memory")
		w.zero("memory")
	case shapeMemoryFill:
		scale = scaleBytes
		w.zero("memory")
	case shapeTableInit:
		w.index("element segment", w.m.elements)
		w.index("table", len(w.m.tables))
	case shapeTableCopy:
		w.index("table", len(w.m.tables))
		w.index("table", len(w.m.tables))
	case shapeTableFill:
		w.index("table", len(w.m.tables))
	case shapeTableGrow:
		w.tableGrow()
	}
	w.charge(charge{at: at, measured: true, scale: scale})
	w.body.bulk = true
}

// tableGrow refuses what no limit on memory would notice: elements lie outside of the guest's linear memory.
func (w *walker) tableGrow() {
	t := w.index("table", len(w.m.tables))
	if w.err == nil {
		w.limit("elements that a growing table may have", int64(w.m.tables[t].max), w.m.limits.TableElements)
	}
}

func (w *walker) dataSegment() {
	if w.m.dataCount < 0 {
		w.malformed("data segment used without a data count section")
		return
	}
	w.index("data segment", w.m.dataCount)
}

// memoryArgument reads the alignment and the offset of a load or store. Bit 6 of the alignment announces the index
// of a memory.
func (w *walker) memoryArgument() {
	if align := w.u32(); align >= 32 {
		w.fail(ErrUnsupported, "alignment 2^%d", align)
	}
	w.u32()
}
