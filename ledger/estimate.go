package ledger

import (
	"sync"
	"sync/atomic"
)

// A ratio is how many tokens one byte of a request's body was at most, in thousandths.
const (
	firstRatio   = 500  // before anything is known of a model
	largestRatio = 1000 // text has no more: what is above it came of pictures or the like, not of the body's length
	perByte      = 1000
)

// ratios are the largest ratios seen, by the provider's model. Reading one takes no lock.
type ratios struct {
	models  sync.Map // string -> *atomic.Int64
	changed atomic.Bool
}

// EstimateInput returns how many tokens a body of that many bytes has at most, by what was seen of the model so far.
func (l *Ledger) EstimateInput(model string, body int) int64 {
	ratio := int64(firstRatio)
	if known, ok := l.ratios.models.Load(model); ok {
		ratio = known.(*atomic.Int64).Load() //nolint:errcheck // nothing else is stored
	}
	return (int64(body)*ratio + perByte - 1) / perByte
}

// ObserveInput learns from an answer how many tokens a body had.
func (l *Ledger) ObserveInput(model string, body int, tokens int64) {
	if body <= 0 || tokens*perByte <= int64(body)*firstRatio {
		return
	}
	ratio := min((tokens*perByte+int64(body)-1)/int64(body), largestRatio)
	known, _ := l.ratios.models.LoadOrStore(model, new(atomic.Int64))
	largest := known.(*atomic.Int64) //nolint:errcheck // nothing else is stored
	for old := largest.Load(); ratio > old; old = largest.Load() {
		if largest.CompareAndSwap(old, ratio) {
			l.ratios.changed.Store(true)
		}
	}
}

// ratiosRow holds all ratios: pairs of model and ratio.
const ratiosRow = "ratios"

// encode returns the row, and whether it has changed since the last call.
func (r *ratios) encode() (row []byte, changed bool) {
	if !r.changed.Swap(false) {
		return nil, false
	}
	var e encoder
	r.models.Range(func(model, ratio any) bool {
		e.text(model.(string))              //nolint:errcheck // nothing else is stored
		e.int(ratio.(*atomic.Int64).Load()) //nolint:errcheck // nothing else is stored
		return true
	})
	return e.buf, true
}

// parse takes a row in. One that is damaged costs no more than learning again.
func (r *ratios) parse(row []byte) {
	d := decoder{buf: row}
	for len(d.buf) > 0 {
		model, ratio := d.text(), d.int()
		if d.short {
			return
		}
		known := new(atomic.Int64)
		known.Store(ratio)
		r.models.Store(model, known)
	}
}
