package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"
)

// books is what the bookkeeping knows. It brings the store's rows and sums up to the journal, so that little has to be
// replayed after a restart. Only one flush runs at a time: busy is held.
type books struct {
	usage   map[usageKey]*usageSum // being written
	usageTo uint64                 // the segment that usage is up to
	written uint64                 // the segment that the store's sums of usage are up to
	due     time.Time              // when the books are brought up to date next
	replay  uint64                 // the first segment that a restart has to read, as the row of that name says
	checked uint64                 // the segment that the balances were checked up to
}

const (
	ratesInterval = time.Second      // between writes of rates to the journal: what a crash can lose of them
	booksInterval = 30 * time.Second // between flushes: what a restart has to read of the journal
	checkInterval = time.Minute
	dropInterval  = time.Hour
	flushChunk    = 4096     // accounts that are encoded at a time
	carryAfter    = 32 << 20 // bytes of journal after which an open reservation is repeated
)

// replayRow holds the number of the first segment that a restart has to read.
const replayRow = "replay"

// keepBooks is the bookkeeper.
func (l *Ledger) keepBooks() {
	defer close(l.booked)
	rates, check, drop := time.NewTicker(ratesInterval), time.NewTicker(checkInterval), time.NewTicker(dropInterval)
	defer rates.Stop()
	defer check.Stop()
	defer drop.Stop()
	ctx := context.Background()
	for {
		var err error
		select {
		case <-rates.C:
			l.journalRates()
			if l.due() {
				err = l.flush(ctx)
			}
		case <-check.C:
			err = l.check(ctx)
		case <-drop.C:
			err = l.dropOld(ctx)
		case <-l.stop:
			if err := l.flush(ctx); err != nil {
				l.log.Error("closing the ledger: its rows are behind its journal", "error", err)
			}
			return
		}
		if err != nil && !errors.Is(err, ErrUnavailable) { // that one is told already
			l.log.Error("keeping the ledger's books", "error", err)
		}
	}
}

// due reports whether the books are to be brought up to date: it is time, or so many accounts have changed that few in
// memory can be forgotten.
func (l *Ledger) due() bool {
	l.busy.Lock()
	defer l.busy.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.now().Before(l.books.due) || l.accounts.dirty > l.accounts.most/2
}

// flush writes the rows of all accounts that have changed as it begins, and the sums of usage. What changes meanwhile is for
// the next one: where more does than can be written, it would never end.
func (l *Ledger) flush(ctx context.Context) error {
	l.busy.Lock()
	defer l.busy.Unlock()
	first := uint64(0)
	for left := 0; first == 0 || left > 0; {
		l.mu.Lock()
		if first == 0 {
			left = l.accounts.dirty // those that have been so for the longest are taken first
		}
		part := l.takePart(min(left, flushChunk))
		l.mu.Unlock()
		left -= len(part.accounts)
		if first == 0 {
			first = part.replay
		}
		if err := l.writePart(ctx, part); err != nil {
			return err
		}
	}
	if err := l.writeUsage(); err != nil {
		return err
	}
	if err := l.writeReplay(min(first, l.books.written+1)); err != nil {
		return err
	}
	l.books.due = l.now().Add(booksInterval)
	return nil
}

// part is what one step of a flush writes.
type part struct {
	number   uint64 // the segment that it is up to
	accounts []*account
	rows     []row  // of accounts
	replay   uint64 // the first segment that has to be read if these and all earlier changes are written
	sealed   *batch // nil: everything up to here is in the journal
}

// seal ends the batch that is being filled, and returns the number of the last segment, and what must be written
// until the journal has that: nil if it does. The mutex is held.
func (l *Ledger) seal() (number uint64, sealed *batch) {
	sealed, number = l.unwritten(), l.segment()
	if sealed != nil && sealed.number == number {
		l.begin(number + 1)
		return number, sealed
	}
	return number - 1, sealed
}

// takePart encodes so many accounts as they are at the end of a segment, and takes the sums of usage up to there. The mutex is held.
func (l *Ledger) takePart(accounts int) *part {
	l.carry()
	p := new(part)
	p.number, p.sealed = l.seal()
	for range accounts {
		a := l.accounts.clean()
		p.accounts = append(p.accounts, a)
		p.rows = append(p.rows, row{a.row(), a.encode(p.number)})
	}
	p.replay = p.number + 1
	if r := l.open.first(); r != nil {
		p.replay = min(p.replay, r.segment)
	}
	if l.books.usage == nil {
		l.books.usage, l.books.usageTo = l.usage, p.number
		l.usage = make(map[usageKey]*usageSum, len(l.usage)) // there will be about as many again
	}
	return p
}

// unwritten is the last batch with events that may not be written yet; nil if all are. The mutex is held.
func (l *Ledger) unwritten() *batch {
	n := len(l.batches)
	switch {
	case len(l.batches[n-1].buf) > emptyBatch:
		return l.batches[n-1]
	case n > 1:
		return l.batches[n-2]
	}
	return nil
}

// carry repeats reservations that have been open for so long that a restart would have to read much to find them.
func (l *Ledger) carry() {
	for r := l.open.first(); r != nil && l.journal-r.position > carryAfter; r = l.open.first() {
		l.open.unlink(r)
		l.open.push(r)
		l.write(r)
	}
}

// writePart waits until the journal has what the rows say, and writes them. The journal is synced before: numbers that a
// power failure took back would be given again, to events that the rows would be taken to have.
func (l *Ledger) writePart(ctx context.Context, p *part) error {
	err := l.await(ctx, p.sealed)
	if err == nil {
		err = l.store.Sync()
	}
	if err == nil && len(p.rows) > 0 {
		if err = l.store.WriteBooks(all(p.rows)); err != nil {
			err = fmt.Errorf("writing accounts: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range p.accounts {
		a.flight = false
		if err != nil {
			l.accounts.touch(a)
		}
	}
	return err
}

// await waits until a batch is written.
func (l *Ledger) await(ctx context.Context, b *batch) error {
	if b == nil {
		return nil
	}
	l.mu.Lock()
	done := b.wait()
	l.mu.Unlock()
	l.rouse()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.err != nil {
		return ErrUnavailable
	}
	return nil
}

// row is a row on its way to the store.
type row struct {
	key   string
	value []byte
}

func all(rows []row) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, r := range rows {
			if !yield(r.key, r.value) {
				return
			}
		}
	}
}

// writeReplay notes where a restart has to begin to read, and the learned ratios beside it.
func (l *Ledger) writeReplay(from uint64) error {
	if from == l.books.replay {
		return nil
	}
	var e encoder
	e.uint(from)
	rows := map[string][]byte{replayRow: e.buf}
	if ratios, changed := l.ratios.encode(); changed {
		rows[ratiosRow] = ratios
	}
	if err := l.store.WriteBooks(maps.All(rows)); err != nil {
		return fmt.Errorf("writing the ledger's place: %w", err)
	}
	l.books.replay = from
	return nil
}

// errEnough ends a walk early. It never leaves this package.
var errEnough = errors.New("enough")

// dropOld gives up the segments that are older than the settings' retention, as far as no restart and no check needs them.
func (l *Ledger) dropOld(ctx context.Context) error {
	keep := l.settings.Load().Retention
	if keep == 0 {
		return nil
	}
	oldest := l.now().Add(-keep)
	l.busy.Lock()
	before := min(l.books.replay, l.books.checked+1)
	l.busy.Unlock()
	err := l.store.Segments(ctx, 0, func(number uint64, segment []byte) error {
		if number >= before {
			return errEnough
		}
		return readSegment(segment, func(ev *event) error {
			if !ev.latest().Before(oldest) {
				before = number
				return errEnough
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("looking for old segments: %w", err)
	}
	if err := l.store.Drop(ctx, before); err != nil {
		return fmt.Errorf("dropping old segments: %w", err)
	}
	return nil
}

// latest is when the event was written.
func (ev *event) latest() time.Time {
	if ev.kind == settlementEvent {
		return ev.Settled
	}
	return ev.Time
}
