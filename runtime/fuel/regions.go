package fuel

// region is a stretch of code that is paid for where it begins.
type region struct {
	charge int   // index of the charge
	cost   int64 // of its instructions
	hosts  bool  // a br_table stands in it

	// For a region that begins at a case of a switch.
	reached  int // the region whose br_table alone leads there, if one does
	fellFrom int // the region that falls into it

	// Found by share.
	payer    int   // the region that pays for it, which may be itself
	shared   int64 // what it pays for others
	sharedBy int   // the region whose br_table leads to those, byNone if there are none
	advance  int64 // what it pays for those that its own br_table leads to
}

// What leads to the end of a block, if it is not the br_table of one region, which is given by that region's index.
const (
	byNone = -1 // no branch
	byMany = -2 // a branch of another kind, or several regions
)

// cheapCases is how much the cases of a switch may cost without a charge of their own. Dearer ones are paid for
// exactly; among cheaper ones up to this much is paid for in vain at each br_table. Where jumps of a source language
// become cases of one switch, as Go's compiler makes them, charging each would cost half of the speed.
const cheapCases = 32

// frame is an open block, loop or if. A function's body is one as well.
type frame struct {
	shape   shape
	region  int // in which the frame began
	reached int // what leads to its label
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

// branch notes what leads to a label.
func (g *regions) branch(label uint32, by int) {
	target := &g.frames[len(g.frames)-1-int(label)]
	if target.reached != byNone && target.reached != by {
		by = byMany
	}
	target.reached = by
}

// beginSwitch notes a br_table and returns what leads to its labels: the region, since of several in one
// region, standing in different arms of an if, only one is executed.
func (g *regions) beginSwitch() int {
	g.switches = len(g.frames)
	g.list[g.current].hosts = true
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

// share spares cheap cases of switches their charges. There are two ways into such a case. Who falls into it comes
// from the region before, so that one's payer pays for it too. Whom the br_table sends there then falls at most
// through the cases behind it that have the same payer, so the region of the br_table pays in advance for the dearest
// such row of cases. For that all of a row must be reached by the same br_table, and a region with a br_table must
// never be spared its own charge.
func (g *regions) share() {
	for i := range g.list {
		r := &g.list[i]
		if r.reached < 0 || r.hosts {
			continue
		}
		payer := g.list[r.fellFrom].payer
		p := &g.list[payer]
		if p.shared+r.cost > cheapCases || p.sharedBy != byNone && p.sharedBy != r.reached {
			continue
		}
		p.shared, p.sharedBy = p.shared+r.cost, r.reached
		r.payer = payer
		host := &g.list[r.reached]
		host.advance = max(host.advance, p.shared)
	}
}

// price returns what has to be charged where region i begins. Control leaves a region either by falling into a case
// or by a br_table, so the larger of what these need is enough.
func (g *regions) price(i int) int64 {
	r := &g.list[i]
	if r.payer != i {
		return 0
	}
	return r.cost + max(r.shared, r.advance)
}
