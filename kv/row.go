package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Rows.
//
//	key    "kv/", the namespace's name, "/", the key
//	value  1 byte version of the form | 1 byte kind | version | when it expires | what it holds
//
// Numbers are variable-length integers of encoding/binary. What it holds is, by kind: the bytes, to the end of the row;
// a number; a window's length of a part, latest part and counts, the latest first. A value "hi" that lives for good,
// of version 300: 01 01 ac 02 00 68 69.
const rowVersion = 1

// appendRow appends the entry's row.
func (e *entry) appendRow(b []byte) []byte {
	b = append(b, rowVersion, byte(e.kind))
	b = binary.AppendUvarint(b, e.version)
	b = binary.AppendUvarint(b, uint64(e.expires))
	switch e.kind {
	case counter:
		b = binary.AppendVarint(b, e.number)
	case sliding:
		b = binary.AppendUvarint(b, uint64(e.window.part))
		b = binary.AppendUvarint(b, uint64(e.window.last))
		for _, n := range e.window.counts {
			b = binary.AppendUvarint(b, uint64(n))
		}
	default:
		b = append(b, e.value...)
	}
	return b
}

var errRow = errors.New("its row makes no sense")

// parse makes the entry what a row says. A value stays a part of row.
func (e *entry) parse(row []byte) error {
	d := decoder{row}
	if version := d.byte(); version != rowVersion {
		return fmt.Errorf("version %d of its row, this program knows %d", version, rowVersion)
	}
	e.kind = kind(d.byte())
	e.version, e.expires = uint64(d.natural()), d.natural()
	switch e.kind {
	case plain:
		if e.value, e.size = d.rest, len(d.rest); d.rest == nil {
			return errRow
		}
		return nil
	case counter:
		e.number = d.number()
	case sliding:
		e.window = &window{part: d.natural(), last: d.natural()}
		for i := range e.window.counts {
			count := d.natural()
			e.window.counts[i] = count
			e.window.used += count
			if e.window.used < 0 {
				return errRow
			}
		}
		if most := partOf(MaxWindow); e.window.part < 1 || e.window.part > most || e.window.last > 1<<62/e.window.part {
			return errRow
		}
	default:
		return errRow
	}
	if d.rest == nil || len(d.rest) > 0 {
		return errRow
	}
	return nil
}

// decoder reads what a row is made of. After the first thing that is not there, rest is nil and everything reads as 0.
type decoder struct{ rest []byte }

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.rest = nil
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// natural reads a number that is not negative.
func (d *decoder) natural() int64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > 1<<63-1 {
		d.rest = nil
		return 0
	}
	d.rest = d.rest[size:]
	return int64(n)
}

func (d *decoder) number() int64 {
	n, size := binary.Varint(d.rest)
	if size <= 0 {
		d.rest = nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}
