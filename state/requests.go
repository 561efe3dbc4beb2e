package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/record"
)

// A row of the request log:
//
//	key    "r/" and the request id, so that rows lie in the order of their times
//	value  1 byte version (1) | 8 bytes Unix seconds of its expiry, big-endian | the record as JSON
//
// The expiry is checked here, too: Badger's is only when it may reclaim the space.
const (
	requestRows   = "r/"
	rowVersion    = 1
	rowHeader     = 1 + 8
	maxRow        = 256 << 10 // a larger record is a mistake; it is dropped
	keptRowBuffer = 8 << 10   // a larger buffer is not kept for the next record
	maxBatch      = 512       // rows of one commit
)

// requestLog takes records without making the request path wait, and one goroutine commits them: whenever it is idle,
// all that has come in meanwhile, on no timer.
type requestLog struct {
	db        *database
	log       *slog.Logger
	clock     func() time.Time
	retention time.Duration
	space     *spaceWatch
	usage     usage // for the committer, and for who opens the database again while the committer waits

	queue   chan row
	buffers sync.Pool // of *[]byte
	dropped atomic.Uint64
	done    chan struct{} // closed when the committer has ended
	failing bool          // the last commit failed; the committer's own

	mu     sync.RWMutex // read-held while sending to queue, so that it is not closed under a sender
	closed bool
}

// row is a record on its way, or the mark of somebody who waits until all before it are written.
type row struct {
	buf     *[]byte // key, then value
	key     int     // length of the key
	expires int64
	mark    chan<- struct{}
	trim    bool // of a mark: what has expired is dropped before it
}

// openRequestLog opens the log. One that cannot be opened is set aside, for someone to look at, and begun anew.
func openRequestLog(dir string, opts Options, space *spaceWatch) (*requestLog, error) {
	memTable := min(space.bounds.memTable, max(opts.MaxLogSize/64, smallTable))
	l := &requestLog{
		log: opts.Log, clock: opts.Clock, retention: opts.Retention, space: space,
		queue:   make(chan row, opts.Queue),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		done:    make(chan struct{}),
	}
	l.usage.limit = max(opts.MaxLogSize-overheadTables*memTable, opts.MaxLogSize/2)
	l.db = &database{log: opts.Log, space: space, gate: &space.requests, open: func() (*badger.DB, error) {
		return l.openDatabase(dir, memTable)
	}}
	var err error
	if l.db.handle, err = l.db.open(); err != nil {
		aside := dir + ".broken-" + opts.Clock().UTC().Format("20060102T150405.000")
		opts.Log.Error("the request log cannot be opened: it is set aside and begun anew", "aside", aside, "error", err)
		if l.db.handle, err = reopenAside(dir, aside, l.db.open); err != nil {
			return nil, err
		}
	}
	go l.run()
	return l, nil
}

func (l *requestLog) openDatabase(dir string, memTable int64) (*badger.DB, error) {
	db, err := openDatabase(dir, memTable, logTuning, l.log)
	if err != nil {
		return nil, err
	}
	u, err := loadUsage(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	u.limit = l.usage.limit
	l.usage = u
	return db, nil
}

// reopenAside moves the folder away and opens a new one. If that does not help, the fault lies elsewhere, and the
// folder gets its place back.
func reopenAside(dir, aside string, open func() (*badger.DB, error)) (*badger.DB, error) {
	if err := os.Rename(dir, aside); err != nil {
		return nil, err
	}
	db, err := open()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), os.Rename(aside, dir))
	}
	return db, nil
}

// Record takes a record for the log. It encodes it at once and keeps nothing of it. It never waits: when the queue
// is full, the disk is, or the state is closed, the record is dropped and counted.
func (s *State) Record(r *record.Record) { s.requests.record(r) }

// Dropped returns how many records were dropped since Open.
func (s *State) Dropped() uint64 { return s.requests.dropped.Load() }

// Flush waits until all records that were taken before it are written.
func (s *State) Flush(ctx context.Context) error { return s.requests.flush(ctx) }

func (l *requestLog) record(r *record.Record) {
	if l.space.requests.stop.Load() != nil || len(l.queue) == cap(l.queue) {
		l.dropped.Add(1)
		return
	}
	expires := l.clock().Add(l.retention).Unix()
	buf := l.buffers.Get().(*[]byte) //nolint:errcheck // the pool makes nothing else
	b := (*buf)[:0]
	b = append(b, requestRows...)
	b = append(b, r.ID...)
	key := len(b)
	b = append(b, rowVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	b = record.AppendJSON(b, r)
	*buf = b
	if len(b) > maxRow || !l.send(row{buf: buf, key: key, expires: expires}) {
		l.dropped.Add(1)
		l.recycle(buf)
	}
}

// send puts a row into the queue unless that would mean to wait.
func (l *requestLog) send(r row) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- r:
		return true
	default:
		return false
	}
}

func (l *requestLog) recycle(buf *[]byte) {
	if cap(*buf) <= keptRowBuffer {
		l.buffers.Put(buf)
	}
}

func (l *requestLog) flush(ctx context.Context) error { return l.wait(ctx, false) }

// trim drops what has expired, so that its space comes back.
func (l *requestLog) trim(ctx context.Context) error { return l.wait(ctx, true) }

func (l *requestLog) wait(ctx context.Context, trim bool) error {
	written := make(chan struct{})
	if err := l.mark(ctx, row{mark: written, trim: trim}); err != nil {
		return err
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *requestLog) mark(ctx context.Context, r row) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	select {
	case l.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end writes what is in the queue. The database is closed by who opened it.
func (l *requestLog) end() {
	l.mu.Lock()
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	<-l.done
}

// run is the committer.
func (l *requestLog) run() {
	defer close(l.done)
	batch := make([]row, 0, maxBatch)
	for first := range l.queue {
		batch = l.gather(append(batch[:0], first))
		l.db.inUse.RLock()
		l.write(batch)
		l.drop(l.surplus(l.expiredBefore(batch)))
		l.db.inUse.RUnlock()
		for _, r := range batch {
			if r.mark != nil {
				close(r.mark)
			} else {
				l.recycle(r.buf)
			}
		}
	}
}

// gather adds what else is waiting.
func (l *requestLog) gather(batch []row) []row {
	for len(batch) < maxBatch {
		select {
		case r, open := <-l.queue:
			if !open {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// write commits a batch. If that fails its records are lost and counted, and the log tells the first time.
func (l *requestLog) write(batch []row) {
	written, err := l.commit(batch)
	if err != nil {
		for _, r := range batch[written:] {
			if r.mark == nil {
				l.dropped.Add(1)
			}
		}
		if !l.failing {
			l.log.Error("writing the request log failed: records are dropped until it works again", "error", translate(err))
		}
	} else if l.failing {
		l.log.Info("the request log is written again", "dropped", l.dropped.Load())
	}
	l.failing = err != nil
}

// commit writes the batch in one transaction, or in several if it is too big for one, and returns how many of its
// rows are written for certain.
func (l *requestLog) commit(batch []row) (written int, err error) {
	db, err := l.db.begin()
	if err != nil {
		return 0, err
	}
	defer l.db.end()
	txn, size := db.NewTransaction(true), 0
	defer func() { txn.Discard() }()
	commit := func() error {
		if err := l.space.admit(&l.space.requests, size); err != nil {
			return err
		}
		return l.db.commit(txn)
	}
	for i, r := range batch {
		if r.mark != nil {
			continue
		}
		e := &badger.Entry{Key: (*r.buf)[:r.key], Value: (*r.buf)[r.key:], ExpiresAt: uint64(r.expires)}
		err := txn.SetEntry(e)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err = commit(); err != nil {
				return written, err
			}
			written = i
			txn, size = db.NewTransaction(true), 0
			err = txn.SetEntry(e)
		}
		if err != nil {
			return written, err
		}
		size += len(*r.buf) + rowOverhead
		l.usage.add(e.Key[len(requestRows):min(len(e.Key), len(requestRows)+longestBucket)], int64(len(*r.buf)+rowOverhead))
	}
	if size == 0 {
		return len(batch), nil // marks alone
	}
	err = l.usage.write(txn)
	if errors.Is(err, badger.ErrTxnTooBig) { // the rows have left no room
		if err = commit(); err != nil {
			return written, err
		}
		written = len(batch)
		txn, size = db.NewTransaction(true), 0
		err = l.usage.write(txn)
	}
	if err == nil {
		err = commit()
	}
	if err != nil {
		return written, err
	}
	return len(batch), nil
}

// parseRow reads a row's value. ErrNotFound means that it has expired.
func parseRow(value []byte, now time.Time) (record.Record, error) {
	if len(value) < rowHeader || value[0] != rowVersion {
		return record.Record{}, fmt.Errorf("%w: a row of the request log is of no version that this program knows", ErrCorrupt)
	}
	if expires := int64(binary.BigEndian.Uint64(value[1:])); now.Unix() >= expires {
		return record.Record{}, ErrNotFound
	}
	r, err := record.Parse(value[rowHeader:])
	if err != nil {
		return record.Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return r, nil
}
