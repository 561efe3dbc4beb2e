package state

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/record"
	"github.com/sallyport-dev/sallyport/state/requestlog"
)

// Bounds of what waits to be written.
const (
	maxRow         = 256 << 10 // a larger record is a mistake; it is dropped
	maxWaiting     = 16 << 20  // bytes
	keptBuffer     = 8 << 10   // a larger buffer is not kept for the next record
	keptWaiting    = 1 << 20
	gatheringTime  = 20 * time.Millisecond
	formerManifest = badger.ManifestFilename // of a request log that an earlier version kept in Badger
)

// requestLog takes records without making the request path wait, and one goroutine writes them: what comes within
// gatheringTime in one go. A write of its own for each would cost more than all else that is done for a record, waking
// that goroutine included.
type requestLog struct {
	files     *requestlog.Log
	log       *slog.Logger
	clock     func() time.Time
	retention time.Duration
	queue     int // records that may wait
	space     *spaceWatch

	buffers sync.Pool // of *[]byte: records that are being encoded
	dropped atomic.Uint64

	mu      sync.Mutex
	waiting batch
	closed  bool

	wake    chan struct{} // something waits
	hurry   chan struct{} // somebody waits for it
	done    chan struct{} // closed when the writer has ended
	failing bool          // the last write failed; the writer's own
}

// batch is what is written in one go.
type batch struct {
	frames  []byte
	records int
	marks   []chan<- struct{} // closed when it is written
	trim    bool              // what has expired is dropped after it
}

// openRequestLog opens the log. One that cannot be opened is set aside, for someone to look at, and begun anew.
func openRequestLog(dir string, opts Options, space *spaceWatch) (*requestLog, error) {
	l := &requestLog{
		log: opts.Log, clock: opts.Clock, retention: opts.Retention, queue: opts.Queue, space: space,
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		wake:    make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{}),
	}
	leaveBehind(dir, opts.Log)
	open := func() (err error) {
		l.files, err = requestlog.Open(dir, requestlog.Options{MaxSize: opts.MaxLogSize, Retention: int64(opts.Retention.Seconds())})
		return err
	}
	if err := open(); err != nil {
		aside := dir + ".broken-" + opts.Clock().UTC().Format("20060102T150405.000")
		opts.Log.Error("the request log cannot be opened: it is set aside and begun anew", "aside", aside, "error", err)
		if err := os.Rename(dir, aside); err != nil {
			return nil, err
		}
		if err := open(); err != nil {
			return nil, err
		}
	}
	go l.run()
	return l, nil
}

// leaveBehind moves a log away that an earlier version kept in Badger. It is not read any more. Where that fails, it
// stays where it is, and disturbs nobody.
func leaveBehind(dir string, log *slog.Logger) {
	if _, err := os.Stat(filepath.Join(dir, formerManifest)); err != nil {
		return
	}
	aside := dir + ".former"
	if err := os.Rename(dir, aside); err != nil {
		aside = dir
	}
	log.Warn("the request log of an earlier version is left behind: it is not read any more, and may be removed", "folder", aside)
}

// Record takes a record for the log. It encodes it at once and keeps nothing of it. It never waits: when the queue
// is full, the disk is, or the state is closed, the record is dropped and counted.
func (s *State) Record(r *record.Record) { s.requests.record(r) }

// Dropped returns how many records were dropped since Open.
func (s *State) Dropped() uint64 { return s.requests.dropped.Load() }

// Flush waits until all records that were taken before it are written.
func (s *State) Flush(ctx context.Context) error { return s.requests.flush(ctx) }

func (l *requestLog) record(r *record.Record) {
	if l.space.requests.stop.Load() != nil {
		l.dropped.Add(1)
		return
	}
	buf := l.buffers.Get().(*[]byte) //nolint:errcheck // the pool makes nothing else
	frame := requestlog.Begin((*buf)[:0], r.ID, l.clock().Add(l.retention).Unix())
	frame = record.AppendJSON(frame, r)
	requestlog.Seal(frame)
	if !l.add(frame) {
		l.dropped.Add(1)
	}
	if *buf = frame; cap(frame) <= keptBuffer {
		l.buffers.Put(buf)
	}
}

// add puts a frame to those that wait, if there is room.
func (l *requestLog) add(frame []byte) bool {
	l.mu.Lock()
	w := &l.waiting
	fits := !l.closed && w.records < l.queue && len(frame) <= maxRow && len(w.frames)+len(frame) <= maxWaiting
	if fits {
		w.frames = append(w.frames, frame...)
		w.records++
	}
	first := w.records == 1
	l.mu.Unlock()
	if fits && first {
		tell(l.wake)
	}
	return fits
}

// tell says something to who may have been told already.
func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *requestLog) flush(ctx context.Context) error { return l.wait(ctx, false) }

// trim drops what has expired, so that its space comes back.
func (l *requestLog) trim(ctx context.Context) error { return l.wait(ctx, true) }

func (l *requestLog) wait(ctx context.Context, trim bool) error {
	written := make(chan struct{})
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.waiting.marks = append(l.waiting.marks, written)
		l.waiting.trim = l.waiting.trim || trim
	}
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	tell(l.hurry)
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end writes what waits and closes the files.
func (l *requestLog) end() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	tell(l.hurry)
	<-l.done
	return l.files.Close()
}

// run is the writer.
func (l *requestLog) run() {
	defer close(l.done)
	gathering := time.NewTimer(gatheringTime)
	defer gathering.Stop()
	var spare []byte
	for {
		select {
		case <-l.hurry:
		case <-l.wake:
			gathering.Reset(gatheringTime)
			select {
			case <-gathering.C:
			case <-l.hurry:
			}
		}
		b, closed := l.take(spare)
		l.write(&b)
		if b.trim {
			l.dropExpired()
		}
		for _, mark := range b.marks {
			close(mark)
		}
		if closed {
			return
		}
		if spare = b.frames[:0]; cap(spare) > keptWaiting {
			spare = nil
		}
	}
}

// take takes what waits, and leaves an empty buffer in its place. Once closed it is the last time.
func (l *requestLog) take(spare []byte) (b batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, l.waiting = l.waiting, batch{frames: spare}
	return b, l.closed
}

// write writes a batch. If that fails its records are lost and counted, and the log tells the first time.
func (l *requestLog) write(b *batch) {
	if b.records == 0 {
		return
	}
	written := 0
	err := l.space.admit(&l.space.requests, len(b.frames))
	if err == nil {
		written, err = l.files.Append(b.frames)
	}
	l.dropped.Add(uint64(b.records - written))
	switch {
	case err != nil && !l.failing:
		l.log.Error("writing the request log failed: records are dropped until it works again", "error", translate(err))
	case err == nil && l.failing:
		l.log.Info("the request log is written again", "dropped", l.dropped.Load())
	}
	l.failing = err != nil
}
