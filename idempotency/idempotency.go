// Package idempotency remembers what became of requests that carry an Idempotency-Key, so that one which is sent again
// is not made again. It imports nothing of ours; gateway claims keys, state keeps the rows.
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// Store keeps rows by key. Write stores all of them or says why not; a nil value removes one.
type Store interface {
	Write(rows iter.Seq2[string, []byte]) error
	Read(key string) (value []byte, ok bool, err error)
	Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error
}

// Options are the settings of Keys.
type Options struct {
	Store Store
	Now   func() time.Time // default: time.Now
}

// Keys are the keys that requests were made under. It is safe for concurrent use.
type Keys struct {
	store Store
	now   func() time.Time

	mu     sync.Mutex
	claims map[string]*Claim // under way, by row, which is read and written by who has one, or holds mu
}

// New returns the keys of a store.
func New(o Options) *Keys {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keys{store: o.Store, now: o.Now, claims: map[string]*Claim{}}
}

// State is what became of a request.
type State string

// The states.
const (
	UnderWay State = "under_way"
	Finished State = "finished"
	Lost     State = "lost" // it may have been made, and charged; nobody knows
)

// Entry is what is remembered of a request.
type Entry struct {
	State       State     `json:"state"`
	Request     string    `json:"request"`          // id of the request
	Body        string    `json:"body"`             // SHA-256 of its path and body
	Expires     time.Time `json:"expires"`          // forgotten from then on
	Status      int       `json:"status,omitempty"` // of the answer
	ContentType string    `json:"content_type,omitempty"`
	Answer      []byte    `json:"answer,omitempty"` // its body; nil if it was not to be kept
}

// Claim is a key that one request was made under. Exactly one of its methods is to be called, once.
type Claim struct {
	keys  *Keys
	row   string
	entry Entry // never changes: who comes meanwhile reads it
}

// rows begins the names of the rows.
const rows = "idempotency/"

// Claim takes a key of an identity for a request, for so long. If the key is taken, the claim is nil and the entry says
// by what; same reports whether that was the same request.
func (k *Keys) Claim(identity, key, path string, body []byte, request string, keep time.Duration) (c *Claim, taken Entry, same bool, err error) {
	name := sha256.Sum256([]byte(identity + "\x00" + key))
	content := sha256.New()
	content.Write([]byte(path + "\x00"))
	content.Write(body)
	claim := &Claim{keys: k, row: rows + hex.EncodeToString(name[:16]), entry: Entry{
		State: UnderWay, Request: request, Body: hex.EncodeToString(content.Sum(nil)), Expires: k.now().Add(keep),
	}}
	if other, ok := k.begin(claim); !ok {
		return nil, other.entry, other.entry.Body == claim.entry.Body, nil
	}
	taken, found, err := k.read(claim.row)
	if err == nil && !found {
		err = k.write(claim.row, &claim.entry)
	}
	if err != nil || found {
		k.end(claim)
		return nil, taken, taken.Body == claim.entry.Body, err
	}
	return claim, Entry{}, false, nil
}

// begin makes the claim the one under way; if there is one, it returns that.
func (k *Keys) begin(c *Claim) (other *Claim, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if other, taken := k.claims[c.row]; taken {
		return other, false
	}
	k.claims[c.row] = c
	return nil, true
}

func (k *Keys) end(c *Claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.claims, c.row)
}

// read returns what is remembered in a row that nobody else has a claim on. What is under way there is lost: the process ended
// meanwhile, or could not write what became of it.
func (k *Keys) read(row string) (e Entry, found bool, err error) {
	value, found, err := k.store.Read(row)
	if err != nil || !found {
		return Entry{}, false, err
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return Entry{}, false, fmt.Errorf("reading the row of an idempotency key: %w", err)
	}
	if e.State == UnderWay {
		e.State = Lost
	}
	return e, k.now().Before(e.Expires), nil
}

func (k *Keys) write(row string, e *Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the row of an idempotency key: %w", err)
	}
	return k.put(row, value)
}

func (k *Keys) put(row string, value []byte) error {
	return k.store.Write(func(yield func(string, []byte) bool) { yield(row, value) })
}

// Finish remembers that the request was answered, and with what if answer is not nil.
func (c *Claim) Finish(status int, contentType string, answer []byte) error {
	defer c.keys.end(c)
	e := c.entry
	e.State, e.Status, e.ContentType, e.Answer = Finished, status, contentType, answer
	return c.keys.write(c.row, &e)
}

// Lose remembers that nobody knows what became of the request.
func (c *Claim) Lose() error {
	defer c.keys.end(c)
	e := c.entry
	e.State = Lost
	return c.keys.write(c.row, &e)
}

// Release forgets the request: it was not made.
func (c *Claim) Release() error {
	defer c.keys.end(c)
	return c.keys.put(c.row, nil)
}

// sweptAtATime is how many rows are removed while claims wait.
const sweptAtATime = 256

// Sweep removes what has expired. It is to be called now and then.
func (k *Keys) Sweep(ctx context.Context) error {
	var expired []string
	err := k.store.Scan(ctx, rows, rows, func(row string, value []byte) error {
		var e Entry
		if json.Unmarshal(value, &e) == nil && !k.now().Before(e.Expires) {
			expired = append(expired, row)
		}
		return nil
	})
	for some := range slices.Chunk(expired, sweptAtATime) {
		if err == nil {
			err = k.remove(some)
		}
	}
	return err
}

// remove removes rows, but for those that were written anew since they were looked at.
func (k *Keys) remove(expired []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var gone []string
	for _, row := range expired {
		if _, taken := k.claims[row]; taken {
			continue
		}
		switch _, found, err := k.read(row); {
		case err != nil:
			return err
		case !found:
			gone = append(gone, row)
		}
	}
	return k.store.Write(func(yield func(string, []byte) bool) {
		for _, row := range gone {
			if !yield(row, nil) {
				return
			}
		}
	})
}
