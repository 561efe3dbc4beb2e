// Package kv is what policies remember: values, counters and sliding windows, in a namespace for each policy that the
// policy cannot leave.
//
// A namespace is decided on in memory, under a lock of its own, so that a policy which floods its namespace is slow
// alone. All keys are in memory, and their counters and windows; values are as far as there is room, and are read back
// from their rows where there is not. Changes are written behind, in groups, twice a second: what the store has is at
// most a second old. So a kill loses at most the last second of every operation, also of Set, Delete and CAS, key by
// key: nothing ties two keys together. After Close nothing is lost.
//
// It imports abi and the standard library. The store behind it is declared in store.go; package state implements it.
// Host functions call it through an interface of theirs, cmd/sallyport joins them.
package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Errors of this package. What a policy does wrong is a code, never an error.
var (
	ErrCorrupt = errors.New("what policies remember cannot be read")
	ErrName    = errors.New("not the name of a namespace")
	ErrClosed  = errors.New("what policies remember is closed")
	ErrBehind  = errors.New("the store lacks changes that policies made")
)

// Quota bounds what a namespace holds. The zero value of each means its default. What has expired counts until it is
// swept, which happens within seconds, and at once, in part, where something would not fit otherwise.
type Quota struct {
	Keys  int   // how many keys; default 10,000
	Bytes int64 // of keys and values together, a counter's value being 8 bytes and a window 160; default 10 MiB
	Key   int   // bytes of one key; default 256
	Value int   // bytes of one value; default 64 KiB
}

// Options are what a KV is opened with. The zero value of each but Store means its default.
type Options struct {
	Store    Store
	Clock    func() time.Time // default: time.Now
	Log      *slog.Logger     // default: nothing is logged
	Quota    Quota            // of each namespace
	Resident int64            // bytes of values that each namespace keeps in memory once they are written; default 4 MiB

	interval time.Duration // between flushes; for tests
}

// Defaults of Options. A change waits for the next flush, so it is in the store within a second as long as a flush
// takes less than half of one.
const (
	defaultKeys     = 10_000
	defaultBytes    = 10 << 20
	defaultKey      = 256
	defaultValue    = 64 << 10
	defaultResident = 4 << 20
	defaultInterval = 500 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Quota.Keys = cmp.Or(o.Quota.Keys, defaultKeys)
	o.Quota.Bytes = cmp.Or(o.Quota.Bytes, defaultBytes)
	o.Quota.Key = cmp.Or(o.Quota.Key, defaultKey)
	o.Quota.Value = cmp.Or(o.Quota.Value, defaultValue)
	o.Resident = cmp.Or(o.Resident, defaultResident)
	o.interval = cmp.Or(o.interval, defaultInterval)
	return o
}

// KV holds the namespaces. All methods may be called by many goroutines at once.
type KV struct {
	opts    Options
	stop    chan struct{} // closed by Close
	working sync.WaitGroup

	mu         sync.Mutex // guards everything below; held while a namespace is found, not while it is used
	namespaces map[string]*Namespace
	closed     bool
}

// Open reads which keys there are, of all namespaces, those of policies that are gone included: what they left expires
// too. A row that cannot be read fails its namespace alone.
func Open(ctx context.Context, opts Options) (*KV, error) {
	kv := &KV{opts: opts.withDefaults(), stop: make(chan struct{}), namespaces: map[string]*Namespace{}}
	if err := kv.load(ctx); err != nil {
		return nil, err
	}
	for _, n := range kv.namespaces {
		if n.fault == nil {
			kv.working.Go(n.keep)
		}
	}
	return kv, nil
}

// Namespace returns the namespace of a policy, which may be new. Asked again, also after the policy was loaded anew,
// it returns the same one.
func (kv *KV) Namespace(name string) (*Namespace, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	kv.mu.Lock()
	defer kv.mu.Unlock()
	if kv.closed {
		return nil, ErrClosed
	}
	n, ok := kv.namespaces[name]
	if !ok {
		n = kv.add(name)
		kv.working.Go(n.keep)
	}
	if n.fault != nil {
		return nil, n.fault
	}
	return n, nil
}

// add makes a namespace. The mutex is held, or nobody else has the KV yet.
func (kv *KV) add(name string) *Namespace {
	n := newNamespace(name, &kv.opts, kv.stop)
	kv.namespaces[name] = n
	return n
}

// Close writes everything and ends the goroutines. From its beginning on changes are answered with Unavailable, so what
// was answered with OK is in the store when it returns nil.
func (kv *KV) Close() error {
	kv.mu.Lock()
	closed := kv.closed
	kv.closed = true
	kv.mu.Unlock()
	if !closed {
		for _, n := range kv.namespaces {
			n.close()
		}
		close(kv.stop)
	}
	kv.working.Wait()
	for _, n := range kv.namespaces {
		if n.figures().Dirty > 0 {
			return ErrBehind
		}
	}
	return nil
}

// Figures are a namespace's figures for metrics.
type Figures struct {
	Keys     int64  // also those that have expired and are not swept yet
	Bytes    int64  // as the quota counts them
	Resident int64  // bytes of values in memory that could be read back
	Dirty    int64  // keys whose change is not in the store yet
	Reads    uint64 // values that were read back
	Refused  uint64 // changes that the quota refused
	Failures uint64 // reads and writes of the store that failed
	Failing  bool   // the last write did
}

// Figures returns the figures of every namespace, by name.
func (kv *KV) Figures() map[string]Figures {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	all := make(map[string]Figures, len(kv.namespaces))
	for name, n := range kv.namespaces {
		all[name] = n.figures()
	}
	return all
}
