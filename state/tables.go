package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
)

// checkTables looks at the tables of a database that is not open. Badger reads the end of each when it opens them, in
// goroutines of its own: over rubbish it panics there, which nobody can catch, or ends the process, and one whose
// index has a wrong checksum it leaves out. Only what the manifest lists counts: a table that is not there is one that
// was being made when the process ended.
//
// A table is laid out so; numbers are 4 bytes, big-endian, checksums CRC-32C as a protocol buffer:
//
//	blocks | index | its length | its checksum | the checksum's length
//
// and a block, of which the last is read when it is opened:
//
//	rows | their offsets | how many there are | checksum | its length
func checkTables(dir string, opts badger.Options) error {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		if tables, _ := filepath.Glob(filepath.Join(dir, "*.sst")); len(tables) > 0 { // the pattern is sound
			return fmt.Errorf("%w: there are %d tables and no manifest: they would be removed", ErrCorrupt, len(tables))
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	manifest, _, err := badger.ReplayManifestFile(f, opts.ExternalMagicVersion, opts)
	if err != nil {
		return fmt.Errorf("%w: the manifest: %w", ErrCorrupt, err)
	}
	for id := range manifest.Tables {
		if err := checkTableFile(filepath.Join(dir, fmt.Sprintf("%06d.sst", id))); err != nil {
			return err
		}
	}
	return nil
}

func checkTableFile(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := checkTable(f, info.Size()); err != nil {
		return fmt.Errorf("the table %s: %w", filepath.Base(name), err)
	}
	return nil
}

func checkTable(r io.ReaderAt, size int64) error {
	index, err := readIndex(r, size)
	if err != nil {
		return err
	}
	var last fb.BlockOffset
	parsed := fb.GetRootAsTableIndex(index, 0)
	if n := parsed.OffsetsLength(); n == 0 || !parsed.Offsets(&last, n-1) {
		return fmt.Errorf("%w: it has no block", ErrCorrupt)
	}
	block, err := readPart(r, size, int64(last.Offset()), int64(last.Len()))
	if err != nil {
		return err
	}
	rows, sum, ok := cutChecksum(block)
	if !ok || crc32.Checksum(rows, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return fmt.Errorf("%w: the checksum of its last block is wrong", ErrCorrupt)
	}
	return nil
}

func readIndex(r io.ReaderAt, size int64) ([]byte, error) {
	end, err := readPart(r, size, max(0, size-2*4-maxChecksum), min(size, 2*4+maxChecksum))
	if err != nil {
		return nil, err
	}
	rest, sum, ok := cutChecksum(end)
	if !ok || len(rest) < 4 {
		return nil, fmt.Errorf("%w: it does not end as a table does", ErrCorrupt)
	}
	length := int64(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	start := size - int64(len(end)-len(rest)) - 4 - length
	index, err := readPart(r, size, start, length)
	if err != nil {
		return nil, err
	}
	if length == 0 || crc32.Checksum(index, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, fmt.Errorf("%w: the checksum of its index is wrong", ErrCorrupt)
	}
	return index, nil
}

// readPart reads a part of a table that something in it points at.
func readPart(r io.ReaderAt, size, start, length int64) ([]byte, error) {
	if start < 0 || length < 0 || length > size-start {
		return nil, fmt.Errorf("%w: it has %d bytes, and should have %d from %d on", ErrCorrupt, size, length, start)
	}
	b := make([]byte, length)
	if n, err := r.ReadAt(b, start); n < len(b) {
		return nil, err
	}
	return b, nil
}

// maxChecksum is how many bytes a checksum takes at most: the tag of its field, and 32 bits as a varint.
const maxChecksum = 1 + binary.MaxVarintLen32

// sumField is the tag of a checksum's value: field 2, a varint. The algorithm is not written, as CRC-32C is number 0.
const sumField = 2 << 3

// cutChecksum splits off the checksum that b ends with, and its length.
func cutChecksum(b []byte) (rest []byte, sum uint32, ok bool) {
	if len(b) < 4 {
		return nil, 0, false
	}
	b, length := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if length > maxChecksum || int(length) > len(b) {
		return nil, 0, false
	}
	rest, message := b[:len(b)-int(length)], b[len(b)-int(length):]
	if length == 0 {
		return rest, 0, true // as any number, 0 is not written
	}
	value, n := binary.Uvarint(message[1:])
	if message[0] != sumField || n <= 0 || n != len(message)-1 || value > math.MaxUint32 {
		return nil, 0, false
	}
	return rest, uint32(value), true
}
