package sums

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A file begins with magic. Rows follow it, in strictly ascending order of their keys:
//
//	uvarint  length of the key
//	key
//	uvarint  length of the label
//	label
//	uvarint  count of the numbers
//	varints  the numbers, in zigzag encoding
//
// and then the footer:
//
//	8 bytes  count of the rows, little-endian
//	4 bytes  CRC-32C of everything before, little-endian
//
// A part of one row with the key "k", no label and the numbers 1 and -1:
//
//	"sallysums" 01 | 01 "k" 00 02 02 01 | 01 00 00 00 00 00 00 00 | CRC-32C of these 24 bytes
const (
	magic      = "sallysums\x01" // the last byte is the version
	footerSize = 8 + 4
)

// Bounds of a row.
const (
	MaxText    = 64 << 10 // bytes of a key, and of a label
	MaxNumbers = 1024
)

const (
	suffix          = ".sums"
	temporarySuffix = ".tmp"
	numberDigits    = 20
	writeSize       = 64 << 10 // bytes that are written at a time
)

var table = crc32.MakeTable(crc32.Castagnoli)

// part is what is known of one file.
type part struct {
	day         string
	first, last uint64 // numbers of the additions in it
	size        int64
}

func (p part) name() string {
	return fmt.Sprintf("%s.%0*d-%0*d%s", p.day, numberDigits, p.first, numberDigits, p.last, suffix)
}

// parseName reads the name of a file: a part's, or that of one on its way.
func parseName(name string) (p part, temporary, ours bool) {
	name, temporary = strings.CutSuffix(name, temporarySuffix)
	const first = len("2006-01-02.")
	const last = first + numberDigits + 1
	if len(name) != last+numberDigits+len(suffix) {
		return part{}, false, false
	}
	p.day = name[:first-1]
	var errs [3]error
	errs[0] = checkDay(p.day)
	p.first, errs[1] = strconv.ParseUint(name[first:first+numberDigits], 10, 64)
	p.last, errs[2] = strconv.ParseUint(name[last:last+numberDigits], 10, 64)
	ours = errors.Join(errs[:]...) == nil && p.first > 0 && p.first <= p.last && p.name() == name
	return p, temporary, ours
}

// writer writes a part under a temporary name. The file is made when the first bytes are written.
type writer struct {
	part
	path string // that it will have
	file *os.File
	buf  []byte // not written yet
	crc  uint32 // of what is written
	rows uint64
}

func newWriter(dir string, p part) *writer {
	return &writer{part: p, path: filepath.Join(dir, p.name()), buf: []byte(magic)}
}

// addAll writes rows, if they are such as can be read again.
func (w *writer) addAll(rows iter.Seq[Row]) error {
	before := ""
	for r := range rows {
		switch {
		case len(r.Key) > MaxText || len(r.Label) > MaxText:
			return fmt.Errorf("a key of %d and a label of %d bytes: at most %d are possible", len(r.Key), len(r.Label), MaxText)
		case len(r.Numbers) > MaxNumbers:
			return fmt.Errorf("%d numbers in a row: at most %d are possible", len(r.Numbers), MaxNumbers)
		case w.rows > 0 && r.Key <= before:
			return fmt.Errorf("the key %q comes after %q", r.Key, before)
		}
		before = r.Key
		w.buf = appendRow(w.buf, r.Key, r.Label, r.Numbers)
		if err := w.added(); err != nil {
			return err
		}
	}
	return nil
}

func appendRow[T string | []byte](buf []byte, key, label T, numbers []int64) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	buf = append(buf, key...)
	buf = binary.AppendUvarint(buf, uint64(len(label)))
	buf = append(buf, label...)
	buf = binary.AppendUvarint(buf, uint64(len(numbers)))
	for _, n := range numbers {
		buf = binary.AppendVarint(buf, n)
	}
	return buf
}

// added counts a row that was appended to buf, and writes when that has become long.
func (w *writer) added() error {
	w.rows++
	if len(w.buf) < writeSize {
		return nil
	}
	return w.flush()
}

// flush writes what is in buf.
func (w *writer) flush() (err error) {
	if w.file == nil {
		w.file, err = os.OpenFile(w.path+temporarySuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
	}
	if _, err := w.file.Write(w.buf); err != nil {
		return err
	}
	w.crc = crc32.Update(w.crc, table, w.buf)
	w.size += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// finish writes the footer, syncs the file, and gives it its name. After that the folder has to be synced.
func (w *writer) finish() error {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, w.rows)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, crc32.Update(w.crc, table, w.buf))
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(w.path+temporarySuffix, w.path); err != nil {
		return err
	}
	w.file = nil
	return nil
}

// discard removes what was written, unless finish has given it its name.
func (w *writer) discard() {
	if w.file != nil {
		_ = w.file.Close()                      // nobody will read it
		_ = os.Remove(w.path + temporarySuffix) // else the next Open removes it
		w.file = nil
	}
}
