// Package fuel bounds the processor time of a WebAssembly guest. It takes a core module, checks its structure, and
// rewrites it so that the guest counts down a budget as it runs and traps when the budget is used up.
//
// It imports the standard library only and knows nothing of the engine that will run the module. The policy runtime
// imports it, and so may tools that look into modules.
//
// # How a guest is metered
//
// [Instrument] appends one mutable i64 global, exported as [Export], which holds the fuel that is left. Its initial
// value is the budget of the start function and of _initialize; the host sets it anew before each later call. Code
// is cut into regions. A region begins at the entry of a function, at the header of a loop, and at the `end` of any
// construct that holds a br_table; where it begins, the cost of the whole region is subtracted, and below zero the
// guest executes `unreachable`. After a trap the host tells exhaustion from the guest's own `unreachable` by the sign
// of the global.
//
// Within a region control moves forward only, and only through the point where it begins, so no instruction is ever
// executed without having been paid for. The other direction is deliberately loose: both arms of an `if` are paid
// for, and so is code that a branch skips. The exception are switches, which compile to a br_table inside a nest of
// blocks: paying for all cases at once would make an interpreter's loop hundreds of times dearer than it is, so there
// a case pays for itself. Cases that are so cheap that charging would take longer than running them are paid for in
// advance, up to 32 by each br_table and by each case in front of them: Go's compiler turns all jumps of a function
// into cases of one switch, and charging each of them cost half of the speed.
//
// # What things cost
//
//   - an instruction costs 1
//   - a load costs 8, as it may have to wait for memory; so do a division, a remainder and a square root
//   - block, loop, else, end and nop cost nothing: they become no code, and a switch may nest hundreds of them
//   - a function's entry costs 32 and 1 for each local, parameters included: what deep recursion takes is stack
//   - a call of an imported function costs 32 more, and so does call_indirect, which may end at one; what the host
//     function does is for the host to charge
//   - memory.fill, memory.copy and memory.init cost 8 and 1 for each 8 bytes; the table instructions 8 and 1 for
//     each element; memory.grow and table.grow 64 and 8192 for each page, 1 for each element
//
// A unit therefore takes anything between a tenth of a nanosecond and about eight, the most where each load misses
// all caches. It bounds time and does not measure it.
//
// # What is refused
//
// The rewriting is safe only if the guest cannot name what was added. So every index that the module uses is checked
// against the counts of the module as it came, and everything that the walk over the code does not know is refused:
// what passes is core WebAssembly 2.0 with SIMD, on one memory that is not shared. Tail calls would run without
// entering, exceptions would leave regions in ways not accounted for, and threads would race on the global.
// Types are not checked. What is added neither needs nor leaves an operand, so that a module that an engine would
// refuse is refused still, by the engine.
package fuel
