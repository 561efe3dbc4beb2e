// Package state keeps what must outlive the process: client keys and teams, the secret that the keys' digests hang on,
// the ledger's journal, books and usage, what policies remember, and the log of requests. It is the sole owner of Badger, and speaks in operations, not
// in transactions, so that another store can stand behind the same methods.
//
// It imports abi, identity, record, and the packages below it. Only cmd/sallyport imports it; all others declare the few
// methods they need.
//
// The data folder holds two things. ledger/ is a database with keys and teams, with the files of money beside it, journal,
// books and usage, and fails closed: if it cannot be read, nothing starts; after a write that failed it is opened again
// by itself. requests/ has the files of the request log, which may be lost: damage is passed over, a full disk stops it,
// a burst overruns its queue, and none of that is felt by a request, a key or money.
package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/state/journal"
	"github.com/sallyport-dev/sallyport/state/rows"
	"github.com/sallyport-dev/sallyport/state/sums"
)

// Errors of this package. Those of Badger are translated to them once, in badger.go.
var (
	ErrLocked   = errors.New("another sallyport has this data folder open")
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("it exists already")
	ErrRevoked  = errors.New("it is revoked for good")
	ErrClosed   = errors.New("the state is closed")
	ErrDiskFull = errors.New("too little free space")
	ErrReadOnly = errors.New("the disk cannot be written")
	ErrCorrupt  = errors.New("stored data cannot be read")
)

// Names of the folders in the data folder, and in that of the ledger.
const (
	ledgerFolder   = "ledger"
	journalFolder  = "journal"
	booksFolder    = "books"
	usageFolder    = "usage"
	requestsFolder = "requests"
)

// Options are the settings of a State. The zero value of each means its default. Where the file system is smaller than
// four times the larger of MinFree and MinFreeLedger, both and Ballast shrink in proportion.
type Options struct {
	Log           *slog.Logger                        // default: nothing is logged
	Clock         func() time.Time                    // default: time.Now
	Retention     time.Duration                       // how long the request log is kept; default 30 days
	MaxLogSize    int64                               // bytes that the request log may take: its oldest go first; default 4 GiB
	Queue         int                                 // records that may wait to be written; default 4096
	MinFree       uint64                              // bytes free below which the request log stops; default 512 MiB
	MinFreeLedger uint64                              // bytes free below which keys and money stop; default 256 MiB
	Ballast       int64                               // bytes of the file that is given up when space is needed to end or begin; default 64 MiB; negative: none
	Free          func(folder string) (uint64, error) // bytes free for us; default: what the file system says

	total func(folder string) (uint64, error) // the file system's size; for tests
	probe func(folder string) error           // whether it can be written; for tests
}

// Defaults of Options.
const (
	defaultRetention     = 30 * 24 * time.Hour
	defaultMaxLogSize    = 4 << 30
	defaultQueue         = 4096
	defaultMinFree       = 512 << 20
	defaultMinFreeLedger = 256 << 20
	defaultBallast       = 64 << 20
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Free == nil {
		o.Free = freeSpace
	}
	if o.total == nil {
		o.total = totalSpace
	}
	if o.probe == nil {
		o.probe = probeWrite
	}
	o.Retention = cmp.Or(o.Retention, defaultRetention)
	o.MaxLogSize = cmp.Or(o.MaxLogSize, defaultMaxLogSize)
	o.Queue = cmp.Or(o.Queue, defaultQueue)
	o.MinFree = cmp.Or(o.MinFree, defaultMinFree)
	o.MinFreeLedger = cmp.Or(o.MinFreeLedger, defaultMinFreeLedger)
	o.Ballast = cmp.Or(o.Ballast, defaultBallast)
	return o
}

// State is an open data folder. All methods may be called by many goroutines at once, where they do not say otherwise.
type State struct {
	log      *slog.Logger
	clock    func() time.Time
	lock     *os.File
	ledger   *database
	journal  *journal.Journal
	books    *rows.Table // balances, rates, and the ledger's place in the journal
	usage    *sums.Sums
	cache    *cache
	teams    *teamTable
	zones    zones
	warmed   context.CancelFunc // ends warm
	keys     sync.Mutex         // held while keys and teams are changed: their indexes are read and written together
	requests *requestLog
	space    *spaceWatch

	moment  sync.RWMutex // held by a backup while it begins, read-held while journal and rows are written
	backups atomic.Int32 // that are being made: the journal keeps all its segments meanwhile

	stop   chan struct{}  // closed to end the goroutine that tends
	tended sync.WaitGroup // that goroutine
	mended sync.WaitGroup // databases that are being opened again
	closed sync.Once
}

// Open opens the data folder dir, or makes it. It answers ErrLocked if another process has it open, and ErrDiskFull
// or ErrReadOnly if the disk is such that Badger would die by SIGBUS.
func Open(dir string, opts Options) (*State, error) {
	opts = opts.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", translate(err))
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder %s: %w", dir, translate(err))
	}
	s, err := open(dir, lock, opts)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.warmed = cancel
	s.tended.Go(s.tend)
	s.tended.Go(func() { s.warm(ctx) })
	s.tended.Go(func() { s.mergeNowAndThen(ctx) })
	return s, nil
}

func open(dir string, lock *os.File, opts Options) (*State, error) {
	space, err := watchSpace(dir, opts)
	if err == nil {
		err = space.makeRoom(space.bounds.open + unmerged(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("opening the data folder %s: %w", dir, err)
	}
	s := &State{
		log: opts.Log, clock: opts.Clock, lock: lock, cache: newCache(knownSets, unknownSets), space: space, stop: make(chan struct{}),
	}
	if err := s.openLedger(filepath.Join(dir, ledgerFolder)); err != nil {
		return nil, fmt.Errorf("opening the ledger in %s: %w", dir, err)
	}
	s.requests, err = openRequestLog(filepath.Join(dir, requestsFolder), opts, space)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the request log in %s: %w", dir, err), s.closeFiles(), s.ledger.handle.Close())
	}
	space.merging = s.ledger.mergeNeed
	space.check(true)
	s.keepRows()
	return s, nil
}

func (s *State) openLedger(dir string) (err error) {
	s.ledger = &database{log: s.log, space: s.space, gate: &s.space.ledger, open: func() (*badger.DB, error) {
		return openDatabase(dir, s.space.bounds.memTable, s.log)
	}}
	if s.ledger.handle, err = s.ledger.open(); err != nil {
		return err
	}
	if err = s.loadTeams(); err == nil {
		err = s.openFiles(dir)
	}
	if err != nil {
		return errors.Join(translate(err), s.closeFiles(), s.ledger.handle.Close())
	}
	return nil
}

// openFiles opens what the ledger has beside Badger.
func (s *State) openFiles(dir string) (err error) {
	if s.journal, err = journal.Open(filepath.Join(dir, journalFolder)); err != nil {
		return err
	}
	if s.books, err = rows.Open(filepath.Join(dir, booksFolder)); err != nil {
		return err
	}
	s.usage, err = sums.Open(filepath.Join(dir, usageFolder))
	return err
}

// closeFiles closes what openFiles opened.
func (s *State) closeFiles() (err error) {
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
	}
	if s.books != nil {
		err = errors.Join(err, s.books.Close())
	}
	if s.usage != nil {
		err = errors.Join(err, s.usage.Close())
	}
	return translate(err)
}

// Close writes what is waiting and closes the folder. It comes after all lookups and changes: Badger does not survive
// being closed under a reader. Whoever comes later is refused. A second call does nothing.
//
// On a disk that is full even without the ballast, or that takes no writes, the database is left as the end of the
// process would leave it, which loses nothing; the error says so, and the folder stays locked until then.
func (s *State) Close() (err error) {
	s.closed.Do(func() {
		close(s.stop)
		s.warmed()
		s.tended.Wait()
		s.cache.rows.close()
		err = errors.Join(translate(s.requests.end()), s.closeFiles())
		if full := s.space.makeRoom(s.space.bounds.open/4 + unflushed(s.space.folder)); full != nil {
			err = errors.Join(err, fmt.Errorf("closing the databases: %w", full))
			return
		}
		s.mended.Wait()
		err = errors.Join(err, translate(s.ledger.handle.Close()), s.lock.Close())
	})
	return err
}

// How often the folder is tended.
const (
	spaceInterval   = 100 * time.Millisecond
	probeInterval   = time.Second
	reclaimInterval = 10 * time.Minute
	mergeInterval   = time.Minute
)

// tend watches the disk, has databases that failed opened again, and lets Badger reclaim its space, until Close.
func (s *State) tend() {
	space, probe, reclaim := time.NewTicker(spaceInterval), time.NewTicker(probeInterval), time.NewTicker(reclaimInterval)
	defer space.Stop()
	defer probe.Stop()
	defer reclaim.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-space.C:
			s.space.check(false)
		case <-probe.C:
			s.space.check(true)
			s.mend()
		case <-reclaim.C:
			s.reclaim()
		}
	}
}

// mergeNowAndThen keeps the usage's files few, until ctx ends.
func (s *State) mergeNowAndThen(ctx context.Context) {
	tick := time.NewTicker(mergeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.mergeUsage(ctx)
		}
	}
}

// mend has the database opened again if it failed and the disk lets it. It does not wait for that: what Badger could
// not write it goes on trying to write, and the disk may be gone again.
func (s *State) mend() {
	if s.ledger.gate.onlyFailed() {
		s.mended.Go(s.ledger.mend)
	}
}

func (s *State) reclaim() {
	log, ledger := s.Health()
	var err error
	if log == nil {
		err = s.requests.trim(context.Background())
	}
	if ledger == nil { // reclaiming writes before it frees
		err = errors.Join(err, s.ledger.reclaim())
	}
	if err != nil {
		s.log.Warn("reclaiming disk space failed", "error", err)
	}
}

var (
	_ abi.Identities  = (*State)(nil)
	_ identity.Stored = (*State)(nil)
)
