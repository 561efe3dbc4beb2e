// Package journal keeps numbered segments of bytes in append-only files. It is what the ledger's journal rests on:
// when Append returns, the segment survives the end of the process, and after a crash every acknowledged segment is
// there, whole and in order.
//
// It imports internal/durable and the standard library. Package state owns it.
//
// A file is named by the number of its first segment and grows to FileSize before the next one begins. A record:
//
//	4 bytes  length of the payload, little-endian
//	4 bytes  CRC-32C of number and payload
//	8 bytes  number of the segment, little-endian; numbers follow each other without gaps
//	payload
//
// The files are written with write(2): one costs a tenth of a commit of Badger (see the benchmark), a full disk is an
// error and not a SIGBUS, and dropping old segments gives their space back at once.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// Errors of this package.
var (
	ErrCorrupt = errors.New("the journal is damaged")
	ErrClosed  = errors.New("the journal is closed")
	ErrNumber  = errors.New("a segment must follow the last one")
)

// Bounds of the files.
const (
	FileSize   = 64 << 20 // bytes after which a new file is begun
	MaxSegment = 16 << 20 // a longer record cannot be ours
	headerSize = 4 + 4 + 8
	suffix     = ".journal"
)

var table = crc32.MakeTable(crc32.Castagnoli)

// Journal is an open folder of files. Append and Drop are called by one goroutine at a time each; everything else by
// many.
type Journal struct {
	dir      string
	fileSize int64

	mu     sync.Mutex // held while the files are changed, not while they are written
	files  []file     // in order; the last one is appended to
	tail   *os.File
	buf    []byte // a record on its way
	ragged bool   // bytes of a failed write may stand behind the last record
	closed bool

	last  atomic.Uint64 // number of the last segment that is whole
	dirty atomic.Bool   // written since the last Sync
}

// file is one of the journal's files.
type file struct {
	first uint64 // number of its first segment
	size  int64  // bytes of whole records
}

// Open opens the folder dir, or makes it. What a crash left unfinished at the end of the last file is cut off; damage
// anywhere else is ErrCorrupt: money is not guessed at.
func Open(dir string) (*Journal, error) { return open(dir, FileSize) }

func open(dir string, fileSize int64) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the journal's folder: %w", err)
	}
	j := &Journal{dir: dir, fileSize: fileSize}
	firsts, err := durable.Numbered(dir, suffix)
	if err != nil {
		return nil, fmt.Errorf("listing the journal: %w", err)
	}
	for i, first := range firsts {
		if err := j.adopt(first, i == len(firsts)-1); err != nil {
			return nil, err
		}
	}
	if len(j.files) == 0 {
		err = j.begin(1)
	} else {
		err = j.reopen()
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

func (j *Journal) path(first uint64) string {
	return filepath.Join(j.dir, durable.NumberedName(first, suffix))
}

// adopt checks a file and takes it into the list. Only the last one is read through: those before it were whole when
// the next was begun, and are checked when they are read.
func (j *Journal) adopt(first uint64, last bool) error {
	path := j.path(first)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	f := file{first: first, size: info.Size()}
	if last {
		if f.size, err = j.checkTail(path, first); err != nil {
			return err
		}
	}
	j.files = append(j.files, f)
	return nil
}

// checkTail reads the last file, notes the number of the last whole segment, and cuts off what is behind it if that
// is the start of a record that was never finished.
func (j *Journal) checkTail(path string, first uint64) (size int64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("opening the journal: %w", err)
	}
	next := first
	for rest := data; ; next++ {
		payload, after, err := record(rest, next)
		if err != nil && !torn(rest) {
			return 0, fmt.Errorf("%w: %s, byte %d: %w", ErrCorrupt, path, size, err)
		}
		if payload == nil {
			break
		}
		size += int64(len(rest) - len(after))
		rest = after
	}
	j.last.Store(next - 1)
	if size < int64(len(data)) {
		if err := os.Truncate(path, size); err != nil {
			return 0, fmt.Errorf("cutting off an unfinished segment: %w", err)
		}
	}
	return size, nil
}

var errRecord = errors.New("no such record")

// record reads the record at the start of data. payload is nil if there is none, for the reason err, or at the end.
func record(data []byte, number uint64) (payload, rest []byte, err error) {
	if len(data) == 0 {
		return nil, nil, nil
	}
	if len(data) < headerSize {
		return nil, nil, errRecord
	}
	length := int(binary.LittleEndian.Uint32(data))
	if length == 0 || length > MaxSegment || length > len(data)-headerSize {
		return nil, nil, errRecord
	}
	body := data[8 : headerSize+length]
	if crc32.Checksum(body, table) != binary.LittleEndian.Uint32(data[4:]) || binary.LittleEndian.Uint64(body) != number {
		return nil, nil, errRecord
	}
	return data[headerSize : headerSize+length], data[headerSize+length:], nil
}

// torn reports whether what does not read as a record can be one that was being written.
func torn(data []byte) bool {
	if len(data) < headerSize {
		return true
	}
	claimed := 0
	if length := int(binary.LittleEndian.Uint32(data)); length > 0 && length <= MaxSegment {
		claimed = headerSize + length
	}
	return durable.Torn(data, claimed)
}

// begin begins a new file.
func (j *Journal) begin(first uint64) error {
	f, err := os.OpenFile(j.path(first), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("beginning a file of the journal: %w", err)
	}
	if err := durable.SyncFolder(j.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(j.path(first)))
	}
	if len(j.files) == 0 {
		j.last.Store(first - 1)
	}
	j.files, j.tail = append(j.files, file{first: first}), f
	return nil
}

// reopen opens the last file for appending.
func (j *Journal) reopen() (err error) {
	first := j.files[len(j.files)-1].first
	if j.tail, err = os.OpenFile(j.path(first), os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	return nil
}

// Last returns the number of the last segment; 0 if there never was one.
func (j *Journal) Last() uint64 { return j.last.Load() }

// Append writes the next segment. When it returns nil the segment survives the end of the process; with sync, a power
// failure too. An error leaves the journal as it was.
func (j *Journal) Append(number uint64, segment []byte, sync bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case number != j.last.Load()+1:
		return fmt.Errorf("%w: %d after %d", ErrNumber, number, j.last.Load())
	case len(segment) == 0 || len(segment) > MaxSegment:
		return fmt.Errorf("a segment of %d bytes: 1 to %d are possible", len(segment), MaxSegment)
	}
	if j.files[len(j.files)-1].size >= j.fileSize {
		if err := j.rotate(number); err != nil {
			return err
		}
	}
	j.buf = append(j.buf[:0], make([]byte, headerSize)...)
	j.buf = append(j.buf, segment...)
	binary.LittleEndian.PutUint32(j.buf, uint32(len(segment)))
	binary.LittleEndian.PutUint64(j.buf[8:], number)
	binary.LittleEndian.PutUint32(j.buf[4:], crc32.Checksum(j.buf[8:], table))
	return j.write(number, sync)
}

// write writes the record in buf. What a failed write left behind is cut off again.
func (j *Journal) write(number uint64, sync bool) error {
	f := &j.files[len(j.files)-1]
	if j.ragged {
		if err := j.tail.Truncate(f.size); err != nil {
			return fmt.Errorf("cutting off a failed write: %w", err)
		}
		j.ragged = false
	}
	_, err := j.tail.Write(j.buf)
	if err == nil && sync {
		err = j.tail.Sync()
	}
	if err != nil {
		j.ragged = j.tail.Truncate(f.size) != nil
		return fmt.Errorf("writing the journal: %w", err)
	}
	f.size += int64(len(j.buf))
	j.last.Store(number)
	if !sync {
		j.dirty.Store(true)
	}
	return nil
}

// rotate begins the next file. The one before is synced: from now on it is only read.
func (j *Journal) rotate(first uint64) error {
	if err := j.tail.Sync(); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	old := j.tail
	if err := j.begin(first); err != nil {
		return err
	}
	return old.Close()
}

// Sync makes what was appended so far survive a power failure.
func (j *Journal) Sync() error {
	if !j.dirty.Swap(false) {
		return nil
	}
	j.mu.Lock()
	tail := j.tail
	closed := j.closed
	j.mu.Unlock()
	if closed {
		return ErrClosed
	}
	// The file may be rotated meanwhile: then it has been synced, and is closed.
	if err := tail.Sync(); err != nil && !errors.Is(err, fs.ErrClosed) {
		j.dirty.Store(true)
		return fmt.Errorf("syncing the journal: %w", err)
	}
	return nil
}

// Close syncs and closes the journal. Nothing may be appended after it.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return errors.Join(j.tail.Sync(), j.tail.Close())
}
