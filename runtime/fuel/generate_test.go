package fuel_test

import (
	"fmt"
	"strings"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// Shape of the generated programs.
const (
	generatedFunctions = 3
	generatedLocals    = 4 // all i32, the first two are parameters
	generatedDepth     = 6
	generatedWords     = 6000 // stop growing here
)

// program writes random but valid programs, in which every construct that the metering treats specially is frequent:
// switches with cases that fall through and out, loops left and continued from within, dead code, bulk memory
// instructions. Each terminates: loops and functions count down the global g0 and trap at zero.
type program struct {
	choices []byte // what drives the generation; when it is used up, the simplest is chosen
	text    strings.Builder
	words   int
	labels  int // open blocks, the function's own not counted
}

// generate makes a module out of arbitrary bytes.
func generate(choices []byte) guest {
	binary := fuel.FuncType{Params: fuel.I32 + fuel.I32, Results: fuel.I32}
	g := guest{memory: []uint32{1, 4}, table: []uint32{generatedFunctions + 1}, globals: 2, data: "sallyport"}
	p := &program{choices: choices}
	for i := range generatedFunctions {
		p.text.Reset()
		p.words = 0
		p.guard()
		p.statements(0)
		p.expression(0)
		g.functions = append(g.functions, function{
			name: fmt.Sprint("run", i), typ: binary, locals: fuel.I32 + fuel.I32, code: p.text.String(),
		})
	}
	g.functions = append(g.functions, function{
		name: "arm", typ: fuel.FuncType{Params: fuel.I32}, code: "local.get 0  global.set 0",
	})
	return g
}

func (p *program) choose(n int) int {
	if len(p.choices) == 0 {
		return 0
	}
	c := int(p.choices[0]) % n
	p.choices = p.choices[1:]
	return c
}

func (p *program) write(format string, args ...any) {
	p.words++
	fmt.Fprintf(&p.text, format+" ", args...)
}

// guard counts down g0 and traps at zero.
func (p *program) guard() {
	p.write("global.get 0  i32.const 1  i32.sub  global.set 0  global.get 0  i32.eqz  if void unreachable end")
}

func (p *program) statements(depth int) {
	if depth > generatedDepth || p.words > generatedWords {
		return
	}
	for range p.choose(5) {
		p.statement(depth + 1)
	}
}

func (p *program) statement(depth int) {
	switch p.choose(15) {
	case 0:
		p.expression(depth)
		p.write("local.set %d", p.choose(generatedLocals))
	case 1:
		p.address(depth)
		p.expression(depth)
		p.write("i32.store 2 0")
	case 2:
		p.conditional(depth)
	case 3:
		p.open("block void")
		p.statements(depth)
		p.close()
	case 4:
		p.open("loop void")
		p.guard()
		p.statements(depth)
		if p.choose(4) > 0 {
			p.write("global.get 0 i32.const 7 i32.and br_if 0") // some turns, even if nothing in it goes back
		}
		p.close()
	case 5:
		if p.labels > 0 {
			p.expression(depth)
			p.write("br_if %d", p.choose(p.labels))
		}
	case 6, 7:
		p.choice(depth)
	case 8:
		p.leave(depth)
	case 9:
		p.expression(depth)
		p.expression(depth)
		p.write("call %d drop", p.choose(generatedFunctions))
	case 10:
		p.bulk(depth)
	case 11:
		p.jump(depth)
	case 12:
		p.expression(depth)
		p.write("global.set 1")
	case 13:
		p.write("i32.const %d memory.grow drop", p.choose(3))
	case 14:
		p.write("nop")
	}
}

// open and close keep count of the labels that a branch may go to. The function's own is not among them: it would
// need a result.
func (p *program) open(head string) {
	p.write("%s", head)
	p.labels++
}

func (p *program) close() {
	p.labels--
	p.write("end")
}

func (p *program) conditional(depth int) {
	p.expression(depth)
	p.open("if void")
	p.statements(depth)
	if p.choose(2) == 1 {
		p.write("else")
		p.statements(depth)
	}
	p.close()
}

// choice writes a switch: cases fall through to the next, and break, continue or leave when they branch.
func (p *program) choice(depth int) {
	cases := 1 + p.choose(6)
	for range cases {
		p.open("block void")
	}
	for range p.choose(3) {
		p.leave(depth)
	}
	p.statements(depth + 2)
	p.dispatch(depth, min(cases, 1+p.choose(6)))
	for range cases {
		p.close()
		p.statements(depth + 1)
	}
}

// leave writes a switch that leads out of blocks opened before, from within a loop or one arm of an if.
func (p *program) leave(depth int) {
	if p.choose(2) == 0 {
		p.open("loop void")
		p.guard()
	} else {
		p.expression(depth)
		p.open("if void")
	}
	p.expression(depth)
	p.open("if void")
	p.dispatch(depth, p.labels)
	p.close()
	p.close()
}

// dispatch writes a br_table to some of the innermost labels.
func (p *program) dispatch(depth, labels int) {
	p.expression(depth)
	targets := p.choose(4)
	fmt.Fprintf(&p.text, "br_table %d ", targets)
	for range targets + 1 {
		fmt.Fprintf(&p.text, "%d ", p.choose(labels))
	}
}

func (p *program) bulk(depth int) {
	p.address(depth)
	switch p.choose(3) {
	case 0:
		p.expression(depth)
		p.length(depth)
		p.write("memory.fill")
	case 1:
		p.address(depth)
		p.length(depth)
		p.write("memory.copy")
	case 2:
		p.write("i32.const 0 i32.const %d memory.init 0", p.choose(12))
	}
}

// jump leaves code behind it dead.
func (p *program) jump(depth int) {
	if p.labels > 0 && p.choose(4) > 0 {
		p.write("br %d", p.choose(p.labels))
		return
	}
	p.expression(depth)
	p.write("return")
}

func (p *program) address(depth int) {
	p.expression(depth)
	p.write("i32.const 0xfffc i32.and")
}

func (p *program) length(depth int) {
	p.expression(depth)
	p.write("i32.const 0xfff i32.and")
}

func (p *program) expression(depth int) {
	operators := [...]string{"i32.add", "i32.sub", "i32.mul", "i32.xor", "i32.rotl", "i32.lt_u", "i32.and", "i32.rem_u"}
	switch kind := p.choose(10); {
	case kind < 2 || depth > generatedDepth:
		p.write("i32.const %d", p.choose(256)-8)
	case kind < 5:
		p.write("local.get %d", p.choose(generatedLocals))
	case kind < 7:
		p.expression(depth + 1)
		p.expression(depth + 1)
		p.write("%s", operators[p.choose(8*len(operators)-7)/8]) // the last, which may trap, is rare
	case kind == 7:
		p.address(depth + 1)
		p.write("i32.load 2 0")
	case kind == 8:
		p.expression(depth + 1)
		p.write("if i32 i32.const %d else i32.const %d end", p.choose(100), p.choose(100))
	default:
		p.expression(depth + 1)
		p.expression(depth + 1)
		p.expression(depth + 1)
		p.write("i32.const %d i32.and call_indirect 0 0", 1+2*(p.choose(8)/7)) // 3 is of another type
	}
}
