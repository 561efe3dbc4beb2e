package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/record"
)

// What the request log takes of the disk is accounted for by time: Badger's own figure lags behind by what it has not
// merged yet, and deleting row by row would at first make it larger. A bucket is the rows whose ids share a prefix, at
// first
//
//	req_ and the first seven digits of the time: 32.8 seconds
//
// The oldest buckets are dropped whole, by prefix: Badger gives up the tables that hold nothing else without reading
// them. One that is so large that too much would go with it is split first, into buckets of one more digit each. No
// bucket's name is a prefix of another's. A row for each bucket, usageRows and its name, holds its bytes as 8 bytes,
// big-endian.
const (
	usageRows      = "s/"
	shortestBucket = len("req_") + 7
	longestBucket  = len("req_") + 10             // a millisecond
	bucketSpan     = (1 << 15) * time.Millisecond // of the shortest: three digits of five bits
	rowOverhead    = 24                           // bytes that Badger adds to a row
)

// sparedShare is the part of the limit that is dropped at one time beyond what is too much, so that it does not happen
// with every batch, and the part that a bucket may hold to be dropped whole.
const sparedShare = 16

// overheadTables is how many memory tables' worth of the limit is left to Badger: the logs of two or three of them,
// and tables that are being merged.
const overheadTables = 6

// usage says what the log takes. It belongs to the committer.
type usage struct {
	limit   int64    // bytes; above it the oldest buckets go
	total   int64    // of all buckets
	buckets []bucket // in the order of their names, which is that of their times
	dirty   []string // names of those whose rows are to be written
}

type bucket struct {
	name  string
	bytes int64
}

func loadUsage(db *badger.DB) (u usage, err error) {
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(usageRows)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			name := it.Item().KeyCopy(nil)[len(usageRows):]
			err := it.Item().Value(func(value []byte) error {
				if len(value) != 8 {
					return fmt.Errorf("%w: the size of a part of the request log", ErrCorrupt)
				}
				u.add(name, int64(binary.BigEndian.Uint64(value)))
				u.dirty = u.dirty[:0] // it has just been read
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return u, translate(err)
}

// add accounts for bytes of a row whose id begins so, which nearly always belong to the last bucket.
func (u *usage) add(id []byte, bytes int64) {
	u.total += bytes
	i := len(u.buckets) - 1
	if i < 0 || !strings.HasPrefix(string(id), u.buckets[i].name) {
		i = u.place(string(id))
	}
	b := &u.buckets[i]
	b.bytes += bytes
	if !slices.Contains(u.dirty, b.name) {
		u.dirty = append(u.dirty, b.name)
	}
}

func (u *usage) find(name string) (int, bool) {
	return slices.BinarySearchFunc(u.buckets, name, func(b bucket, name string) int { return strings.Compare(b.name, name) })
}

// place returns the index of the bucket of an id, and makes it if there is none: as large as its neighbours, which may
// be parts of one that was split, leave room for.
func (u *usage) place(id string) int {
	i, found := u.find(id)
	if found {
		return i
	}
	if i > 0 && strings.HasPrefix(id, u.buckets[i-1].name) {
		return i - 1
	}
	length := min(shortestBucket, len(id))
	taken := func(i int) bool {
		return i >= 0 && i < len(u.buckets) && strings.HasPrefix(u.buckets[i].name, id[:length])
	}
	for length < len(id) && (taken(i-1) || taken(i)) {
		length++
	}
	u.buckets = slices.Insert(u.buckets, i, bucket{name: id[:length]})
	return i
}

// split puts parts in the place of the first bucket.
func (u *usage) split(parts []bucket) {
	u.total -= u.buckets[0].bytes
	for _, part := range parts {
		u.total += part.bytes
	}
	u.buckets = slices.Replace(u.buckets, 0, 1, parts...)
}

// write writes the rows of the buckets that have changed.
func (u *usage) write(txn *badger.Txn) error {
	for _, name := range u.dirty {
		i, found := u.find(name)
		if !found {
			continue // it has been dropped
		}
		if err := u.buckets[i].write(txn); err != nil {
			return err
		}
	}
	u.dirty = u.dirty[:0]
	return nil
}

func (b *bucket) write(txn *badger.Txn) error {
	return txn.Set([]byte(usageRows+b.name), binary.BigEndian.AppendUint64(nil, uint64(b.bytes)))
}

// surplus takes the buckets out that must go: those before a name, and if there is more than the limit as many as
// leave a share below it. It ends before one that is to be split.
func (u *usage) surplus(before string) (names []string, split bool) {
	n, over, spared := 0, u.total > u.limit, u.limit/sparedShare
	for _, b := range u.buckets {
		if b.name >= before {
			if !over || u.total <= u.limit-spared {
				break
			}
			if split = b.bytes > spared && len(b.name) < longestBucket; split {
				break
			}
		}
		u.total -= b.bytes
		names = append(names, b.name)
		n++
	}
	u.buckets = slices.Delete(u.buckets, 0, n)
	return names, split
}

// surplus is that of the usage, with the buckets split that are to be.
func (l *requestLog) surplus(before string) []string {
	names, split := l.usage.surplus(before)
	for split {
		name := l.usage.buckets[0].name
		parts, err := l.split(name)
		if err != nil {
			l.log.Error("splitting a part of the request log failed: it goes whole", "part", name, "error", translate(err))
		}
		if len(parts) == 0 {
			names = append(names, name)
		}
		l.usage.split(parts)
		var more []string
		more, split = l.usage.surplus(before)
		names = append(names, more...)
	}
	return names
}

// split finds out what the parts of a bucket hold, and writes their rows in the place of the bucket's.
func (l *requestLog) split(name string) (parts []bucket, err error) {
	db, err := l.db.begin()
	if err != nil {
		return nil, err
	}
	defer l.db.end()
	txn := db.NewTransaction(true)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(requestRows + name)})
	for it.Rewind(); it.Valid(); it.Next() {
		id := it.Item().Key()[len(requestRows):]
		part := id[:min(len(id), len(name)+1)]
		if last := len(parts) - 1; last < 0 || parts[last].name != string(part) {
			parts = append(parts, bucket{name: string(part)})
		}
		parts[len(parts)-1].bytes += it.Item().KeySize() + it.Item().ValueSize() + rowOverhead
	}
	it.Close()
	if err := txn.Delete([]byte(usageRows + name)); err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := part.write(txn); err != nil {
			return nil, err
		}
	}
	if err := l.db.commit(txn); err != nil {
		return nil, err
	}
	return parts, nil
}

// expiredBefore returns the name before which buckets have expired, if the batch asks for that. A row is younger than
// its id by as long as its request took.
func (l *requestLog) expiredBefore(batch []row) string {
	if !slices.ContainsFunc(batch, func(r row) bool { return r.trim }) {
		return ""
	}
	id := record.NewID(nil, l.clock().Add(-l.retention-bucketSpan-time.Hour), record.Random{})
	return string(id[:shortestBucket])
}

// drop gives up buckets. It runs between two commits, which Badger would refuse meanwhile.
func (l *requestLog) drop(names []string) {
	if len(names) == 0 {
		return
	}
	var prefixes [][]byte
	for _, name := range names {
		prefixes = append(prefixes, []byte(requestRows+name))
	}
	db, err := l.db.begin()
	if err == nil {
		err = l.db.write(func() error { return db.DropPrefix(prefixes...) })
		if err == nil {
			err = l.forget(db, names)
		}
		l.db.end()
	}
	if err != nil {
		l.log.Error("dropping the oldest part of the request log failed", "parts", len(names), "error", translate(err))
	}
}

// forget removes the rows of buckets that were dropped.
func (l *requestLog) forget(db *badger.DB, names []string) error {
	txn := db.NewTransaction(true)
	defer func() { txn.Discard() }()
	for _, name := range names {
		err := txn.Delete([]byte(usageRows + name))
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err = l.db.commit(txn); err == nil {
				txn = db.NewTransaction(true)
				err = txn.Delete([]byte(usageRows + name))
			}
		}
		if err != nil {
			return err
		}
	}
	return l.db.commit(txn)
}
