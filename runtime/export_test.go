package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/tetratelabs/wazero"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// CompileUnmetered has a module's next Load use code that does not count fuel, to compare with.
func (r *Runtime) CompileUnmetered(ctx context.Context, wasm []byte) error {
	key := moduleKey{wasm: sha256.Sum256(wasm), memory: DefaultMemory}
	m, _, p, err := r.check(key, wasm)
	if err == nil {
		m.cache = wazero.NewCompilationCache()
		err = m.build(ctx, r.config(m), withFuel(wasm), p)
	}
	r.modules[key] = m
	return err
}

// withFuel appends the global that instances are given their fuel in, and nothing that uses it up. The module must
// have globals and exports, and import no globals.
func withFuel(wasm []byte) []byte {
	const header, globals, exports = 8, 6, 7
	out := bytes.Clone(wasm[:header])
	var index uint64
	for rest := wasm[header:]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		content := rest[1+n:][:size]
		rest = rest[1+n+int(size):]
		if id == globals || id == exports {
			count, n := binary.Uvarint(content)
			content = append(binary.AppendUvarint(nil, count+1), content[n:]...)
			if id == globals {
				index = count
				content = append(content, 0x7e, 1, 0x42, 0, 0x0b) // a mutable i64, 0
			} else {
				content = append(append(content, byte(len(fuel.Export))), fuel.Export...)
				content = binary.AppendUvarint(append(content, 3), index)
			}
		}
		out = append(binary.AppendUvarint(append(out, id), uint64(len(content))), content...)
	}
	return out
}
