package rows

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// Open opens the folder dir, or makes it, and reads all of its files. What a crash left unfinished at the end of the last
// one is cut off; damage anywhere else is ErrCorrupt: money is not guessed at.
func Open(dir string) (*Table, error) { return open(dir, fileSize) }

func open(dir string, fileSize int64) (*Table, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of rows: %w", err)
	}
	t := &Table{dir: dir, fileSize: fileSize, hashes: newHasher()}
	if err := t.load(); err != nil {
		return nil, errors.Join(err, t.abandon())
	}
	return t, nil
}

// load reads what the folder has, and begins the first file if there is none.
func (t *Table) load() error {
	numbers, err := durable.Numbered(t.dir, suffix)
	if err != nil {
		return fmt.Errorf("listing the files of rows: %w", err)
	}
	for i, number := range numbers {
		if i > 0 && number != numbers[i-1]+1 {
			return fmt.Errorf("%w: file %d is missing in %s", ErrCorrupt, numbers[i-1]+1, t.dir)
		}
		if err := t.adopt(number, i == len(numbers)-1); err != nil {
			return err
		}
	}
	if len(t.files) == 0 {
		first, err := t.begin(1)
		if err != nil {
			return err
		}
		t.files = append(t.files, first)
	}
	return t.index.reserve(0)
}

// abandon closes what was opened in vain.
func (t *Table) abandon() (err error) {
	for _, f := range t.files {
		err = errors.Join(err, f.Close())
	}
	t.index.close()
	return err
}

// adopt reads a file and takes its rows into the index.
func (t *Table) adopt(number uint64, last bool) error {
	handle, err := os.OpenFile(t.path(number), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("opening rows: %w", err)
	}
	f := &file{File: handle, number: number}
	t.files = append(t.files, f)
	info, err := handle.Stat()
	if err != nil {
		return fmt.Errorf("opening rows: %w", err)
	}
	if f.size = info.Size(); f.size >= 1<<offsetBits {
		return fmt.Errorf("%w: %s has %d bytes", ErrCorrupt, handle.Name(), f.size)
	}
	content, err := f.content()
	if err != nil {
		return err
	}
	err = frames(content, func(offset int64, fr *frame) error { return t.take(f, offset, fr) })
	bad := (*frameError)(nil)
	switch {
	case !errors.As(err, &bad):
		return err
	case !last || !torn(content[bad.offset:]):
		return fmt.Errorf("%w: %s, %w", ErrCorrupt, handle.Name(), err)
	}
	f.size = bad.offset
	if err := handle.Truncate(f.size); err != nil {
		return fmt.Errorf("cutting off an unfinished row: %w", err)
	}
	return nil
}

// take takes a row of a file into the index.
func (t *Table) take(f *file, offset int64, fr *frame) error {
	if err := t.index.reserve(1); err != nil {
		return err
	}
	f.frames++
	if h := t.hashes.of(fr.key); fr.removed {
		t.index.remove(h)
	} else {
		t.index.set(h, placeOf(f.number, offset))
	}
	return nil
}

// Snapshot returns all files, opened, in order; who asked closes them. What they hold is what was written when it is
// called, whatever happens meanwhile. It is not called beside Write.
func (t *Table) Snapshot() (all []durable.File, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return nil, ErrClosed
	}
	for _, f := range t.files {
		handle, err := os.Open(f.Name())
		if err != nil {
			for _, f := range all {
				err = errors.Join(err, f.Close())
			}
			return nil, fmt.Errorf("opening rows: %w", err)
		}
		all = append(all, durable.File{Name: filepath.Base(f.Name()), File: handle, Size: f.size})
	}
	return all, nil
}
