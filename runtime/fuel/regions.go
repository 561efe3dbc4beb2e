package fuel

// region is a stretch of code that is paid for where it begins.
type region struct {
	charge   int   // index of the charge
	cost     int64 // of its instructions
	switches bool  // a br_table stands in it

	// For a region that begins at a case of a switch.
	reached  int // the region of the br_table by which alone it is reached, other than by falling into it
	fellFrom int // the region that falls into it

	// Found by share.
	payer    int   // the region that pays for it, which may be itself
	shared   int64 // what it pays for others
	sharedBy int   // the region of the br_table by which these are reached, byNone if there are none
	advance  int64 // what its own br_table pays in advance
}

// By what the end of a block is reached, if not by one br_table, which is given by its region.
const (
	byNone = -1
	byMany = -2
)

// cheapCases is how much the cases of a switch may cost without a charge of their own. Dearer ones are paid for
// exactly; among cheaper ones up to this much is paid for in vain at each br_table. Where jumps of a source language
// become cases of one switch, as Go's compiler makes them, charging each would cost half of the speed.
const cheapCases = 32

// frame is an open block, loop or if. A function's body is one as well.
type frame struct {
	shape   shape
	region  int // in which the frame began
	reached int // by what its label is reached
}

// regions cuts the function that is being walked into regions.
type regions struct {
	list    []region
	current int // the region that pays for the next instruction
	frames  []frame

	// switches is how many of the open frames hold a br_table. When one is met all open frames do, so they are always
	// the outermost ones.
	switches int
}

func (g *regions) reset() {
	g.list, g.frames, g.switches = g.list[:0], g.frames[:0], 0
}

// begin makes what follows be paid for by the charge of the given index.
func (g *regions) begin(charge int) *region {
	g.current = len(g.list)
	g.list = append(g.list, region{charge: charge, reached: byMany, payer: g.current, sharedBy: byNone})
	return &g.list[g.current]
}

func (g *regions) pay(cost int64) { g.list[g.current].cost += cost }

func (g *regions) open(s shape) {
	g.frames = append(g.frames, frame{shape: s, region: g.current, reached: byNone})
}

// alternative makes the innermost frame, an if, go on with its else. Like the code before, that is dominated by the
// region in which the frame began.
func (g *regions) alternative() {
	top := &g.frames[len(g.frames)-1]
	top.shape = shapeElse
	g.current = top.region
}

// branch notes by what the frame of a label is reached.
func (g *regions) branch(label uint32, by int) {
	target := &g.frames[len(g.frames)-1-int(label)]
	if target.reached != byNone && target.reached != by {
		by = byMany
	}
	target.reached = by
}

// beginSwitch notes a br_table and returns by what its labels are reached. A region pays in advance for one only.
func (g *regions) beginSwitch() int {
	g.switches = len(g.frames)
	host := &g.list[g.current]
	if host.switches {
		return byMany
	}
	host.switches = true
	return g.current
}

// close ends the innermost frame. What follows belongs to the region in which the frame began, which dominates it,
// unless the frame holds a br_table: then here ends a case of the switch and may begin another, which is to be paid
// for by itself. The answer is whether a region has to begin.
func (g *regions) close(charge int) (begun bool) {
	depth := len(g.frames)
	top := g.frames[depth-1]
	g.frames = g.frames[:depth-1]
	if g.switches < depth || depth == 1 {
		g.current = top.region
		return false
	}
	g.switches--
	if top.shape != shapeBlock {
		g.begin(charge)
		return true
	}
	if top.reached == byNone {
		return false // is only fallen into: the region goes on
	}
	from := g.current
	next := g.begin(charge)
	next.reached, next.fellFrom = top.reached, from
	return true
}

// share spares cheap cases of switches their charges. Such a case is entered in two ways only. Who falls into it comes
// from the region before, so that one's payer pays for it too. Who is sent there by the br_table goes on to fall
// through at most the cases that share its payer, so the region of the br_table pays for the dearest such row of
// cases in advance. It must have been charged whenever it is executed, and therefore never gets its charge spared.
func (g *regions) share() {
	for i := range g.list {
		r := &g.list[i]
		if r.reached < 0 || r.switches {
			continue
		}
		payer := g.list[r.fellFrom].payer
		p := &g.list[payer]
		if p.shared+r.cost > cheapCases || p.sharedBy != byNone && p.sharedBy != r.reached {
			continue
		}
		p.shared, p.sharedBy = p.shared+r.cost, r.reached
		r.payer = payer
		if host := &g.list[r.reached]; payer != r.reached {
			host.advance = max(host.advance, p.shared)
		}
	}
}

// price returns what has to be charged where region i begins.
func (g *regions) price(i int) int64 {
	switch r := &g.list[i]; {
	case r.payer != i:
		return 0
	case r.sharedBy == i: // either its br_table leads to the cases that share with it, or to others
		return r.cost + max(r.shared, r.advance)
	default:
		return r.cost + r.shared + r.advance
	}
}
