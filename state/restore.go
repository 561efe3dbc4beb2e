package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/internal/durable"
	"github.com/sallyport-dev/sallyport/state/journal"
	"github.com/sallyport-dev/sallyport/state/rows"
	"github.com/sallyport-dev/sallyport/state/sums"
)

// restoringFolder is where a ledger is restored, in the data folder, until it is known to be whole.
const restoringFolder = "restoring"

// Restore makes the data folder dir from a backup. There must be none, or an empty one: ErrExists otherwise. What is
// written is read again and compared with the backup's checksum before it is taken for good. After an error, ErrCorrupt
// for a backup that is cut or damaged, there is nothing left of it.
func Restore(ctx context.Context, dir string, r io.Reader, opts Options) error {
	isNew, err := isEmpty(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = restoreInto(ctx, dir, r, opts.withDefaults())
		if err != nil && isNew {
			err = errors.Join(err, remove(dir))
		}
	}
	if err != nil {
		return fmt.Errorf("restoring a backup into %s: %w", dir, translate(err))
	}
	return nil
}

// isEmpty answers ErrExists for a folder that has more in it than a restoring that was killed leaves behind.
func isEmpty(dir string) (isNew bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	for _, e := range entries {
		if name := e.Name(); name != restoringFolder && name != lockFile && name != probeFile {
			return false, fmt.Errorf("%w: the folder holds %q", ErrExists, name)
		}
	}
	return false, err
}

func restoreInto(ctx context.Context, dir string, r io.Reader, opts Options) (err error) {
	lock, err := lockFolder(dir)
	if err != nil {
		return fmt.Errorf("locking the data folder %s: %w", dir, err)
	}
	temporary := filepath.Join(dir, restoringFolder)
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary), remove(filepath.Join(dir, probeFile)), remove(lock.Name()))
		}
		err = errors.Join(err, lock.Close())
	}()
	space, err := watchSpace(dir, opts)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(temporary), space.makeRoom(space.bounds.open)); err != nil {
		return err
	}
	if err := restoreLedger(ctx, temporary, r, space); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(dir, ledgerFolder)); err != nil {
		return err
	}
	return durable.SyncFolder(dir)
}

func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// restoreLedger makes a ledger's folder from a backup, and reads it again.
func restoreLedger(ctx context.Context, dir string, r io.Reader, space *spaceWatch) (err error) {
	in := newBackupReader(r)
	c, err := in.header()
	if err != nil {
		return damaged(err)
	}
	db, err := openDatabase(dir, space.bounds.memTable, space.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, translate(db.Close())) }()
	if c.journal, err = journal.Create(filepath.Join(dir, journalFolder), c.first); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.journal.Close()) }()
	restored := &restorer{in: in, dir: dir, rows: db.NewWriteBatch(), journal: c.journal, space: space}
	defer restored.rows.Cancel()
	if err := errors.Join(restored.run(ctx), restored.endFile()); err != nil {
		return err
	}
	c.last = c.journal.Last()
	c.txn = db.NewTransaction(false)
	defer c.txn.Discard()
	return errors.Join(compare(ctx, dir, &c, restored.sum), db.Sync())
}

// compare reads what was restored again, as it will be read later, and compares it with the backup's checksum.
func compare(ctx context.Context, dir string, c *contents, want []byte) (err error) {
	books, err := rows.Open(filepath.Join(dir, booksFolder))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	usage, err := sums.Open(filepath.Join(dir, usageFolder))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, usage.Close()) }()
	c.files, err = snapshot(books, usage)
	defer c.close()
	if err != nil {
		return err
	}
	sum, err := c.dump(ctx, io.Discard)
	if err == nil && !bytes.Equal(sum, want) {
		err = fmt.Errorf("%w: what was written reads differently", ErrCorrupt)
	}
	return err
}

// damaged says that a backup cannot be read. A stream that ends too early is no end of file to who asked for it all.
func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: the backup: %w", ErrCorrupt, err)
}

// restorer writes the frames of a backup to where they belong.
type restorer struct {
	in       *backupReader
	dir      string
	file     *os.File // that is being written; nil: none
	rows     *badger.WriteBatch
	journal  *journal.Journal
	space    *spaceWatch
	written  uint64 // bytes since the disk was asked
	sum      []byte // of all before the checksum
	numRows  uint64
	segments uint64
}

func (r *restorer) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, err := r.in.ReadByte()
		if err != nil {
			return damaged(err)
		}
		switch kind {
		case rowFrame:
			err = r.row()
		case segmentFrame:
			err = r.segment()
		case fileFrame:
			err = r.part()
		case endFrame:
			return r.end()
		default:
			err = damaged(fmt.Errorf("a frame of the unknown kind %q", kind))
		}
		if err != nil {
			return err
		}
	}
}

func (r *restorer) row() error {
	key, err := r.in.sized()
	if err != nil {
		return damaged(err)
	}
	key = append(make([]byte, 0, len(key)), key...) // the batch keeps both
	value, err := r.in.sized()
	if err != nil {
		return damaged(err)
	}
	value = append(make([]byte, 0, len(value)), value...)
	r.numRows++
	if err := r.room(len(key) + len(value)); err != nil {
		return err
	}
	return translate(r.rows.Set(key, value))
}

func (r *restorer) segment() error {
	number, err := binary.ReadUvarint(r.in)
	if err != nil {
		return damaged(err)
	}
	segment, err := r.in.sized()
	if err != nil {
		return damaged(err)
	}
	if number != r.journal.Last()+1 || len(segment) == 0 {
		return damaged(fmt.Errorf("segment %d of %d bytes after %d", number, len(segment), r.journal.Last()))
	}
	r.segments++
	if err := r.room(len(segment)); err != nil {
		return err
	}
	return translate(r.journal.Append(number, segment, false))
}

// part appends to a file of the ledger's books or usage.
func (r *restorer) part() error {
	name, err := r.in.sized()
	if err != nil {
		return damaged(err)
	}
	folder, base, _ := strings.Cut(string(name), "/")
	if folder != booksFolder && folder != usageFolder || !filepath.IsLocal(base) || filepath.Base(base) != base {
		return damaged(fmt.Errorf("a file named %q", name))
	}
	if path := filepath.Join(r.dir, folder, base); r.file == nil || r.file.Name() != path {
		if err := r.beginFile(path); err != nil {
			return err
		}
	}
	content, err := r.in.sized()
	if err != nil {
		return damaged(err)
	}
	if err := r.room(len(content)); err != nil {
		return err
	}
	_, err = r.file.Write(content)
	return translate(err)
}

func (r *restorer) beginFile(path string) error {
	if err := errors.Join(r.endFile(), os.MkdirAll(filepath.Dir(path), 0o700)); err != nil {
		return err
	}
	var err error
	if r.file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil { //nolint:gosec // its name was looked at
		return damaged(err)
	}
	return nil
}

// endFile syncs and closes the file that is being written.
func (r *restorer) endFile() error {
	if r.file == nil {
		return nil
	}
	err := errors.Join(r.file.Sync(), r.file.Close())
	r.file = nil
	return translate(err)
}

// room asks the disk now and then: Badger would not survive filling it.
func (r *restorer) room(n int) error {
	if r.written += uint64(n); r.written < 1<<20 {
		return nil
	}
	r.written = 0
	return r.space.makeRoom(r.space.bounds.ledger)
}

func (r *restorer) end() error {
	if err := r.in.end(r.numRows, r.segments); err != nil {
		return damaged(err)
	}
	r.sum = bytes.Clone(r.in.buf) // the checksum is the last that was read
	return translate(r.rows.Flush())
}
