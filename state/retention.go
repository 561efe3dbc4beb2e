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
// merged yet, and deleting row by row would at first make it larger. A bucket is the rows whose ids share the prefix
//
//	r/req_ and the first seven digits of the time: 32.8 seconds
//
// The oldest buckets are dropped whole, by prefix: Badger gives up the tables that hold nothing else without reading
// them. A row for each bucket, usageRows and the ids' prefix, holds its bytes as 8 bytes, big-endian.
const (
	usageRows    = "s/"
	bucketLength = len(requestRows) + len("req_") + 7
	bucketSpan   = (1 << 15) * time.Millisecond // three digits of five bits
	rowOverhead  = 24                           // bytes that Badger adds to a row
)

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

// add accounts for bytes of a bucket, which is nearly always the last.
func (u *usage) add(name []byte, bytes int64) {
	u.total += bytes
	i := len(u.buckets) - 1
	if i < 0 || u.buckets[i].name != string(name) {
		var found bool
		if i, found = u.find(string(name)); !found {
			u.buckets = slices.Insert(u.buckets, i, bucket{name: string(name)})
		}
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

// write writes the rows of the buckets that have changed.
func (u *usage) write(txn *badger.Txn) error {
	for _, name := range u.dirty {
		i, found := u.find(name)
		if !found {
			continue // it has been dropped
		}
		value := binary.BigEndian.AppendUint64(nil, uint64(u.buckets[i].bytes))
		if err := txn.Set([]byte(usageRows+name), value); err != nil {
			return err
		}
	}
	u.dirty = u.dirty[:0]
	return nil
}

// surplus takes the buckets out that must go: those before a name, and if there is more than the limit as many as
// leave a sixteenth below it, so that it does not happen with every batch.
func (u *usage) surplus(before string) (names []string) {
	n, over := 0, u.total > u.limit
	for _, b := range u.buckets {
		if b.name >= before && (!over || u.total <= u.limit-u.limit/16) {
			break
		}
		u.total -= b.bytes
		names = append(names, b.name)
		n++
	}
	u.buckets = slices.Delete(u.buckets, 0, n)
	return names
}

// expiredBefore returns the name before which buckets have expired, if the batch asks for that. A row is younger than
// its id by as long as its request took.
func (l *requestLog) expiredBefore(batch []row) string {
	if !slices.ContainsFunc(batch, func(r row) bool { return r.trim }) {
		return ""
	}
	id := record.NewID(nil, l.clock().Add(-l.retention-bucketSpan-time.Hour), record.Random{})
	return string(id[:bucketLength-len(requestRows)])
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
	err := l.db.DropPrefix(prefixes...)
	if err == nil {
		err = l.db.Update(func(txn *badger.Txn) (err error) {
			for _, name := range names {
				err = errors.Join(err, txn.Delete([]byte(usageRows+name)))
			}
			return err
		})
	}
	if err != nil {
		l.log.Error("dropping the oldest part of the request log failed", "parts", len(names), "error", translate(err))
	}
}
