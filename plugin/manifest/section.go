package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// magic is how a core module of version 1 begins.
const magic = "\x00asm\x01\x00\x00\x00"

// ErrNoModule says that bytes are no WebAssembly module.
var ErrNoModule = errors.New("is no WebAssembly module")

// section is one section of a module, as parts of its bytes.
type section struct {
	whole   []byte // with its id and its length
	name    string // of a custom section
	content []byte // of a custom section, without the name
	custom  bool
}

// sections cuts a module into its sections. Only custom ones are looked into.
func sections(wasm []byte) (all []section, err error) {
	if len(wasm) < len(magic) || string(wasm[:len(magic)]) != magic {
		return nil, ErrNoModule
	}
	for rest := wasm[len(magic):]; len(rest) > 0; {
		length, size, ok := readLength(rest[1:])
		if !ok || length > len(rest)-1-size {
			return nil, fmt.Errorf("%w: it ends within a section", ErrNoModule)
		}
		end := 1 + size + length
		s := section{whole: rest[:end], custom: rest[0] == 0}
		if s.custom {
			if s.name, s.content, ok = readName(rest[1+size : end]); !ok {
				return nil, fmt.Errorf("%w: a custom section has no name", ErrNoModule)
			}
		}
		all = append(all, s)
		rest = rest[end:]
	}
	return all, nil
}

// readLength reads an unsigned 32-bit number in LEB128, and returns how many bytes it takes.
func readLength(b []byte) (length, size int, ok bool) {
	n, size := binary.Uvarint(b[:min(len(b), binary.MaxVarintLen32)])
	return int(n), size, size > 0 && n <= math.MaxUint32
}

func readName(b []byte) (name string, rest []byte, ok bool) {
	length, size, ok := readLength(b)
	if !ok || length > len(b)-size || !utf8.Valid(b[size:size+length]) {
		return "", nil, false
	}
	return string(b[size : size+length]), b[size+length:], true
}

// Find returns the text of a module's manifest, a part of wasm, or nil if there is none.
func Find(wasm []byte) ([]byte, error) { return FindSection(wasm, Section) }

// FindSection returns the content of a module's only custom section of a name, a part of wasm, or nil if there is none.
func FindSection(wasm []byte, name string) (content []byte, err error) {
	all, err := sections(wasm)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if !s.custom || s.name != name {
			continue
		}
		if content != nil {
			return nil, fmt.Errorf("the module has two sections %q", name)
		}
		content = slices.Clip(s.content)
		if content == nil {
			content = []byte{}
		}
	}
	return content, nil
}

// Strip returns a module without its manifest, and otherwise byte for byte what it was.
func Strip(wasm []byte) ([]byte, error) { return StripSection(wasm, Section) }

// StripSection returns a module without its custom sections of a name, and otherwise byte for byte what it was.
func StripSection(wasm []byte, name string) ([]byte, error) {
	all, err := sections(wasm)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(wasm)), magic...)
	for _, s := range all {
		if !s.custom || s.name != name {
			out = append(out, s.whole...)
		}
	}
	return out, nil
}

// Embed returns a module with this text as its only manifest, at its end, and otherwise byte for byte what it was.
func Embed(wasm, text []byte) ([]byte, error) { return EmbedSection(wasm, Section, text) }

// EmbedSection returns a module with one custom section of a name, at its end, and otherwise byte for byte what it was.
func EmbedSection(wasm []byte, name string, content []byte) ([]byte, error) {
	out, err := StripSection(wasm, name)
	if err != nil {
		return nil, err
	}
	body := binary.AppendUvarint(nil, uint64(len(name)))
	body = append(append(body, name...), content...)
	out = binary.AppendUvarint(append(out, 0), uint64(len(body)))
	return append(out, body...), nil
}
