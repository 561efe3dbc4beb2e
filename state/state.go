// Package state keeps what must outlive the process: client keys, the secret that their digests hang on, and the log
// of requests. It is the sole owner of Badger, and speaks in operations, not in transactions, so that another store
// can stand behind the same methods.
//
// It imports abi, identity and record. Only cmd/sallyport imports it; all others declare the few methods they need.
//
// The data folder holds two databases. ledger/ has the keys and fails closed: if it cannot be read, nothing starts.
// requests/ has the log, which may be lost: a broken one is set aside, a full disk stops it, a burst overruns its
// queue, and none of that is felt by a request or a key.
package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
)

// Errors of this package. Those of Badger are translated to them once, in badger.go.
var (
	ErrLocked   = errors.New("another sallyport has this data folder open")
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("it exists already")
	ErrClosed   = errors.New("the state is closed")
	ErrDiskFull = errors.New("too little free space")
	ErrCorrupt  = errors.New("stored data cannot be read")
)

// Names of the folders in the data folder.
const (
	ledgerFolder   = "ledger"
	requestsFolder = "requests"
)

// Options are the settings of a State. The zero value of each means its default.
type Options struct {
	Log       *slog.Logger                        // default: nothing is logged
	Clock     func() time.Time                    // default: time.Now
	Retention time.Duration                       // how long the request log is kept; default 30 days
	Queue     int                                 // records that may wait to be written; default 4096
	MinFree   uint64                              // bytes below which the request log stops; default 512 MiB
	Free      func(folder string) (uint64, error) // bytes free for us; default: what the file system says
}

// Defaults of Options.
const (
	defaultRetention = 30 * 24 * time.Hour
	defaultQueue     = 4096
	defaultMinFree   = 512 << 20
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.Free == nil {
		o.Free = freeSpace
	}
	return o
}

// State is an open data folder. All methods may be called by many goroutines at once.
type State struct {
	log      *slog.Logger
	lock     *os.File
	ledger   *badger.DB
	cache    *cache
	keys     sync.Mutex // held while keys are changed: their indexes are read and written together
	requests *requestLog
	space    *spaceWatch

	stop   chan struct{}  // closed to end the goroutine that tends
	tended sync.WaitGroup // that goroutine
	closed sync.Once
}

// Open opens the data folder dir, or makes it. It answers ErrLocked if another process has it open, and ErrDiskFull
// if the disk is so full that Badger would die by SIGBUS.
func Open(dir string, opts Options) (*State, error) {
	opts = opts.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder %s: %w", dir, err)
	}
	s, err := open(dir, lock, opts)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.tended.Go(s.tend)
	return s, nil
}

func open(dir string, lock *os.File, opts Options) (*State, error) {
	space := &spaceWatch{folder: dir, least: opts.MinFree, free: opts.Free, log: opts.Log}
	if err := space.enoughToOpen(); err != nil {
		return nil, fmt.Errorf("opening the data folder %s: %w", dir, err)
	}
	ledger, err := openDatabase(filepath.Join(dir, ledgerFolder), opts.Log)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger in %s: %w", dir, err)
	}
	requests, err := openRequestLog(filepath.Join(dir, requestsFolder), opts, &space.low)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the request log in %s: %w", dir, err), ledger.Close())
	}
	return &State{
		log: opts.Log, lock: lock, ledger: ledger, cache: newCache(knownSets, unknownSets),
		requests: requests, space: space, stop: make(chan struct{}),
	}, nil
}

// Close writes what is waiting and closes the folder. It comes after all lookups and changes of keys: Badger does not
// survive being closed under a reader. Whoever comes later is refused. A second call does nothing.
func (s *State) Close() (err error) {
	s.closed.Do(func() {
		close(s.stop)
		s.tended.Wait()
		err = errors.Join(s.requests.close(), translate(s.ledger.Close()), s.lock.Close())
	})
	return err
}

// How often the folder is tended.
const (
	spaceInterval   = time.Second
	reclaimInterval = 10 * time.Minute
)

// tend watches the free space and lets Badger reclaim its own, until Close.
func (s *State) tend() {
	space, reclaim := time.NewTicker(spaceInterval), time.NewTicker(reclaimInterval)
	defer space.Stop()
	defer reclaim.Stop()
	s.space.check()
	for {
		select {
		case <-s.stop:
			return
		case <-space.C:
			s.space.check()
		case <-reclaim.C:
			for _, db := range []*badger.DB{s.ledger, s.requests.db} {
				if err := reclaimSpace(db); err != nil {
					s.log.Warn("reclaiming disk space failed", "error", err)
				}
			}
		}
	}
}

var _ abi.Identities = (*State)(nil)
