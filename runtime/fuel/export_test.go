package fuel

// MeterExactly meters a module with a charge before every single instruction. It is far too slow for use, and so
// simple that the regions can be measured by it.
func MeterExactly(bin []byte, initial int64) ([]byte, error) {
	m, err := read(bin, DefaultLimits())
	if err != nil {
		return nil, err
	}
	charges := m.charges
	m.charges = nil
	for i := range m.bodies {
		b := &m.bodies[i]
		own := charges[b.first:b.last]
		b.first = len(m.charges)
		m.charges = append(m.charges, charge{at: b.code, cost: costEntry + b.locals})
		for _, in := range m.instructions(b) {
			m.charges = append(m.charges, charge{at: in.at, cost: in.cost})
			for _, c := range own {
				if c.measured && c.at == in.at {
					m.charges = append(m.charges, c)
				}
			}
		}
		b.last = len(m.charges)
	}
	return m.rewrite(len(bin), initial)
}

// WorstBalance follows all paths that control could take through the functions of a module, whatever the data, and
// returns the least that any of them has paid beyond what it has executed. What is paid for entering a function does
// not count. The answer must not be negative; a loop that runs up debts makes it very negative.
func WorstBalance(bin []byte, limits Limits) (int64, error) {
	m, err := read(bin, limits)
	if err != nil {
		return 0, err
	}
	worst := int64(0)
	for i := range m.bodies {
		worst = min(worst, m.worstBalance(&m.bodies[i]))
	}
	return worst, nil
}

// executed is an instruction of a function, with the instructions that may come after it. Their number is one more
// than there are, the last stands for the function's end.
type executed struct {
	at   int
	cost int64
	next []int
}

func (m *module) worstBalance(b *body) int64 {
	code := m.instructions(b)
	paid := make(map[int]int64)
	for _, c := range m.charges[b.first:b.last] {
		if !c.measured {
			paid[c.at] += c.cost
		}
	}
	paid[b.code] -= costEntry + b.locals

	const unreached, ruin = int64(1) << 40, -10_000
	before := make([]int64, len(code)+1)
	for i := range before {
		before[i] = unreached
	}
	before[0] = 0
	worst, queue := int64(0), []int{0}
	for len(queue) > 0 && worst > ruin {
		i := queue[0]
		queue = queue[1:]
		if i == len(code) {
			continue
		}
		after := before[i] + paid[code[i].at] - code[i].cost
		worst = min(worst, after)
		for _, n := range code[i].next {
			if after < before[n] {
				before[n] = after
				queue = append(queue, n)
			}
		}
	}
	return worst
}

// instructions lists the instructions of a function and works out its flow of control, by itself and not by the
// regions that are to be checked.
func (m *module) instructions(b *body) []executed {
	kept := m.charges
	defer func() { m.charges = kept }()
	w := &walker{m: m, set: core2(), reader: &reader{buf: b.bin, pos: b.code}, body: b}
	w.regions.open(shapeBlock)
	w.regions.begin(0)
	m.charges = []charge{{at: b.code}}
	f := flow{frames: []flowFrame{{}}}
	for len(w.regions.frames) > 0 {
		at, region := w.pos, w.regions.current
		before := w.regions.list[region].cost
		w.step()
		f.code = append(f.code, executed{at: at, cost: w.regions.list[region].cost - before})
		f.connect(&reader{buf: b.bin[:w.pos], pos: at})
	}
	return f.code
}

// flow is a function's instructions and its open blocks.
type flow struct {
	code   []executed
	frames []flowFrame
}

// flowFrame is an open block: where a branch to it goes if it is a loop, or who is to go behind its end.
type flowFrame struct {
	isLoop  bool
	header  int
	waiting []int
	condition
}

// condition is the if of a frame, as long as it is not known where its other arm is.
type condition struct {
	open bool
	at   int
}

// connect gives the last instruction its successors, as far as they are known.
func (f *flow) connect(r *reader) {
	i := len(f.code) - 1
	falls := true
	switch op := r.byte(); op {
	case 0x00:
		falls = false
	case 0x02, opLoop, opIf:
		f.frames = append(f.frames, flowFrame{isLoop: op == opLoop, header: i + 1, condition: condition{op == opIf, i}})
	case opElse:
		top := &f.frames[len(f.frames)-1]
		f.code[top.at].next = append(f.code[top.at].next, i+1)
		top.open, top.waiting, falls = false, append(top.waiting, i), false
	case opEnd:
		f.end(i)
	case 0x0c, 0x0d:
		f.branch(i, r.u32())
		falls = op == 0x0d
	case 0x0e:
		for range r.u32() + 1 {
			f.branch(i, r.u32())
		}
		falls = false
	case 0x0f:
		f.branch(i, uint32(len(f.frames)-1))
		falls = false
	}
	if falls {
		f.code[i].next = append(f.code[i].next, i+1)
	}
}

func (f *flow) branch(from int, label uint32) {
	target := &f.frames[len(f.frames)-1-int(label)]
	if target.isLoop {
		f.code[from].next = append(f.code[from].next, target.header)
		return
	}
	target.waiting = append(target.waiting, from)
}

func (f *flow) end(i int) {
	top := f.frames[len(f.frames)-1]
	f.frames = f.frames[:len(f.frames)-1]
	if top.open {
		top.waiting = append(top.waiting, top.at)
	}
	for _, from := range top.waiting {
		f.code[from].next = append(f.code[from].next, i+1)
	}
}
