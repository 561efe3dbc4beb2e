package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// bounds are the sizes that have to do with a full disk. The largest of those that stop something is at most a quarter
// of the file system: on a smaller one, all of them shrink in the same proportion, and Badger's tables with them, since
// a table is what it writes at one time. Of a volume of 200 MB the defaults keep 49 MB from the request log and 24 MB
// from the ledger.
type bounds struct {
	log      uint64 // bytes free below which the request log stops
	ledger   uint64 // bytes free below which keys and money cannot be changed
	open     uint64 // bytes free that opening takes beside what the databases' own logs become
	ballast  int64
	memTable int64
}

// mergeNeed returns how many bytes a database may write by itself: memory tables that it flushes, and tables that it
// merges, which are there twice until that is done. It does so whether there is space or not.
func mergeNeed(db *badger.DB) uint64 {
	levels := db.Levels()
	flush, first, other := 2*levels[0].TargetFileSize, levels[0].Size, int64(0)
	for i := 1; i < len(levels); i++ {
		l := &levels[i]
		if l.IsBaseLevel {
			first += l.Size
		}
		if i+1 < len(levels) && l.NumTables > 0 { // one table, and those below it with the same keys
			below := &levels[i+1]
			overlap := 2 + 2*int64(below.NumTables/l.NumTables)
			other = max(other, l.TargetFileSize+min(below.Size, overlap*below.TargetFileSize))
		}
	}
	return uint64(flush + first + 2*other) // by two goroutines
}

// spaceToOpen is what Badger needs to open its files, the memory tables and logs of two databases, without writing
// into a hole of a sparse file that the disk cannot fill: that is a SIGBUS, and the end of the process.
const spaceToOpen = 64 << 20

func boundsOf(opts *Options, total uint64) bounds {
	b := bounds{
		log: opts.MinFree, ledger: opts.MinFreeLedger, open: spaceToOpen, ballast: max(opts.Ballast, 0), memTable: largeTable,
	}
	if largest := max(b.log, b.ledger); total/4 < largest {
		scale := func(n uint64) uint64 { return uint64(float64(n) * (float64(total) / 4) / float64(largest)) }
		b.log, b.ledger, b.open = scale(b.log), scale(b.ledger), scale(b.open)
		b.ballast = int64(scale(uint64(b.ballast)))
		b.memTable = max(int64(scale(largeTable)), smallTable)
	}
	return b
}

// spaceWatch notices when the disk fills, and when it takes no writes at all.
//
// Badger writes through memory maps of sparse files, so that a full disk is a SIGBUS. Therefore free space is asked for
// before every commit, and there must be enough for all that Badger does by itself afterwards.
type spaceWatch struct {
	folder  string
	bounds  bounds
	free    func(string) (uint64, error)
	probe   func(string) error
	log     *slog.Logger
	merging func() uint64 // bytes that the database may write by itself; nil before it is open

	requests, ledger gate
	written          atomic.Int64 // bytes of commits since the last check

	mu        sync.Mutex // held while the disk is asked
	fault     error      // what the last probe found
	mute      bool       // the disk did not say how much is free, and this has been told
	noBallast bool       // the ballast could not be laid, and this has been told
}

// gate says whether the request log, or the ledger, may write.
type gate struct {
	stop   atomic.Pointer[stop] // why not; nil while it may
	least  atomic.Uint64        // bytes that must be free
	failed atomic.Pointer[stop] // why its database must be opened again; nil while it need not
}

type stop struct{ err error }

func (g *gate) err() error {
	if s := g.stop.Load(); s != nil {
		return s.err
	}
	return nil
}

// failure is an error as long as the database must not be touched.
func (g *gate) failure() error {
	if s := g.failed.Load(); s != nil {
		return s.err
	}
	return nil
}

// onlyFailed says that nothing but its database keeps the gate closed.
func (g *gate) onlyFailed() bool {
	failed := g.failed.Load()
	return failed != nil && g.stop.Load() == failed
}

func watchSpace(dir string, opts Options) (*spaceWatch, error) {
	total, err := opts.total(dir)
	if err != nil {
		return nil, fmt.Errorf("asking for the size of the disk: %w", err)
	}
	return &spaceWatch{folder: dir, bounds: boundsOf(&opts, total), free: opts.Free, probe: opts.probe, log: opts.Log}, nil
}

// Health says whether the request log and the ledger (keys, teams, money) can be written: nil, ErrDiskFull or
// ErrReadOnly, as it was found at most a second ago. ErrReadOnly is also what a database that failed by itself is. It is
// cheap, and recovers by itself.
func (s *State) Health() (log, ledger error) {
	return s.space.requests.err(), s.space.ledger.err()
}

// admit asks whether a commit may be made. Each of its bytes may be written three times before the next check: to a
// log, to a table, and to a table that it is merged into.
func (w *spaceWatch) admit(g *gate, bytes int) error {
	written := w.written.Add(int64(bytes))
	if err := g.err(); err != nil {
		return err
	}
	free, err := w.free(w.folder)
	if err != nil || free < g.least.Load()+3*uint64(written) || written > int64(w.bounds.ledger/8) {
		w.check(false)
	}
	return g.err()
}

// check asks the disk how much is free, and with probe whether it can be written at all, and says so when an answer
// differs from the one before.
func (w *spaceWatch) check(probe bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	free, err := w.free(w.folder)
	if err != nil && !w.mute {
		w.log.Warn("asking for free space failed", "folder", w.folder, "error", err)
	}
	if w.mute = err != nil; w.mute {
		return
	}
	if probe {
		w.fault = w.probe(w.folder)
	}
	w.written.Store(0)
	ledger := w.bounds.ledger
	if w.merging != nil {
		ledger = max(ledger, w.merging())
	}
	log := max(w.bounds.log, ledger+ledger/4) // the log stops first
	w.set(&w.requests, "the request log", log, free)
	w.set(&w.ledger, "the ledger: keys, teams and money", ledger, free)
	if w.bounds.ballast > 0 && w.fault == nil && free >= roomAgain(log)+uint64(w.bounds.ballast) {
		err := w.layBallast()
		if err != nil && !w.noBallast {
			w.log.Warn("laying the ballast file failed", "folder", w.folder, "error", err)
		}
		w.noBallast = err != nil
	}
}

// set decides about the request log or the ledger. Coming back takes an eighth more space than the bound, so that a
// disk at the bound does not switch all the time.
func (w *spaceWatch) set(g *gate, what string, least, free uint64) {
	was := g.err()
	if errors.Is(was, ErrDiskFull) {
		least = roomAgain(least)
	}
	g.least.Store(least)
	next := g.failed.Load()
	switch {
	case errors.Is(w.fault, ErrDiskFull), w.fault == nil && free < least:
		next = &stop{fmt.Errorf("%w: %d MiB, at least %d are needed", ErrDiskFull, free>>20, least>>20)}
	case w.fault != nil:
		next = &stop{w.fault}
	}
	g.stop.Store(next)
	is := g.err()
	switch {
	case is == nil && was != nil:
		w.log.Info("there is space again: writing goes on", "what", what, "folder", w.folder, "free_mib", free>>20)
	case errors.Is(is, ErrDiskFull) && !errors.Is(was, ErrDiskFull):
		w.log.Error("the disk is nearly full: writing stops",
			"what", what, "folder", w.folder, "free_mib", free>>20, "needed_mib", least>>20)
	case errors.Is(is, ErrReadOnly) && !errors.Is(was, ErrReadOnly):
		w.log.Error("the disk cannot be written: writing stops", "what", what, "folder", w.folder, "error", is)
	}
}

func roomAgain(least uint64) uint64 { return least + least/8 }

// makeRoom sees to it that need bytes are free, if giving up the ballast is enough for that, and answers ErrDiskFull or
// ErrReadOnly if they are not.
func (w *spaceWatch) makeRoom(need uint64) error {
	free, err := w.free(w.folder)
	if err == nil && free < need && os.Remove(w.ballastFile()) == nil {
		w.log.Warn("the disk is full: the ballast file is given up", "folder", w.folder, "free_mib", free>>20)
		free, err = w.free(w.folder)
	}
	if err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	if free < need {
		return fmt.Errorf("%w: %d MiB, at least %d are needed", ErrDiskFull, free>>20, need>>20)
	}
	return w.probe(w.folder)
}

// unflushed returns how many bytes of tables the database will write when it is opened or closed: what is in the logs
// of its memory tables.
func unflushed(dir string) uint64 {
	size, _ := allocated(filepath.Join(dir, ledgerFolder, "*.mem"))
	return size
}

// unmerged returns how many bytes the database may write when it is opened: beside unflushed, what it merges.
func unmerged(dir string) uint64 {
	all, largest := allocated(filepath.Join(dir, ledgerFolder, "*.sst"))
	return min(all, 12*largest) + unflushed(dir)
}

// allocated returns what the files take of the disk, and what the largest of them does.
func allocated(pattern string) (all, largest uint64) {
	files, _ := filepath.Glob(pattern) // the patterns are sound
	for _, file := range files {
		var stat unix.Stat_t
		if unix.Stat(file, &stat) == nil {
			size := uint64(stat.Blocks) * 512
			all, largest = all+size, max(largest, size)
		}
	}
	return all, largest
}

func (w *spaceWatch) ballastFile() string { return filepath.Join(w.folder, ballastFile) }

// layBallast makes the file that stands for space to end in, unless it lies there already. Its blocks are allocated:
// a sparse file would keep nothing.
func (w *spaceWatch) layBallast() (err error) {
	if info, err := os.Stat(w.ballastFile()); err == nil && info.Size() == w.bounds.ballast {
		return nil
	}
	f, err := os.OpenFile(w.ballastFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = unix.Fallocate(int(f.Fd()), 0, 0, w.bounds.ballast)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return os.NewSyscallError("fallocate", err)
	}
	zeros := make([]byte, 1<<20)
	for left := w.bounds.ballast; left > 0; left -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(left, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return nil
}

// freeSpace returns how many bytes a process without privileges may still write.
func freeSpace(folder string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// totalSpace returns the size of the file system.
func totalSpace(folder string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return stat.Blocks * uint64(stat.Bsize), nil
}

// probeWrite writes a byte to the disk: that a file system has become read-only, or its device has failed, shows in
// nothing else before it is too late. Over the same block every time, so that a full disk does not disturb it.
func probeWrite(folder string) error {
	f, err := os.OpenFile(filepath.Join(folder, probeFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write([]byte{'.'})
		if err == nil {
			err = unix.Fdatasync(int(f.Fd()))
		}
		err = errors.Join(err, f.Close())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	default:
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
}
