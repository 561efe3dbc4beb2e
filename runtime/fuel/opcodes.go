package fuel

// Instructions that are looked for or written by name.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opIf          = 0x04
	opElse        = 0x05
	opEnd         = 0x0b
	opLocalGet    = 0x20
	opLocalTee    = 0x22
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opI64LtS      = 0x53
	opI64Sub      = 0x7d
	opI64Shl      = 0x86
	opI64ShrU     = 0x88
	opI64ExtendU  = 0xad
	opRefNull     = 0xd0
	opRefFunc     = 0xd2
	opPrefixFC    = 0xfc
	opPrefixFD    = 0xfd

	vecConst  = 0x0c // after opPrefixFD
	voidBlock = 0x40 // the type of a block without results
)

// shape says what follows an opcode, and what else the walk has to do at it. The order groups what is handled alike.
type shape uint8

const (
	shapeRefused shape = iota
	shapePlain         // nothing follows

	// Control.
	shapeBlock       // block type; opens a frame
	shapeLoop        // block type; opens a frame
	shapeIf          // block type; opens a frame
	shapeElse        //
	shapeEnd         // closes a frame
	shapeBranch      // label
	shapeBranchTable // labels

	// Nothing but immediates to check and skip.
	shapeCall         // function
	shapeCallIndirect // type, table
	shapeSelectTyped  // value types, exactly one
	shapeLocal        // local
	shapeGlobal       // global
	shapeTable        // table
	shapeMemory       // alignment, offset
	shapeMemoryLane   // alignment, offset, lane
	shapeMemorySize   // reserved byte
	shapeConst32      // signed LEB128
	shapeConst64      // signed LEB128
	shapeBytes1       // a lane
	shapeBytes4       // a float
	shapeBytes8       // a float
	shapeBytes16      // a vector, or lanes of one
	shapeRefNull      // reference type
	shapeRefFunc      // function
	shapeDataDrop     // data segment
	shapeElemDrop     // element segment

	// Charged by the length on top of the stack.
	shapeMemoryGrow // reserved byte
	shapeMemoryInit // data segment, reserved byte
	shapeMemoryCopy // two reserved bytes
	shapeMemoryFill // reserved byte
	shapeTableInit  // element segment, table
	shapeTableCopy  // two tables
	shapeTableGrow  // table
	shapeTableFill  // table

	shapePrefixFC // a second opcode
	shapePrefixFD // a second opcode
)

// The last of each group.
const (
	lastControl   = shapeBranchTable
	lastImmediate = shapeElemDrop
	lastMeasured  = shapeTableFill
)

// instruction is what has to be known of an opcode.
type instruction struct {
	shape shape
	cost  uint8
}

// What instructions cost; the package comment gives the reasons. costBulk and costGrow are the fixed part of what is
// charged by length and pay for the call out of compiled code.
const (
	costOrdinary = 1
	costSlow     = 8
	costBulk     = 8
	costGrow     = 64
	costCallOut  = 32
	costEntry    = 32
)

// instructionSet is core WebAssembly 2.0 with SIMD. What is not in it is refused.
type instructionSet struct {
	oneByte [256]instruction
	afterFC [18]instruction  // saturating conversions and bulk instructions
	afterFD [256]instruction // vector instructions
}

func core2() *instructionSet {
	return &instructionSet{oneByte(), afterFC(), afterFD()}
}

func oneByte() (t [256]instruction) {
	span(t[:], 0x00, 0x00, shapePlain, costOrdinary) // unreachable
	span(t[:], 0x01, 0x01, shapePlain, 0)            // nop
	span(t[:], 0x02, 0x02, shapeBlock, 0)
	span(t[:], 0x03, 0x03, shapeLoop, 0)
	span(t[:], 0x04, 0x04, shapeIf, costOrdinary)
	span(t[:], 0x05, 0x05, shapeElse, 0)
	span(t[:], 0x0b, 0x0b, shapeEnd, 0)
	span(t[:], 0x0c, 0x0d, shapeBranch, costOrdinary)
	span(t[:], 0x0e, 0x0e, shapeBranchTable, costOrdinary)
	span(t[:], 0x0f, 0x0f, shapePlain, costOrdinary) // return
	span(t[:], 0x10, 0x10, shapeCall, costOrdinary)
	span(t[:], 0x11, 0x11, shapeCallIndirect, costOrdinary+costCallOut)
	span(t[:], 0x1a, 0x1b, shapePlain, costOrdinary) // drop, select
	span(t[:], 0x1c, 0x1c, shapeSelectTyped, costOrdinary)
	span(t[:], 0x20, 0x22, shapeLocal, costOrdinary)
	span(t[:], 0x23, 0x24, shapeGlobal, costOrdinary)
	span(t[:], 0x25, 0x26, shapeTable, costOrdinary)
	span(t[:], 0x28, 0x35, shapeMemory, costSlow)     // loads
	span(t[:], 0x36, 0x3e, shapeMemory, costOrdinary) // stores
	span(t[:], 0x3f, 0x3f, shapeMemorySize, costOrdinary)
	span(t[:], 0x40, 0x40, shapeMemoryGrow, costGrow)
	span(t[:], 0x41, 0x41, shapeConst32, costOrdinary)
	span(t[:], 0x42, 0x42, shapeConst64, costOrdinary)
	span(t[:], 0x43, 0x43, shapeBytes4, costOrdinary)
	span(t[:], 0x44, 0x44, shapeBytes8, costOrdinary)
	span(t[:], 0x45, 0xc4, shapePlain, costOrdinary) // comparing, computing, converting
	span(t[:], 0x6d, 0x70, shapePlain, costSlow)     // i32.div, i32.rem
	span(t[:], 0x7f, 0x82, shapePlain, costSlow)     // i64.div, i64.rem
	span(t[:], 0x91, 0x91, shapePlain, costSlow)     // f32.sqrt
	span(t[:], 0x95, 0x95, shapePlain, costSlow)     // f32.div
	span(t[:], 0x9f, 0x9f, shapePlain, costSlow)     // f64.sqrt
	span(t[:], 0xa3, 0xa3, shapePlain, costSlow)     // f64.div
	span(t[:], 0xd0, 0xd0, shapeRefNull, costOrdinary)
	span(t[:], 0xd1, 0xd1, shapePlain, costOrdinary) // ref.is_null
	span(t[:], 0xd2, 0xd2, shapeRefFunc, costOrdinary)
	span(t[:], 0xfc, 0xfc, shapePrefixFC, 0)
	span(t[:], 0xfd, 0xfd, shapePrefixFD, 0)
	return t
}

func afterFC() (t [18]instruction) {
	span(t[:], 0, 7, shapePlain, costOrdinary)
	span(t[:], 8, 8, shapeMemoryInit, costBulk)
	span(t[:], 9, 9, shapeDataDrop, costBulk)
	span(t[:], 10, 10, shapeMemoryCopy, costBulk)
	span(t[:], 11, 11, shapeMemoryFill, costBulk)
	span(t[:], 12, 12, shapeTableInit, costBulk)
	span(t[:], 13, 13, shapeElemDrop, costBulk)
	span(t[:], 14, 14, shapeTableCopy, costBulk)
	span(t[:], 15, 15, shapeTableGrow, costGrow)
	span(t[:], 16, 16, shapeTable, costOrdinary) // table.size
	span(t[:], 17, 17, shapeTableFill, costBulk)
	return t
}

func afterFD() (t [256]instruction) {
	span(t[:], 0x00, 0x0a, shapeMemory, costSlow)      // loads
	span(t[:], 0x0b, 0x0b, shapeMemory, costOrdinary)  // v128.store
	span(t[:], 0x0c, 0x0d, shapeBytes16, costOrdinary) // v128.const, i8x16.shuffle
	span(t[:], 0x0e, 0x14, shapePlain, costOrdinary)   // swizzle, splat
	span(t[:], 0x15, 0x22, shapeBytes1, costOrdinary)  // extract, replace
	span(t[:], 0x23, 0x53, shapePlain, costOrdinary)
	span(t[:], 0x54, 0x57, shapeMemoryLane, costSlow)     // loads
	span(t[:], 0x58, 0x5b, shapeMemoryLane, costOrdinary) // stores
	span(t[:], 0x5c, 0x5d, shapeMemory, costSlow)         // loads
	span(t[:], 0x5e, 0xff, shapePlain, costOrdinary)
	for _, op := range [...]int{0xe3, 0xe7, 0xef, 0xf3} { // square root and division of both float shapes
		t[op].cost = costSlow
	}
	for _, gap := range [...]int{
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4,
		0xe2, 0xee,
	} {
		t[gap] = instruction{}
	}
	return t
}

// span describes the instructions from first to last.
func span(t []instruction, first, last int, s shape, cost uint8) {
	for op := first; op <= last; op++ {
		t[op] = instruction{s, cost}
	}
}

// proposal names the extension of WebAssembly that an opcode belongs to, for whoever has to switch it off in their
// compiler.
func proposal(op byte) string {
	switch {
	case op == 0x12 || op == 0x13:
		return "tail calls"
	case op >= 0x06 && op <= 0x0a || op == 0x18 || op == 0x19 || op == 0x1f:
		return "exceptions"
	case op == 0x14 || op == 0x15 || op >= 0xd3 && op <= 0xd6:
		return "typed function references"
	case op == 0xfb:
		return "garbage collection"
	case op == 0xfe:
		return "threads"
	}
	return "unknown"
}
