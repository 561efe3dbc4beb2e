package rows

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// A frame in a file, numbers little-endian:
//
//	4 bytes  length of all that follows the checksum
//	4 bytes  CRC-32C of all that follows it
//	1 byte   'r': a row; 'd': the row of this key is removed
//	2 bytes  length of the key; key
//	value
const (
	rowKind     = 'r'
	removedKind = 'd'
	checkedFrom = 4 + 4 // bytes before what is summed up
	frameHead   = checkedFrom + 1 + 2
	maxKey      = 1<<16 - 1
	maxValue    = 1 << 24 // a longer one cannot be ours
)

var (
	table    = crc32.MakeTable(crc32.Castagnoli)
	errFrame = errors.New("no frame begins here")
)

// frame is a frame as it lies in memory.
type frame struct {
	key     []byte
	value   []byte
	whole   []byte
	removed bool
}

func checkRow(key string, value []byte) error {
	if len(key) > maxKey || len(value) > maxValue {
		return fmt.Errorf("%w: %d bytes under a key of %d", ErrRow, len(value), len(key))
	}
	return nil
}

// appendFrame appends a frame; one of a nil value removes the key's row.
func appendFrame(dst []byte, key string, value []byte) []byte {
	start, kind := len(dst), byte(rowKind)
	if value == nil {
		kind = removedKind
	}
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, kind)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key)))
	dst = append(append(dst, key...), value...)
	checked := dst[start+checkedFrom:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(checked)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(checked, table))
	return dst
}

// frameLength is how long the frame at the start of data says it is; 0 if that cannot be.
func frameLength(data []byte) int {
	if len(data) < frameHead {
		return 0
	}
	n := int(binary.LittleEndian.Uint32(data))
	if n < frameHead-checkedFrom || n > frameHead-checkedFrom+maxKey+maxValue {
		return 0
	}
	return checkedFrom + n
}

// parseFrame reads the frame at the start of data.
func parseFrame(data []byte) (f frame, err error) {
	length := frameLength(data)
	if length == 0 || length > len(data) {
		return f, errFrame
	}
	data = data[:length]
	kind, key := data[checkedFrom], int(binary.LittleEndian.Uint16(data[checkedFrom+1:]))
	if crc32.Checksum(data[checkedFrom:], table) != binary.LittleEndian.Uint32(data[4:]) ||
		frameHead+key > length || kind != rowKind && kind != removedKind {
		return f, errFrame
	}
	return frame{key: data[frameHead : frameHead+key], value: data[frameHead+key:], whole: data, removed: kind == removedKind}, nil
}

// frames shows all frames of a file's content.
func frames(content []byte, see func(offset int64, f *frame) error) error {
	for at := 0; at < len(content); {
		f, err := parseFrame(content[at:])
		if err != nil {
			return &frameError{int64(at)}
		}
		if err := see(int64(at), &f); err != nil {
			return err
		}
		at += len(f.whole)
	}
	return nil
}

// frameError says where what can be read ends.
type frameError struct{ offset int64 }

func (e *frameError) Error() string { return fmt.Sprintf("byte %d: %v", e.offset, errFrame) }

// torn reports whether what does not read as a frame can be one that was being written.
func torn(data []byte) bool { return len(data) < frameHead || durable.Torn(data, frameLength(data)) }
