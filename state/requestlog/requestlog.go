// Package requestlog keeps rows in append-only files: each row has a key that sorts by time, and a moment from which on
// it is not there any more. It is what the log of requests rests on, and is made to be written: a row costs its bytes
// and a share of one write(2), and is never moved again. The oldest rows are given up by the file.
//
// It imports internal/durable. Package state owns it.
//
// Nothing that happens to one file is felt by another, or by who writes: what cannot be read is passed over.
package requestlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// Options are the settings of a Log.
type Options struct {
	MaxSize   int64 // bytes that the files may take: the oldest go first
	Retention int64 // seconds from a row's writing to its expiry, as a rule
}

// Sizes of a file: so small that giving one up is no great loss and that finding a row means to read little, so large
// that there are not too many of them.
const (
	largestFile = 8 << 20
	leastFile   = 16 << 10
	filesOfLog  = 64 // that the size, and the retention, is divided into
	suffix      = ".log"
)

// ErrClosed is returned by a Log that was closed.
var ErrClosed = errors.New("the log is closed")

// Log is an open folder of files. Append, Trim and Close are called by one goroutine at a time; everything else by
// many.
type Log struct {
	dir      string
	fileSize int64
	maxSize  int64
	span     int64 // seconds between the expiries of a file's rows at most: it goes when the last one has come

	next   uint64   // number of the next file
	tail   *os.File // the last file; nil until something is appended
	ragged bool     // bytes of a failed write may stand behind the last row

	mu     sync.RWMutex // held while the list is changed; the files themselves are only ever appended to
	files  []file       // in order; the last one is appended to, as long as it is open
	closed bool

	reading sync.Mutex // held while a file is in memory, so that many who ask take no more than one does
}

// file is what is known of one file.
type file struct {
	number uint64
	size   int64 // bytes that may be read
	sealed bool  // nothing will be appended
	index
}

// index says which rows a file has.
type index struct {
	rows        int64
	first, last string // the least and the greatest key
	begins      int64  // the least and the greatest expiry
	expires     int64
}

// add takes a row in, but for its key.
func (x *index) add(r *row) {
	if x.rows == 0 {
		x.begins, x.expires = r.expires, r.expires
	}
	x.rows++
	x.begins, x.expires = min(x.begins, r.expires), max(x.expires, r.expires)
}

// extend takes keys in: the least and the greatest of some rows.
func (x *index) extend(k *extent) {
	if k.first == nil {
		return
	}
	if x.last == "" || string(k.first) < x.first {
		x.first = string(k.first)
	}
	if string(k.last) > x.last {
		x.last = string(k.last)
	}
}

// extent is the least and the greatest of keys, which it does not copy: nearly every key is the greatest so far.
type extent struct{ first, last []byte }

func (k *extent) add(key []byte) {
	if k.first == nil || bytes.Compare(key, k.first) < 0 {
		k.first = key
	}
	if bytes.Compare(key, k.last) > 0 {
		k.last = key
	}
}

// Open opens the folder dir, or makes it. Of a file that was ended properly it reads the index, of another one all: that
// is the last, as a rule. What a crash left unfinished is cut off. Files that are not ours are left alone.
func Open(dir string, opts Options) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log's folder: %w", err)
	}
	l := &Log{
		dir: dir, maxSize: opts.MaxSize, span: opts.Retention / filesOfLog, next: 1,
		fileSize: min(max(opts.MaxSize/filesOfLog, leastFile), largestFile),
	}
	numbers, err := durable.Numbered(dir, suffix)
	if err != nil {
		return nil, fmt.Errorf("listing the log: %w", err)
	}
	for _, number := range numbers {
		l.files = append(l.files, file{number: number})
	}
	for i := range l.files {
		l.adopt(&l.files[i], opts.Retention, i == len(l.files)-1)
		l.next = l.files[i].number + 1
	}
	return l, nil
}

func (l *Log) path(number uint64) string {
	return filepath.Join(l.dir, durable.NumberedName(number, suffix))
}

// adopt finds out what a file holds. Damage is passed over, and a file without a single row is kept as long as it would
// have been otherwise, for someone to look at. The last one is appended to again, behind its last whole row.
func (l *Log) adopt(f *file, retention int64, last bool) {
	path := l.path(f.number)
	info, err := os.Stat(path)
	if err != nil {
		f.sealed = true
		return
	}
	f.size = info.Size()
	if f.index, f.sealed = readIndex(path, f.size); f.sealed {
		return
	}
	whole, keys := 0, extent{}
	content, err := os.ReadFile(path)
	if err == nil {
		whole = scan(content, func(r row) { f.add(&r); keys.add(r.key) })
		f.extend(&keys)
	}
	if f.rows == 0 {
		f.begins, f.expires = info.ModTime().Unix(), info.ModTime().Unix()+retention
	}
	f.sealed = !last || f.rows == 0 || os.Truncate(path, int64(whole)) != nil
	if !f.sealed {
		f.size = int64(whole)
	}
}

// Append appends frames, which were made by Begin and Seal, one behind the other. It returns how many of them are
// written; an error leaves no part of another one behind.
func (l *Log) Append(frames []byte) (written int, err error) {
	for len(frames) > 0 {
		if err := l.ready(frames); err != nil {
			return written, err
		}
		f := l.files[len(l.files)-1] // the list is changed by who appends alone
		part, rows, keys := 0, f.rows, extent{}
		for part < len(frames) {
			r, length := parse(frames[part:])
			if length == 0 {
				return written, fmt.Errorf("appending to the log: %w", errFrame)
			}
			if part > 0 && l.full(&f, int64(part), &r) {
				break
			}
			f.add(&r)
			keys.add(r.key)
			part += length
		}
		f.extend(&keys)
		l.makeRoom(int64(part))
		if err := l.write(frames[:part], f.size); err != nil {
			return written, err
		}
		f.size += int64(part)
		l.replaceLast(f)
		written += int(f.rows - rows)
		frames = frames[part:]
	}
	return written, nil
}

// full reports whether a row belongs into the next file, because this one, with so many bytes more, is large enough or
// would be kept too long.
func (l *Log) full(f *file, more int64, r *row) bool {
	return f.size+more >= l.fileSize || f.rows > 0 && (r.expires-f.begins > l.span || f.expires-r.expires > l.span)
}

// replaceLast says what is known of the last file now.
func (l *Log) replaceLast(f file) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files[len(l.files)-1] = f
}

// ready sees to it that there is a last file that has room for the first of the frames.
func (l *Log) ready(frames []byte) error {
	if l.closed {
		return ErrClosed
	}
	if len(l.files) == 0 {
		return l.begin()
	}
	f := l.files[len(l.files)-1]
	r, _ := parse(frames)
	if !f.sealed && !l.full(&f, 0, &r) {
		if err := l.open(); !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := l.seal(); err != nil {
		return err
	}
	return l.begin()
}

// open opens the last file for appending, if that was not done yet. If somebody has removed it, the error is
// os.ErrNotExist, also while it is open: nobody would ever read what is written to it.
func (l *Log) open() (err error) {
	if l.tail == nil {
		l.tail, err = os.OpenFile(l.path(l.files[len(l.files)-1].number), os.O_WRONLY|os.O_APPEND, 0)
		return err
	}
	info, err := l.tail.Stat()
	if err != nil {
		return fmt.Errorf("looking at the log's last file: %w", err)
	}
	if links, ok := info.Sys().(*syscall.Stat_t); ok && links.Nlink == 0 {
		return os.ErrNotExist
	}
	return nil
}

// begin begins a new file, and makes the folder anew if somebody has removed it. After an error the next try has another name.
func (l *Log) begin() error {
	number := l.next
	l.next++
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("making the log's folder: %w", err)
	}
	tail, err := os.OpenFile(l.path(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("beginning a file of the log: %w", err)
	}
	l.mu.Lock()
	l.files = append(l.files, file{number: number})
	l.mu.Unlock()
	l.tail, l.ragged = tail, false
	return nil
}

// seal ends the last file with its index. Where that cannot be written, the next Open reads the file through.
func (l *Log) seal() (err error) {
	f := l.files[len(l.files)-1]
	if f.sealed {
		return nil
	}
	if l.open() == nil { // else somebody has removed it
		end := f.appendTo(nil)
		if l.write(end, f.size) == nil {
			f.size += int64(len(end))
		}
	}
	if l.tail != nil {
		err = l.tail.Close()
	}
	l.tail, f.sealed = nil, true
	l.replaceLast(f)
	return err
}

// write appends to the last file, which has so many bytes. What a failed write left behind is cut off again.
func (l *Log) write(content []byte, size int64) error {
	if l.ragged {
		if err := l.tail.Truncate(size); err != nil {
			return fmt.Errorf("cutting off a failed write: %w", err)
		}
		l.ragged = false
	}
	if _, err := l.tail.Write(content); err != nil {
		l.ragged = l.tail.Truncate(size) != nil
		return fmt.Errorf("writing the log: %w", err)
	}
	return nil
}

// Size returns how many bytes the files take.
func (l *Log) Size() (bytes int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := range l.files {
		bytes += l.files[i].size
	}
	return bytes
}

// makeRoom gives up the oldest files, the last one aside, until as many bytes can be appended.
func (l *Log) makeRoom(bytes int64) {
	size := l.Size() + bytes
	n := 0
	for ; n < len(l.files)-1 && size > l.maxSize; n++ {
		size -= l.files[n].size
	}
	if n > 0 {
		l.drop(func(i int) bool { return i < n })
	}
}

// Trim gives up the files whose rows have all expired by now, in Unix seconds.
func (l *Log) Trim(now int64) error {
	if l.closed {
		return ErrClosed
	}
	if n := len(l.files); n > 0 && l.files[n-1].rows > 0 && l.files[n-1].expires <= now {
		if err := l.seal(); err != nil {
			return err
		}
	}
	l.drop(func(i int) bool { return l.files[i].expires <= now && (l.files[i].sealed || i < len(l.files)-1) })
	return nil
}

// drop removes files. One that cannot be removed is tried again when the folder is opened the next time.
func (l *Log) drop(which func(i int) bool) {
	var kept []file
	for i := range l.files {
		if which(i) {
			_ = os.Remove(l.path(l.files[i].number))
		} else {
			kept = append(kept, l.files[i])
		}
	}
	if len(kept) < len(l.files) {
		l.mu.Lock()
		l.files = kept
		l.mu.Unlock()
	}
}

// Close closes the log. Rows can be read no more.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	tail := l.tail
	if l.tail = nil; tail != nil {
		return tail.Close()
	}
	return nil
}
