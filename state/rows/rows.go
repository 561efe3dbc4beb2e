// Package rows keeps rows by key in append-only files: the last row of a key counts. It is what the ledger's balances
// rest on, which are written by the thousand and read one by one: a row costs its bytes, a share of one write(2), and a
// place in an index in memory. When a row was written it survives the end of the process; after Sync a power failure too.
//
// It imports internal/durable, the standard library and golang.org/x/sys. Package state owns it.
//
// A database that sorts rows moves each of them again and again: one of Badger's costs 5 µs of CPU when it is written and
// as much when tables are merged, one of these less than one (see the benchmark). A full disk is an error here and not a SIGBUS.
package rows

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// Errors of this package.
var (
	ErrCorrupt = errors.New("stored rows are damaged")
	ErrClosed  = errors.New("the rows are closed")
	ErrRow     = errors.New("a row that cannot be kept")
)

const (
	fileSize   = 8 << 20  // bytes after which a file is followed by the next
	fullBuffer = 64 << 10 // bytes that are written at one time
	suffix     = ".rows"
)

// Table is an open folder of rows. All methods may be called by many goroutines at once, but for Snapshot.
type Table struct {
	dir      string
	fileSize int64
	hashes   hasher

	writes sync.Mutex // held by who writes; taken before mu
	buf    []byte
	staged []staged // the rows in buf
	ragged bool     // bytes of a failed write may stand behind the last frame
	dirty  bool     // written since the last sync

	mu     sync.RWMutex // guards the index and the list of files; not held while files are written
	index  index
	files  []*file // their numbers follow each other; the last one is appended to
	scans  int     // that are reading files, which must not go
	closed bool    // set by who holds writes, too
}

// file is one of the files. Its number and its handle never change.
type file struct {
	*os.File
	number uint64
	size   int64 // bytes of whole frames
	frames int
}

// staged is a row on its way to the file.
type staged struct {
	hash    hash
	offset  int // in buf
	removed bool
}

// A place is where a frame lies: its file's number above 32 bits of its offset.
type place uint64

const offsetBits = 32

func placeOf(number uint64, offset int64) place { return place(number<<offsetBits | uint64(offset)) }
func (p place) number() uint64                  { return uint64(p) >> offsetBits }
func (p place) offset() int64                   { return int64(p & (1<<offsetBits - 1)) }

// Write stores rows, the last of a key counts; a nil value removes one. It keeps nothing of them. They are written one
// after the other: after an error the first ones may be stored, and a crash leaves the first ones whole.
func (t *Table) Write(rows iter.Seq2[string, []byte]) error {
	t.writes.Lock()
	defer t.writes.Unlock()
	if t.closed {
		return ErrClosed
	}
	t.buf, t.staged = t.buf[:0], t.staged[:0]
	for key, value := range rows {
		if err := checkRow(key, value); err != nil {
			return err
		}
		t.stage(t.hashes.ofString(key), value == nil)
		t.buf = appendFrame(t.buf, key, value)
		if len(t.buf) >= fullBuffer {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.compact()
}

// stage notes the row whose frame is appended to buf next.
func (t *Table) stage(h hash, removed bool) {
	t.staged = append(t.staged, staged{h, len(t.buf), removed})
}

// flush writes what is staged to the last file, and then leads the index to it.
func (t *Table) flush() error {
	if len(t.staged) == 0 {
		return nil
	}
	if err := t.reserve(len(t.staged)); err != nil {
		return err
	}
	tail := t.files[len(t.files)-1]
	if tail.size >= t.fileSize {
		var err error
		if tail, err = t.rotate(tail); err != nil {
			return err
		}
	}
	if t.ragged {
		if err := tail.Truncate(tail.size); err != nil {
			return fmt.Errorf("cutting off a failed write: %w", err)
		}
		t.ragged = false
	}
	t.dirty = true
	if _, err := tail.Write(t.buf); err != nil {
		t.ragged = tail.Truncate(tail.size) != nil
		return fmt.Errorf("writing rows: %w", err)
	}
	t.lead(tail)
	t.buf, t.staged = t.buf[:0], t.staged[:0]
	return nil
}

func (t *Table) reserve(more int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.index.reserve(more)
}

// lead makes the rows that were written those that count.
func (t *Table) lead(tail *file) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.staged {
		if s.removed {
			t.index.remove(s.hash)
		} else {
			t.index.set(s.hash, placeOf(tail.number, tail.size+int64(s.offset)))
		}
	}
	tail.size += int64(len(t.buf))
	tail.frames += len(t.staged)
}

// rotate begins the next file. The one before is synced: from now on it is only read.
func (t *Table) rotate(tail *file) (*file, error) {
	if err := tail.Sync(); err != nil {
		return nil, fmt.Errorf("syncing rows: %w", err)
	}
	next, err := t.begin(tail.number + 1)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files = append(t.files, next)
	return next, nil
}

func (t *Table) path(number uint64) string {
	return filepath.Join(t.dir, durable.NumberedName(number, suffix))
}

func (t *Table) begin(number uint64) (*file, error) {
	f, err := os.OpenFile(t.path(number), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("beginning a file of rows: %w", err)
	}
	if err := durable.SyncFolder(t.dir); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return &file{File: f, number: number}, nil
}

// filesAtATime bounds what one Write gives up, so that none takes long.
const filesAtATime = 2

// compact gives up the oldest files while most of all frames count no more: what still counts of a file is written
// again, behind all others. So a row is moved once, on average, for each time that it is written.
func (t *Table) compact() error {
	for range filesAtATime {
		frames := 0
		for _, f := range t.files { // the list is changed by who writes alone
			frames += f.frames
		}
		if len(t.files) < 3 || frames <= 2*t.index.live {
			return nil
		}
		if err := t.giveUp(t.files[0]); err != nil {
			return err
		}
	}
	return nil
}

// giveUp takes the oldest file out. A row that was removed is forgotten with the file that says so: no older one has it.
func (t *Table) giveUp(oldest *file) error {
	t.mu.RLock()
	busy := t.scans > 0
	t.mu.RUnlock()
	if busy {
		return nil // somebody reads it; the next Write will do
	}
	content, err := oldest.content()
	if err != nil {
		return err
	}
	err = frames(content, func(offset int64, f *frame) error {
		h := t.hashes.of(f.key)
		if at, ok := t.index.get(h); !ok || at != placeOf(oldest.number, offset) {
			return nil
		}
		t.stage(h, false)
		t.buf = append(t.buf, f.whole...)
		if len(t.buf) >= fullBuffer {
			return t.flush()
		}
		return nil
	})
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		err = t.sync() // it is the only one that has them now
	}
	if err != nil {
		return fmt.Errorf("giving up a file of rows: %w", err)
	}
	return t.remove(oldest)
}

// remove takes out the oldest file, to which nothing leads any more. If a scan has begun meanwhile, it stays.
func (t *Table) remove(oldest *file) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.scans > 0 {
		return nil
	}
	t.files = append(t.files[:0:0], t.files[1:]...)
	return errors.Join(oldest.Close(), os.Remove(oldest.Name()))
}

// content reads a file.
func (f *file) content() ([]byte, error) {
	content := make([]byte, f.size)
	if _, err := f.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	return content, nil
}

// firstLook is how many bytes of a frame are read at first: nearly all are shorter.
const firstLook = 256

// Read returns a row's value, which is the caller's; ok is false if there is none.
func (t *Table) Read(key string) (value []byte, ok bool, err error) {
	h := t.hashes.ofString(key)
	for {
		f, offset, err := t.find(h)
		if f.File == nil || err != nil {
			return nil, false, err
		}
		fr, err := f.frame(offset, make([]byte, firstLook))
		switch {
		case errors.Is(err, os.ErrClosed):
			continue // it was given up just now: the row lies elsewhere
		case err != nil:
			return nil, false, err
		case string(fr.key) != key:
			return nil, false, fmt.Errorf("%w: the row of %q lies where that of %q is looked for", ErrCorrupt, fr.key, key)
		}
		return fr.value, true, nil
	}
}

// find returns the file that has the row of a hash, as it is now, and where in it; no handle if there is none.
func (t *Table) find(h hash) (f file, offset int64, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return f, 0, ErrClosed
	}
	at, ok := t.index.get(h)
	if !ok {
		return f, 0, nil
	}
	return *t.files[at.number()-t.files[0].number], at.offset(), nil
}

// frame reads the frame at an offset, into look if it fits.
func (f *file) frame(offset int64, look []byte) (fr frame, err error) {
	n, err := f.ReadAt(look[:min(int64(len(look)), f.size-offset)], offset)
	if err != nil {
		return fr, fmt.Errorf("reading a row: %w", err)
	}
	if length := frameLength(look[:n]); length > n && offset+int64(length) <= f.size {
		look = make([]byte, length)
		if n, err = f.ReadAt(look, offset); err != nil {
			return fr, fmt.Errorf("reading a row: %w", err)
		}
	}
	if fr, err = parseFrame(look[:n]); err != nil {
		return fr, fmt.Errorf("%w: %s, byte %d: %w", ErrCorrupt, f.Name(), offset, err)
	}
	return fr, nil
}

// Sync makes what was written so far survive a power failure.
func (t *Table) Sync() error {
	t.writes.Lock()
	defer t.writes.Unlock()
	if t.closed {
		return ErrClosed
	}
	return t.sync()
}

func (t *Table) sync() error {
	if !t.dirty {
		return nil
	}
	if err := t.files[len(t.files)-1].Sync(); err != nil { // those before were synced when it was begun
		return fmt.Errorf("syncing rows: %w", err)
	}
	t.dirty = false
	return nil
}

// Close syncs and closes the files. Whoever comes later is refused.
func (t *Table) Close() error {
	t.writes.Lock()
	defer t.writes.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	err := t.files[len(t.files)-1].Sync()
	for _, f := range t.files {
		err = errors.Join(err, f.Close())
	}
	t.index.close()
	return err
}

// Figures says how many rows there are, and what they take of the disk.
func (t *Table) Figures() (live int, bytes int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, f := range t.files {
		bytes += f.size
	}
	return t.index.live, bytes
}
