package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// A segment of the journal is a version byte and events, each behind its length. There are three kinds. A reservation
// says that an attempt may leave and what is held for it; one that stays open for long is repeated, so that little
// has to be read after a restart. A settlement says what the attempt came to; it repeats what it belongs to, so that
// it can be read alone. Rates say where those of an account stand: once a second, if they have moved.
const segmentVersion = 1

// eventKind says what an event is. The numbers are on the disk.
type eventKind byte

const (
	reservationEvent eventKind = 1
	settlementEvent  eventKind = 2
	ratesEvent       eventKind = 3
)

// share names a window that an entry counts against.
type share struct {
	account Account
	period  abi.Period
	zone    string
	start   int64
}

// event is one event as it is read. Its texts are its own.
type event struct {
	kind eventKind
	Entry
	shares []share
}

// appendEvent appends the event of a reservation: a settlement if that is what its state says.
func (r *Reservation) appendEvent(dst []byte) []byte {
	start := len(dst)
	e := encoder{append(dst, 0, 0)} // the length: two bytes, filled in at the end
	kind := reservationEvent
	if r.State == StateSettled {
		kind = settlementEvent
	}
	e.byte(byte(kind))
	e.text(r.ID)
	e.uint(uint64(r.Attempt))
	e.int(r.Time.UnixMicro())
	e.text(r.KeyID)
	e.text(r.Key)
	e.text(r.Team)
	e.text(r.Model)
	e.text(r.Provider)
	e.text(r.ProviderModel)
	e.byte(byte(r.Flags))
	e.int(int64(r.Reserved))
	e.int(int64(r.Input))
	e.uint(uint64(len(r.windows)))
	for _, w := range r.windows {
		e.share(w)
	}
	if kind == settlementEvent {
		e.byte(byte(r.Basis))
		e.int(int64(r.Cost))
		e.int(r.Settled.UnixMicro())
		e.usage(&r.Usage)
	}
	return e.seal(start)
}

// seal fills in the length of the event that begins at start.
func (e *encoder) seal(start int) []byte {
	length := len(e.buf) - start - 2
	if length > maxEvent {
		panic("ledger: an event that is longer than names can make it")
	}
	e.buf[start], e.buf[start+1] = byte(length), byte(length>>8)
	return e.buf
}

// appendRates appends the event that says where the account's rates stand: a mask of those that were used, and each of them.
func (a *account) appendRates(dst []byte) []byte {
	start := len(dst)
	e := encoder{append(dst, 0, 0, byte(ratesEvent), byte(a.Kind))}
	e.text(a.ID)
	mask := uint64(0)
	for i, r := range a.rates {
		if r != 0 {
			mask |= 1 << i
		}
	}
	e.uint(mask)
	for _, r := range a.rates {
		if r != 0 {
			e.int(int64(r))
		}
	}
	return e.seal(start)
}

// moved is a rates event as it is read.
type moved struct {
	Account
	mask  uint64
	rates [numRates]arrival
}

func parseRates(body []byte) (m moved, err error) {
	d := decoder{buf: body}
	d.byte() // the kind
	m.Kind, m.ID, m.mask = Kind(d.byte()), d.text(), d.uint()
	if m.mask >= 1<<numRates {
		return m, errors.New("a rate that this program does not know")
	}
	for i := range m.rates {
		if m.mask&(1<<i) != 0 {
			m.rates[i] = arrival(d.int())
		}
	}
	return m, d.end()
}

// share appends what names a window.
func (e *encoder) share(w *window) {
	e.byte(byte(w.account.Kind))
	e.text(w.account.ID)
	e.byte(byte(w.period))
	e.text(w.zone)
	e.int(w.start)
}

func (d *decoder) share() share {
	return share{account: Account{Kind(d.byte()), d.text()}, period: abi.Period(d.byte()), zone: d.text(), start: d.int()}
}

// maxEvent is what an event's length can say. Names are bounded where they come in, so nothing comes near it.
const maxEvent = 1<<16 - 1

// usage appends the dimensions that were used.
func (e *encoder) usage(u *abi.Usage) {
	used := 0
	for _, n := range u {
		if n != 0 {
			used++
		}
	}
	e.uint(uint64(used))
	for d, n := range u {
		if n != 0 {
			e.byte(byte(d))
			e.int(n)
		}
	}
}

func (d *decoder) usage() (u abi.Usage) {
	for range d.count(256) {
		dimension, n := abi.Dimension(d.byte()), d.int()
		if dimension < abi.NumDimensions {
			u[dimension] = n
		}
	}
	return u
}

// readSegment calls f for each event of a segment that is an attempt's. The event is used again for the next one.
func readSegment(segment []byte, f func(*event) error) error {
	return readAll(segment, f, func(*moved) error { return nil })
}

// readAll calls attempt for each event of an attempt, and rates for the others.
func readAll(segment []byte, attempt func(*event) error, rates func(*moved) error) error {
	d := decoder{buf: segment}
	if version := d.byte(); version != segmentVersion {
		return fmt.Errorf("%w: version %d of a segment, this program knows %d", ErrCorrupt, version, segmentVersion)
	}
	var ev event
	for len(d.buf) > 0 {
		body := d.body()
		if len(body) > 0 && eventKind(body[0]) == ratesEvent {
			m, err := parseRates(body)
			if err != nil {
				return fmt.Errorf("%w: rates: %w", ErrCorrupt, err)
			}
			if err := rates(&m); err != nil {
				return err
			}
			continue
		}
		if err := ev.parse(body); err != nil {
			return fmt.Errorf("%w: an event: %w", ErrCorrupt, err)
		}
		if err := attempt(&ev); err != nil {
			return err
		}
	}
	return nil
}

// body returns the next event's bytes, without their length.
func (d *decoder) body() []byte {
	length := int(d.byte()) | int(d.byte())<<8
	if length > len(d.buf) {
		d.fail()
		return nil
	}
	body := d.buf[:length]
	d.buf = d.buf[length:]
	return body
}

// skimSegment calls f for each share of each settlement in a segment, as share appends it. It makes no strings.
func skimSegment(segment []byte, f func(share []byte, cost abi.NanoUSD)) {
	d := decoder{buf: segment[1:]}
	for len(d.buf) > 0 {
		e := decoder{buf: d.body()}
		if eventKind(e.byte()) != settlementEvent {
			continue
		}
		e.raw() // id
		e.uint()
		e.int()
		for range 6 {
			e.raw()
		}
		e.byte()
		e.int()
		e.int()
		shares := e
		for range e.count(len(e.buf)) {
			e.skipShare()
		}
		e.byte()
		cost := abi.NanoUSD(e.int())
		for range shares.count(len(shares.buf)) {
			start := shares.buf
			shares.skipShare()
			f(start[:len(start)-len(shares.buf)], cost)
		}
	}
}

func (d *decoder) skipShare() {
	d.byte()
	d.raw()
	d.byte()
	d.raw()
	d.int()
}

// parse reads one event.
func (ev *event) parse(body []byte) error {
	d := decoder{buf: body}
	shares := ev.shares[:0]
	*ev = event{kind: eventKind(d.byte())}
	ev.ID, ev.Attempt, ev.Time = d.text(), int(d.uint()), time.UnixMicro(d.int()).UTC()
	ev.KeyID, ev.Key, ev.Team = d.text(), d.text(), d.text()
	ev.Model, ev.Provider, ev.ProviderModel = d.text(), d.text(), d.text()
	ev.Flags = Flags(d.byte())
	ev.Reserved, ev.Input = abi.NanoUSD(d.int()), abi.NanoUSD(d.int())
	for range d.count(len(body)) {
		shares = append(shares, d.share())
	}
	ev.shares = shares
	switch ev.kind {
	case reservationEvent:
	case settlementEvent:
		ev.State, ev.Basis = StateSettled, Basis(d.byte())
		ev.Cost, ev.Settled = abi.NanoUSD(d.int()), time.UnixMicro(d.int()).UTC()
		ev.Usage = d.usage()
	default:
		return fmt.Errorf("kind %d, which this program does not know", ev.kind)
	}
	return d.end()
}
