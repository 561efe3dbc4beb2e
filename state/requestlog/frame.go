package requestlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
)

// A row in a file, numbers little-endian:
//
//	1 byte   0xff, which no text in UTF-8 has: behind damage, it is where the next row may begin
//	1 byte   what follows: 'r' for a row
//	4 bytes  length of all that follows the checksum
//	4 bytes  CRC-32C of all that follows it
//	8 bytes  Unix seconds of its expiry
//	1 byte   length of the key; key
//	value
//
// The last of a file that was ended properly is its index, 'i' in the place of 'r':
//
//	8 bytes  number of rows
//	8 bytes  least expiry
//	8 bytes  greatest expiry
//	1 byte   length of the least key; key
//	1 byte   length of the greatest key; key
//	2 bytes  length of the whole, so that it can be found from the end
const (
	mark       = 0xff
	rowKind    = 'r'
	indexKind  = 'i'
	frameHead  = 1 + 1 + 4 + 4
	rowHead    = frameHead + 8 + 1
	maxKey     = 255
	maxContent = 1 << 20 // a longer one cannot be ours
	maxIndex   = frameHead + 3*8 + 2*(1+maxKey) + 2
)

var (
	table    = crc32.MakeTable(crc32.Castagnoli)
	errFrame = errors.New("no frame of this log")
)

// row is a row as it lies in a frame.
type row struct {
	key     []byte
	value   []byte
	expires int64
}

// Begin begins the frame of a row at the end of dst. The value is to be appended, and the frame then ended by Seal. A
// key is cut at 255 bytes.
func Begin(dst []byte, key string, expires int64) []byte {
	key = key[:min(len(key), maxKey)]
	dst = append(dst, mark, rowKind, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(expires))
	dst = append(dst, byte(len(key)))
	return append(dst, key...)
}

// Seal ends a frame, which is all of frame.
func Seal(frame []byte) {
	binary.LittleEndian.PutUint32(frame[2:], uint32(len(frame)-frameHead))
	binary.LittleEndian.PutUint32(frame[6:], crc32.Checksum(frame[frameHead:], table))
}

// content returns what the frame at the start of data holds, and the frame's length; 0 if none begins there.
func content(data []byte, kind byte) (inside []byte, length int) {
	if len(data) < frameHead || data[0] != mark || data[1] != kind {
		return nil, 0
	}
	n := int(binary.LittleEndian.Uint32(data[2:]))
	if n > maxContent || n > len(data)-frameHead {
		return nil, 0
	}
	inside = data[frameHead : frameHead+n]
	if crc32.Checksum(inside, table) != binary.LittleEndian.Uint32(data[6:]) {
		return nil, 0
	}
	return inside, frameHead + n
}

// parse reads the row at the start of data. length is 0 if there is none.
func parse(data []byte) (r row, length int) {
	inside, length := content(data, rowKind)
	if len(inside) < 8+1 || len(inside) < 8+1+int(inside[8]) {
		return row{}, 0
	}
	end := 8 + 1 + int(inside[8])
	return row{key: inside[9:end], value: inside[end:], expires: int64(binary.LittleEndian.Uint64(inside))}, length
}

// scan shows every row of a file's content to see, and returns where the last of them ends. Damage is passed over.
func scan(data []byte, see func(row)) (end int) {
	for at := 0; at < len(data); {
		r, length := parse(data[at:])
		if length == 0 {
			next := bytes.IndexByte(data[at+1:], mark)
			if next < 0 {
				break
			}
			at += 1 + next
			continue
		}
		at += length
		end = at
		see(r)
	}
	return end
}

// appendTo appends the index as the frame that ends a file.
func (x *index) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, mark, indexKind, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, n := range []int64{x.rows, x.begins, x.expires} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(n))
	}
	for _, key := range []string{x.first, x.last} {
		dst = append(append(dst, byte(len(key))), key...)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(dst)-start+2))
	Seal(dst[start:])
	return dst
}

// readIndex reads the index at the end of a file, if there is one.
func readIndex(path string, size int64) (index, bool) {
	f, err := os.Open(path) //nolint:gosec // our own file
	if err != nil {
		return index{}, false
	}
	defer func() { _ = f.Close() }() // it was only read
	tail := make([]byte, min(size, maxIndex))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil || len(tail) < 2 {
		return index{}, false
	}
	length := int(binary.LittleEndian.Uint16(tail[len(tail)-2:]))
	if length > len(tail) {
		return index{}, false
	}
	return parseIndex(tail[len(tail)-length:])
}

// parseIndex reads a frame that is an index.
func parseIndex(data []byte) (x index, ok bool) {
	inside, length := content(data, indexKind)
	if length == 0 || length != len(data) || len(inside) < 3*8 {
		return index{}, false
	}
	for i, n := range []*int64{&x.rows, &x.begins, &x.expires} {
		*n = int64(binary.LittleEndian.Uint64(inside[8*i:]))
	}
	rest := inside[3*8:]
	for _, key := range []*string{&x.first, &x.last} {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return index{}, false
		}
		*key, rest = string(rest[1:1+int(rest[0])]), rest[1+int(rest[0]):]
	}
	return x, len(rest) == 2
}
