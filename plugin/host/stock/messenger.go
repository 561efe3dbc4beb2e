package stock

import (
	"encoding/binary"
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// relayFunction is what the messenger calls.
const relayFunction = "relay"

// messenger returns a guest whose hooks, and configure, do nothing but call relay. In the text format:
//
//	(import "extism:host/env" "relay" (func $relay (result i32)))
//	(func $ask (result i32) (call $relay))
//	(export "configure" (func $ask))
//	(export "authenticate" (func $ask))
func messenger(hooks []string) []byte {
	const i32 = 0x7f
	var exports [][]byte
	for _, hook := range append([]string{abi.ExportConfigure}, hooks...) {
		exports = append(exports, slices.Concat(name(hook), []byte{0, 1}))
	}
	body := []byte{0, 0x10, 0, 0x0b} // no locals, call 0, end
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{0x60, 0, 1, i32}),
		section(2, slices.Concat(name(runtime.ModuleExtism), name(relayFunction), []byte{0, 0})),
		section(3, []byte{0}),
		section(7, exports...),
		section(10, append([]byte{byte(len(body))}, body...)),
	)
}

// name is a text with its length.
func name(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }

// section is a section of a module: its items, with their number and length.
func section(id byte, items ...[]byte) []byte {
	content := append(binary.AppendUvarint(nil, uint64(len(items))), slices.Concat(items...)...)
	return append(binary.AppendUvarint([]byte{id}, uint64(len(content))), content...)
}
