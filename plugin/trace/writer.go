package trace

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport-dev/sallyport/runtime"
)

// Settings say what is traced, and how much of it is kept. The zero value traces nothing.
type Settings struct {
	Share   int   // of all requests, in parts per million
	MaxSize int64 // bytes of all segments, of which the oldest go first
	MinFree int64 // free space of the disk below which nothing is written
}

// Figures say what became of the decisions that were to be traced.
type Figures struct {
	Written int64
	Dropped int64 // there was no room in the queue, or on the disk
}

// Bounds of what waits to be written.
const (
	maxQueued      = 1024
	maxQueuedBytes = 16 << 20
	maxKept        = 64 << 10 // of a buffer that is used again
)

// parts is how many segments MaxSize is divided into: so much of it goes at once when the oldest does.
const parts = 8

// retryAfter is how long nothing is written after that failed.
const retryAfter = 10 * time.Second

// Writer writes traces. It is a runtime.Tracer: decisions are encoded where they are made, and written by a goroutine of
// its own; what that cannot keep up with is dropped and counted.
type Writer struct {
	dir string
	log *slog.Logger

	settings atomic.Pointer[Settings]
	queue    chan *[]byte
	queued   atomic.Int64 // bytes of them
	spare    sync.Pool    // *[]byte
	written  atomic.Int64
	dropped  atomic.Int64
	stop     chan struct{}
	stopped  sync.WaitGroup

	// Of the goroutine that writes.
	file    *os.File // nil: none is open
	out     *bufio.Writer
	number  uint64 // of the open segment
	size    int64  // of it
	pending int64  // lines that are in out and not in the file yet
	retry   time.Time
}

// NewWriter makes a writer of segments in a folder. Nothing is made there before there is something to write.
func NewWriter(dir string, settings Settings, log *slog.Logger) *Writer {
	w := &Writer{dir: dir, log: log, queue: make(chan *[]byte, maxQueued), stop: make(chan struct{})}
	w.Set(settings)
	w.stopped.Go(w.run)
	return w
}

// Set changes the settings.
func (w *Writer) Set(settings Settings) { w.settings.Store(&settings) }

// Figures returns what became of the decisions up to now.
func (w *Writer) Figures() Figures { return Figures{w.written.Load(), w.dropped.Load()} }

// Wants implements runtime.Tracer. Which requests are traced follows from their ids, so that it is all of one or nothing.
func (w *Writer) Wants(requestID []byte) bool {
	const all = 1_000_000
	share := w.settings.Load().Share
	switch {
	case share <= 0:
		return false
	case share >= all:
		return true
	}
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h := uint64(offset)
	for _, b := range requestID {
		h = (h ^ uint64(b)) * prime
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return (h^h>>33)%all < uint64(share)
}

// Trace implements runtime.Tracer.
func (w *Writer) Trace(d *runtime.Decision) {
	if w.queued.Load() > maxQueuedBytes {
		w.dropped.Add(1)
		return
	}
	buffer, _ := w.spare.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	encoded, err := appendLine((*buffer)[:0], d)
	if err != nil {
		w.dropped.Add(1)
		return
	}
	*buffer = encoded
	w.queued.Add(int64(len(encoded)))
	select {
	case w.queue <- buffer:
	default:
		w.done(buffer)
		w.dropped.Add(1)
	}
}

// done takes a buffer back.
func (w *Writer) done(buffer *[]byte) {
	w.queued.Add(-int64(len(*buffer)))
	if cap(*buffer) <= maxKept {
		w.spare.Put(buffer)
	}
}

// Close writes what waits, and ends. Nothing may be traced any more when it is called.
func (w *Writer) Close() {
	close(w.stop)
	w.stopped.Wait()
}

func (w *Writer) run() {
	for {
		select {
		case buffer := <-w.queue:
			w.take(buffer)
		case <-w.stop:
			for len(w.queue) > 0 {
				w.take(<-w.queue)
			}
			w.closeFile()
			return
		}
	}
}

// take writes a line. It goes to the file when no other waits: whoever looks at the trace finds what was decided.
func (w *Writer) take(buffer *[]byte) {
	w.write(*buffer)
	w.done(buffer)
	if len(w.queue) == 0 {
		w.flush()
	}
}

func (w *Writer) write(line []byte) {
	if !w.retry.IsZero() && time.Now().Before(w.retry) {
		w.dropped.Add(1)
		return
	}
	err := w.makeRoom(int64(len(line)))
	if err == nil {
		_, err = w.out.Write(line)
	}
	if err != nil {
		w.dropped.Add(1)
		w.fail(err)
		return
	}
	w.size += int64(len(line))
	w.pending++
}

func (w *Writer) flush() {
	if w.file == nil {
		return
	}
	if err := w.out.Flush(); err != nil {
		w.dropped.Add(w.pending)
		w.pending = 0
		w.fail(err)
		return
	}
	w.written.Add(w.pending)
	w.pending = 0
}

// fail gives up the segment: its last line may be torn, and nothing may stand behind it. After a while another is begun.
func (w *Writer) fail(err error) {
	w.retry = time.Now().Add(retryAfter)
	w.log.Error("a trace cannot be written: decisions are dropped for a while", "error", err, "pause", retryAfter)
	if w.file != nil {
		w.dropped.Add(w.pending)
		w.pending = 0
		_ = w.file.Close() // what is lost has been told
		w.file = nil
	}
}

func (w *Writer) closeFile() {
	w.flush()
	if w.file == nil {
		return
	}
	if err := w.file.Close(); err != nil {
		w.log.Error("closing a trace", "error", err)
	}
	w.file = nil
}

var errDiskFull = errors.New("the disk is nearly full")

// makeRoom begins another segment where there is no room for a line in this one.
func (w *Writer) makeRoom(length int64) error {
	s := w.settings.Load()
	if w.file != nil && w.size+length <= s.MaxSize/parts {
		return nil
	}
	w.closeFile()
	var disk syscall.Statfs_t
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Statfs(w.dir, &disk); err == nil && s.MinFree > int64(disk.Bavail)*disk.Bsize {
		return errDiskFull
	}
	if err := w.removeOldest(s.MaxSize - max(s.MaxSize/parts, length)); err != nil {
		return err
	}
	path := segmentPath(w.dir, w.number+1)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // its name is a number
	if err != nil {
		return fmt.Errorf("beginning a segment: %w", err)
	}
	w.file, w.number, w.size = file, w.number+1, 0
	w.out = bufio.NewWriterSize(file, 64<<10)
	return nil
}

// removeOldest removes segments until no more than this many bytes are left, and finds the number of the newest.
func (w *Writer) removeOldest(most int64) error {
	all, err := segments(w.dir)
	if err != nil {
		return err
	}
	var total int64
	for _, s := range all {
		total += s.size
		w.number = max(w.number, s.number)
	}
	for _, s := range all {
		if total <= most {
			break
		}
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("removing the oldest segment: %w", err)
		}
		total -= s.size
	}
	return nil
}

var _ runtime.Tracer = (*Writer)(nil)
