package state

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// database is one of Badger's, and what it takes to survive its failing. When Badger cannot make the file of a new
// memory table, because the disk has become read-only or no file descriptor is left, it goes on without one: the next
// write then ends the process, and the next read panics. So writes go one by one, and after one that failed nobody
// touches the database until it was opened again. Its gate is closed until then.
type database struct {
	open  func() (*badger.DB, error)
	log   *slog.Logger
	space *spaceWatch
	gate  *gate

	inUse  sync.RWMutex // read-held while handle is used; taken only by TryLock, so that no reader ever waits for a reader
	writes sync.Mutex   // held by the one who writes
	handle *badger.DB
	told   bool // that opening it again failed; for who holds inUse
}

// begin is called before handle is used, and end after it. ErrClosed is answered where Badger would wait forever.
func (d *database) begin() (*badger.DB, error) {
	if err := d.gate.failure(); err != nil {
		return nil, err
	}
	d.inUse.RLock()
	err := d.gate.failure()
	if err == nil && d.handle.IsClosed() {
		err = ErrClosed
	}
	if err != nil {
		d.inUse.RUnlock()
		return nil, err
	}
	return d.handle, nil
}

func (d *database) end() { d.inUse.RUnlock() }

// view reads.
func (d *database) view(f func(*badger.Txn) error) (err error) {
	db, err := d.begin()
	if err != nil {
		return err
	}
	defer d.end()
	defer d.caught(&err)
	return translate(db.View(f))
}

// caught is deferred by who reads, between begin and end: a reader may come while a write is failing. That write says
// so before it lets another one begin. Any other panic goes on.
func (d *database) caught(err *error) {
	p := recover()
	if p == nil {
		return
	}
	d.writes.Lock()
	defer d.writes.Unlock()
	if *err = d.gate.failure(); *err == nil {
		panic(p)
	}
}

// write runs something that writes, between begin and end. What goes wrong there is ErrReadOnly.
func (d *database) write(f func() error) error {
	d.writes.Lock()
	defer d.writes.Unlock()
	if err := d.gate.failure(); err != nil {
		return err
	}
	err := f()
	switch {
	case err == nil, errors.Is(err, badger.ErrTxnTooBig), errors.Is(translate(err), ErrClosed):
	default:
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
		d.gate.failed.Store(&stop{err})
		d.space.check(true) // it closes the gate
	}
	return err
}

func (d *database) commit(txn *badger.Txn) error { return d.write(txn.Commit) }

// reclaim makes what was committed survive a power failure, and lets Badger give up files.
func (d *database) reclaim() error {
	db, err := d.begin()
	if err != nil {
		return err
	}
	defer d.end()
	return translate(d.write(func() error { return errors.Join(db.Sync(), reclaimSpace(db)) }))
}

// mergeNeed returns how many bytes the database may write by itself.
func (d *database) mergeNeed() uint64 {
	db, err := d.begin()
	if err != nil {
		return 0
	}
	defer d.end()
	return mergeNeed(db)
}

// mend opens the database again if it has failed. It waits for nobody: as long as somebody reads, it is not done.
func (d *database) mend() {
	if !d.inUse.TryLock() {
		return
	}
	err := d.reopen()
	if err != nil && !d.told {
		d.log.Error("a database that failed cannot be opened again: it is tried once a second", "error", err)
	}
	d.told = err != nil
	d.inUse.Unlock()
	d.space.check(false) // it opens the gate
}

func (d *database) reopen() error {
	if d.gate.failure() == nil {
		return nil
	}
	if err := d.space.makeRoom(d.space.bounds.open + unmerged(d.space.folder)); err != nil {
		return err
	}
	closing := d.handle.Close() // a second time it does nothing
	handle, err := d.open()
	if err != nil {
		return errors.Join(err, translate(closing))
	}
	d.handle = handle
	d.gate.failed.Store(nil)
	return nil
}
