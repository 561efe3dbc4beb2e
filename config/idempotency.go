package config

import "time"

// Idempotency says what is remembered of requests that carry an Idempotency-Key.
type Idempotency struct {
	Keep         time.Duration // how long; default 24h
	StoreAnswers bool          // answers that are not streamed are kept, and given again; default false
	MaxAnswer    int64         // bytes of an answer that is kept; default 1 MiB
}

func defaultIdempotency() Idempotency { return Idempotency{Keep: day, MaxAnswer: 1 << 20} }

func (l *loading) idempotency(v value) {
	i := &l.snapshot.Idempotency
	v.object([]field{
		optional("keep", func(v value) { v.retention(&i.Keep, time.Minute, 30*day) }),
		optional("store_answers", func(v value) { v.boolean(&i.StoreAnswers) }),
		optional("max_answer", func(v value) { v.bytes(&i.MaxAnswer, 1<<10, 4<<20) }),
	})
}
