// Package ledger counts what identities use and what that costs, and says no before a limit is passed.
//
// An exchange is admitted once (Admit, Leave): its request counts against the rate limits and the limit of concurrent
// requests of its key, its teams and its model, all of them or none. Each attempt reserves its worst case on all
// their budgets, all or none, before it leaves (Reserve), and is settled exactly once (Settle). The balances are in
// memory, where they are decided on, and in rows. The journal is the truth: a reservation is in it when Reserve
// returns, and after a crash the balances follow from the rows and the journal behind them.
//
// It imports abi and the standard library. The store behind it is declared in store.go; package state implements it.
// The gateway asks it, admin reads it, cmd/sallyport joins them.
package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Errors of this package.
var (
	ErrCorrupt     = errors.New("the ledger cannot be read")
	ErrUnavailable = errors.New("the ledger cannot be written")
)

// Booking says what is booked where the truth is unknown.
type Booking uint8

// The bookings.
const (
	BookReservation Booking = iota // all that was reserved
	BookInput                      // the input, as it was estimated
	BookRelayed                    // the input and what was relayed
	BookNothing
)

// Settings are what an operator may change while the gateway runs.
type Settings struct {
	Sync       bool          // a reservation survives a power failure before its attempt leaves
	Unbudgeted bool          // requests pass, unbooked, while the ledger cannot be written
	Crash      Booking       // what is booked for attempts that a crash left open; not BookRelayed
	Retention  time.Duration // how long the journal is kept; 0: for ever
	Alerts     []int         // percent of a budget at which an alert is given, ascending
}

// Options are what a Ledger is opened with. The zero value of each but Store means its default.
type Options struct {
	Store    Store
	Settings Settings
	Log      *slog.Logger     // default: nothing is logged
	Clock    func() time.Time // default: time.Now
	// Elapsed is what has passed since some moment, by a clock that nobody sets; rates run by it. Default: Clock, whose
	// times hold a reading of such a clock too if they come of time.Now.
	Elapsed  func() time.Duration
	Alert    func(Alert) // is told when spending reaches a share of a budget; must not block; default: nobody is
	Resident int         // accounts kept in memory, as far as they are not in use; default 16,384
}

// defaultResident is small because the store keeps the rows of others at hand, and the collector has to look at each
// account again and again.
const defaultResident = 16384

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Elapsed == nil {
		began := o.Clock()
		o.Elapsed = func() time.Duration { return o.Clock().Sub(began) }
	}
	if o.Alert == nil {
		o.Alert = func(Alert) {}
	}
	if o.Resident == 0 {
		o.Resident = defaultResident
	}
	return o
}

// Ledger is an open ledger. All methods may be called by many goroutines at once.
type Ledger struct {
	store    Store
	log      *slog.Logger
	clock    func() time.Time
	rateTime func() int64 // that rates run by: Unix nanoseconds, if nobody has set the clock since Open
	alert    func(Alert)
	settings atomic.Pointer[Settings]
	counters counters
	ratios   ratios

	mu       sync.Mutex // guards everything below; held for a microsecond at a time, and never while waiting
	accounts accounts
	open     openList
	usage    map[usageKey]*usageSum // that the store does not have yet
	sums     []usageSum             // for the next ones
	batches  []*batch               // that are to be written, in order; events go to the last one
	journal  int64                  // bytes of events so far
	spare    []byte                 // of a batch that was written, for the next
	armed    bool                   // lazy is about to fire
	writing  bool                   // somebody is writing the first batch
	failing  bool                   // the last write to the store failed
	closed   bool

	busy  sync.Mutex // held by the one flush that may run; taken before mu
	books books

	wake    chan struct{} // tells the committer that there is something to write
	lazy    *time.Timer   // tells it too, a little later
	stop    chan struct{} // closed by Close
	booked  chan struct{} // closed when the books are closed
	working sync.WaitGroup
}

// Open opens the ledger: it reads the balances, replays what of the journal is not in them, and settles what a crash
// left open.
func Open(ctx context.Context, opts Options) (*Ledger, error) {
	opts = opts.withDefaults()
	l := &Ledger{
		store: opts.Store, log: opts.Log, clock: opts.Clock, alert: opts.Alert,
		accounts: accounts{resident: map[Account]*account{}, most: opts.Resident},
		usage:    map[usageKey]*usageSum{},
		wake:     make(chan struct{}, 1), stop: make(chan struct{}), booked: make(chan struct{}),
	}
	began := opts.Clock().UnixNano() - int64(opts.Elapsed())
	l.rateTime = func() int64 { return began + int64(opts.Elapsed()) }
	l.open.init()
	l.lazy = time.AfterFunc(time.Hour, l.rouseLazily)
	l.lazy.Stop()
	l.settings.Store(&opts.Settings)
	if err := l.replay(ctx); err != nil {
		return nil, err
	}
	l.working.Go(l.commit)
	l.working.Go(l.keepBooks)
	return l, nil
}

// Set changes the settings.
func (l *Ledger) Set(s Settings) { l.settings.Store(&s) }

// Close writes everything and ends the ledger's goroutines. Nothing may be reserved or settled after it began.
func (l *Ledger) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !closed {
		close(l.stop)
	}
	l.working.Wait()
	l.lazy.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing {
		return ErrUnavailable
	}
	return nil
}

// now is the time in whole microseconds, which is what the journal keeps.
func (l *Ledger) now() time.Time { return l.clock().Round(0).Truncate(time.Microsecond) }

// Figures are the ledger's figures for metrics.
type Figures struct {
	Open        int64       // reservations that are not settled
	Reserved    abi.NanoUSD // the sum of what they hold
	Resident    int64       // accounts in memory
	Settled     uint64      // attempts
	Overruns    uint64      // of Settled, those that cost more than was reserved
	Unpriced    uint64      // of Settled, those without a price
	Crashed     uint64      // attempts that a crash had left open
	Unbooked    uint64      // attempts that passed while the ledger could not be written
	Segments    uint64      // of the journal, written since Open
	Failures    uint64      // writes to the store that failed
	Failing     bool        // the last one did
	Discrepancy uint64      // checks of the invariant that failed
}

type counters struct {
	settled, overruns, unpriced, crashed, unbooked, segments, failures, discrepancy atomic.Uint64
}

// Figures returns the figures as they stand.
func (l *Ledger) Figures() Figures {
	c := &l.counters
	f := Figures{
		Settled: c.settled.Load(), Overruns: c.overruns.Load(), Unpriced: c.unpriced.Load(), Crashed: c.crashed.Load(),
		Unbooked: c.unbooked.Load(), Segments: c.segments.Load(), Failures: c.failures.Load(),
		Discrepancy: c.discrepancy.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.Open, f.Reserved = int64(l.open.count), l.open.reserved
	f.Resident, f.Failing = int64(len(l.accounts.resident)), l.failing
	return f
}

// Available says whether what is reserved can be booked: nil, or ErrUnavailable.
func (l *Ledger) Available() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing {
		return ErrUnavailable
	}
	return nil
}
