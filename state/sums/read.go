package sums

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const readSize = 32 << 10 // bytes that are read at a time; a longer row takes more

// Reasons why a part is damaged.
var (
	errMagic    = errors.New("it does not begin as a part does")
	errShort    = errors.New("it ends within a row")
	errLength   = errors.New("a row is longer than one can be")
	errOrder    = errors.New("the keys are not in order")
	errChecksum = errors.New("the checksum differs")
)

// reader reads the rows of one part. It can be used for one after the other.
type reader struct {
	file *os.File
	age  int    // place among the parts that are read together: the newest is the last
	left int64  // bytes of rows that are not in buf yet
	crc  uint32 // of what was read
	rows uint64

	buf      []byte
	pos, end int // what is not used yet of buf

	key, label []byte // of the row, until next is called
	numbers    []int64
	before     []byte // the key of the row before it
}

// begin begins to read a file.
func (r *reader) begin(file *os.File, age int) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("reading the sums: %w", err)
	}
	r.file, r.age = file, age
	r.crc, r.rows, r.pos, r.end, r.key = 0, 0, 0, 0, nil
	r.left = info.Size() - footerSize
	if r.left < int64(len(magic)) {
		return r.damaged(errMagic)
	}
	if size := min(r.left, readSize); int64(len(r.buf)) < size {
		r.buf = make([]byte, size)
	}
	for r.end < len(magic) {
		if err := r.fill(); err != nil {
			return err
		}
	}
	if string(r.buf[:len(magic)]) != magic {
		return r.damaged(errMagic)
	}
	r.pos = len(magic)
	return nil
}

func (r *reader) damaged(reason error) error {
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, r.file.Name(), reason)
}

// next reads the next row. There is none behind the last one, if the whole part was as it was written.
func (r *reader) next() (more bool, err error) {
	r.before = append(r.before[:0], r.key...)
	for {
		if r.pos == r.end && r.left == 0 {
			return false, r.checkFooter()
		}
		length, err := r.parse(r.buf[r.pos:r.end])
		if err != nil {
			return false, r.damaged(err)
		}
		if length > 0 {
			r.pos += length
			break
		}
		if err := r.fill(); err != nil {
			return false, err
		}
	}
	if r.rows > 0 && bytes.Compare(r.key, r.before) <= 0 {
		return false, r.damaged(errOrder)
	}
	r.rows++
	return true, nil
}

// parse reads the row at the start of data. length is 0 if data ends before the row does. Nothing is believed to be
// longer than it can be.
func (r *reader) parse(data []byte) (length int, err error) {
	var used int
	if r.key, used, err = text(data); used == 0 {
		return 0, err
	}
	length = used
	if r.label, used, err = text(data[length:]); used == 0 {
		return 0, err
	}
	length += used
	count, used := binary.Uvarint(data[length:])
	if used < 0 || count > MaxNumbers {
		return 0, errLength
	}
	length += used
	r.numbers = r.numbers[:0]
	if used == 0 {
		return 0, nil
	}
	for range count {
		if length < len(data) && data[length] < 0x80 { // most are short
			u := uint64(data[length])
			r.numbers = append(r.numbers, int64(u>>1)^-int64(u&1))
			length++
			continue
		}
		n, used := binary.Varint(data[length:])
		if used < 0 {
			return 0, errLength
		} else if used == 0 {
			return 0, nil
		}
		r.numbers = append(r.numbers, n)
		length += used
	}
	return length, nil
}

// text reads a length and so many bytes. used is 0 if data ends before they do.
func text(data []byte) (content []byte, used int, err error) {
	length, used := binary.Uvarint(data)
	if used < 0 || length > MaxText {
		return nil, 0, errLength
	}
	end := used + int(length)
	if used == 0 || end > len(data) {
		return nil, 0, nil
	}
	return data[used:end], end, nil
}

// fill reads more of the rows into buf, which becomes longer if a row does not fit.
func (r *reader) fill() error {
	if r.left == 0 {
		return r.damaged(errShort)
	}
	if r.pos > 0 {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
	} else if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.file.Read(r.buf[r.end:min(int64(len(r.buf)), int64(r.end)+r.left)])
	if errors.Is(err, io.EOF) {
		return r.damaged(errShort)
	} else if err != nil {
		return fmt.Errorf("reading the sums: %w", err)
	}
	r.crc = crc32.Update(r.crc, table, r.buf[r.end:r.end+n])
	r.end += n
	r.left -= int64(n)
	return nil
}

// checkFooter reads the footer, and says whether it is that of the rows that were read.
func (r *reader) checkFooter() error {
	var footer [footerSize]byte
	if _, err := io.ReadFull(r.file, footer[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged(errShort)
	} else if err != nil {
		return fmt.Errorf("reading the sums: %w", err)
	}
	crc := crc32.Update(r.crc, table, footer[:8])
	if binary.LittleEndian.Uint32(footer[8:]) != crc || binary.LittleEndian.Uint64(footer[:]) != r.rows {
		return r.damaged(errChecksum)
	}
	return nil
}
