package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// load reads all rows.
func (kv *KV) load(ctx context.Context) error {
	err := kv.opts.Store.Scan(ctx, rowPrefix, "", func(row string, value []byte) error {
		name, key, found := strings.Cut(row[len(rowPrefix):], "/")
		if !found || name == "" || key == "" {
			return fmt.Errorf("%w: row %q", ErrCorrupt, row)
		}
		n, ok := kv.namespaces[name]
		if !ok {
			n = kv.add(name)
		}
		if n.fault == nil {
			n.fault = n.take(key, value)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading what policies remember: %w", err)
	}
	return nil
}

// take takes in a row. Values that are not small stay there until they are asked for.
func (n *Namespace) take(key string, row []byte) error {
	e := n.newEntry(key)
	e.stored = true
	if err := e.parse(row); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrCorrupt, e.row, err)
	}
	if e.value = bytes.Clone(e.value); e.size > small {
		e.value = nil
	}
	n.order.add(e)
	n.bytes += e.weight()
	n.version = max(n.version, e.version)
	return nil
}

var errMissing = errors.New("its row is missing, or another one")

// readBack reads a key's value from its row. The mutex is held on entry and on return, but not while the row is read;
// e is what the key holds then.
func (n *Namespace) readBack(key []byte, e *entry) (*entry, abi.Code) {
	for e != nil && e.cold() {
		version := e.version
		n.mu.Unlock()
		value, err := n.readRow(e.row, version)
		n.mu.Lock()
		before := e
		if e = n.live(key); e != before || !e.cold() || e.version != version {
			continue // somebody was faster
		}
		n.noteRead(err)
		if err != nil {
			return nil, abi.Unavailable
		}
		e.value = value
		n.keepWarm(e)
		n.evict(evictions)
	}
	return e, abi.OK
}

// readRow reads the value of a row that must be of a version.
func (n *Namespace) readRow(row string, version uint64) ([]byte, error) {
	b, ok, err := n.opts.Store.Read(row)
	if err != nil {
		return nil, err
	}
	var e entry
	if !ok {
		return nil, errMissing
	}
	if err := e.parse(b); err != nil {
		return nil, err
	}
	if e.kind != plain || e.size == 0 || e.version != version {
		return nil, errMissing
	}
	return bytes.Clone(e.value), nil
}

// noteRead counts a read of the store, and tells when reading begins to fail and when it works again.
func (n *Namespace) noteRead(err error) {
	switch {
	case err != nil && !n.blind:
		n.log.Error("a value that a policy remembers cannot be read", "error", err)
	case err == nil && n.blind:
		n.log.Info("what a policy remembers is read again")
	}
	if n.blind = err != nil; n.blind {
		n.counts.Failures++
	} else {
		n.counts.Reads++
	}
}
