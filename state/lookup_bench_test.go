package state

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// benchmarkKey is a key with what many have: a team, two models, a label, two limits and a budget.
func benchmarkKey(n int) (identity.Key, abi.Digest) {
	var d abi.Digest
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = r.Read(d[:]) // it never fails
	return identity.Key{
		ID: fmt.Sprintf("key_%016x", binary.BigEndian.Uint64(d[8:])), Name: fmt.Sprintf("service-%d", n), Prefix: "aigw_", Hint: "wxyz",
		Team: fmt.Sprintf("team-%d", n%1000), Models: []string{"coding", "claude-*"}, Created: time.Unix(1_800_000_000, 0).UTC(),
		Labels:  []abi.Label{{Name: "env", Value: "prod"}},
		Limits:  abi.Limits{abi.RequestsPerMinute: 60, abi.TokensPerDay: 1_000_000},
		Budgets: []abi.Budget{{Amount: 5e9, Period: abi.PerDay, Location: time.UTC}},
	}, d
}

// storeKeys makes a ledger with n keys, by a bulk load of sorted rows.
func storeKeys(b *testing.B, dir string, n int) {
	b.Helper()
	start := time.Now()
	s := openState(b, dir, Options{})
	type row struct{ key, value []byte }
	rows := make([]row, 0, 3*n)
	for i := range n {
		key, digest := benchmarkKey(i)
		value, err := json.Marshal(newKeyRow(&key, digest[:], nil))
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows,
			row{[]byte(keyRows + key.ID), value},
			row{[]byte(digestRows + string(digest[:])), appendIdentity(nil, key.Identity())},
			row{[]byte(nameRows + key.Name), []byte(key.ID)})
	}
	slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.key, b.key) })
	batch := s.ledger.handle.NewWriteBatch()
	for _, r := range rows {
		if err := batch.Set(r.key, r.value); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Flush(); err != nil {
		b.Fatal(err)
	}
	closeState(b, s)
	b.Logf("%d keys in %v, %d MiB", n, time.Since(start).Round(time.Millisecond), onDisk(b, dir)>>20)
}

func BenchmarkLookup(b *testing.B) {
	b.Run("Hot", func(b *testing.B) {
		s := openState(b, b.TempDir(), Options{})
		digest := storeKey(b, s, "ci")
		b.ReportAllocs()
		for b.Loop() {
			s.Lookup(&digest)
		}
	})
	for _, n := range []int{10, 1_000_000} {
		if n > 10 && testing.Short() {
			continue // they take a while to make
		}
		s := storedKeys(b, n)
		b.Run(fmt.Sprint("Cold", n), func(b *testing.B) { benchmarkCold(b, s, n) })
		b.Run(fmt.Sprint("Kept", n), func(b *testing.B) { benchmarkKept(b, s, n) })
		b.Run(fmt.Sprint("Nobody", n), func(b *testing.B) {
			var digest abi.Digest
			for b.Loop() {
				binary.LittleEndian.PutUint64(digest[:], rand.Uint64())
				s.Lookup(&digest)
			}
		})
	}
}

func storedKeys(b *testing.B, n int) *State {
	dir := b.TempDir()
	storeKeys(b, dir, n)
	return openState(b, dir, Options{})
}

// benchmarkCold looks up keys that no cache of ours holds; the operating system has the files in memory.
func benchmarkCold(b *testing.B, s *State, n int) {
	digests := make([]abi.Digest, min(n, 200_000))
	for i := range digests {
		_, digests[i] = benchmarkKey(rand.IntN(n))
		if _, err := s.readEntry(&digests[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		digest := &digests[i%len(digests)]
		s.cache.forget(digest)
		if _, ok := s.Lookup(digest); !ok {
			b.Fatal("not found")
		}
		i++
	}
}

// benchmarkKept looks up keys whose rows are in memory, and their identities are not.
func benchmarkKept(b *testing.B, s *State, n int) {
	warmed(b, s)
	digests := make([]abi.Digest, min(n, 200_000))
	for i := range digests {
		_, digests[i] = benchmarkKey(rand.IntN(n))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		digest := &digests[i%len(digests)]
		s.cache.known.forget(digest)
		if _, ok := s.Lookup(digest); !ok {
			b.Fatal("not found")
		}
		i++
	}
}

// BenchmarkWarm is what reading the rows of a million keys into memory costs.
func BenchmarkWarm(b *testing.B) {
	s := storedKeys(b, 1_000_000)
	for b.Loop() {
		s.cache.rows.close()
		var err error
		if s.cache.rows, err = newRowMemory(identityMemory); err != nil {
			b.Fatal(err)
		}
		warmed(b, s)
	}
}

// What the cache holds when it is full, and a million keys were asked for.
func BenchmarkCacheMemory(b *testing.B) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range b.N {
		before := heap()
		c := newCache(knownSets, unknownSets)
		for i := range 1_000_000 {
			key, digest := benchmarkKey(i)
			id, err := parsedIdentity(appendIdentity(nil, key.Identity()), new(zones))
			if err != nil {
				b.Fatal(err)
			}
			c.put(&entry{digest, id}, 0)
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		b.ReportMetric(float64(remembered(&c.known)), "keys")
		runtime.KeepAlive(c)
	}
}
