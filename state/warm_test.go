package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// warmed waits until the rows of accounts and digests are in memory.
func warmed(t testing.TB, s *State) {
	t.Helper()
	if err := errors.Join(s.fill(t.Context(), s.accounts, keptRows, nil), s.fill(t.Context(), s.cache.rows, digestRows, isIdentity)); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, s *State, rows map[string][]byte) {
	t.Helper()
	if err := s.Write(maps.All(rows)); err != nil {
		t.Fatal(err)
	}
}

func TestAccountsAreReadIntoMemory(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	rows := map[string][]byte{}
	for i := range 3*warmChunk + 1 {
		rows[fmt.Sprintf("account/key/%d", i)] = fmt.Append(nil, i)
	}
	write(t, s, rows)
	closeState(t, s)

	s = openState(t, dir, Options{})
	warmed(t, s)
	for i := range 3*warmChunk + 1 {
		if v, ok, _ := s.accounts.find(nil, fmt.Appendf(nil, "key/%d", i)); !ok || string(v) != fmt.Sprint(i) {
			t.Fatalf("row %d is %q, %t", i, v, ok)
		}
	}
	if _, _, absent := s.accounts.find(nil, []byte("key/nobody")); !absent {
		t.Error("a row that nobody wrote is looked for in the database")
	}
	write(t, s, map[string][]byte{"account/key/1": nil, "account/key/2": []byte("new"), "account/team/new": []byte("too")})
	for key, want := range map[string]string{"account/key/1": "", "account/key/2": "new", "account/team/new": "too", "account/key/3": "3"} {
		if v, ok, err := s.Read(key); err != nil || ok != (want != "") || string(v) != want {
			t.Errorf("%s is %q, %t, %v, want %q", key, v, ok, err, want)
		}
	}
}

// What could not be written is not what the memory says, and what was removed is not known to be absent.
func TestAccountsThatCouldNotBeWrittenAreReadAgain(t *testing.T) {
	var full atomic.Bool
	s := openState(t, t.TempDir(), Options{Free: func(string) (uint64, error) {
		if full.Load() {
			return 0, nil
		}
		return plenty("")
	}})
	write(t, s, map[string][]byte{"account/key/1": []byte("one")})
	warmed(t, s)
	full.Store(true)
	if err := s.Write(maps.All(map[string][]byte{"account/key/1": []byte("two")})); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("writing to a full disk: %v", err)
	}
	if v, ok, err := s.Read("account/key/1"); err != nil || !ok || string(v) != "one" {
		t.Errorf("the row is %q, %t, %v", v, ok, err)
	}
	if _, ok, absent := s.accounts.find(nil, []byte("key/1")); ok || absent {
		t.Errorf("a row that nobody is sure of is kept: %t, %t", ok, absent)
	}
	full.Store(false)
	s.space.check(true)
	warmed(t, s)
	if v, ok, _ := s.accounts.find(nil, []byte("key/1")); !ok || string(v) != "one" {
		t.Errorf("after reading again the row is %q, %t", v, ok)
	}
}

func TestLookupTakesRowsFromMemory(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	digest := storeKey(t, s, "ci")
	want, _ := s.Lookup(&digest)
	closeState(t, s)

	s = openState(t, dir, Options{})
	warmed(t, s)
	if _, ok, _ := s.cache.rows.find(nil, digest[:]); !ok {
		t.Fatal("the row was not read into memory")
	}
	if id, ok := s.Lookup(&digest); !ok || id.KeyID != want.KeyID || id.Name != want.Name {
		t.Errorf("found %v, want %v", id, want)
	}
	closeState(t, s)
	if _, ok := s.Lookup(&abi.Digest{}); ok {
		t.Error("a closed state finds somebody")
	}
}

// However often the rows are read into memory meanwhile, who looks up a key after it was changed sees the change.
func TestChangesCountWhileRowsAreReadIntoMemory(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	digest := storeKey(t, s, "ci")
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = s.fill(ctx, s.cache.rows, digestRows, isIdentity)
				s.Lookup(&digest)
			}
		})
	}
	for i := range 300 {
		_, err := s.ChangeKey(t.Context(), "ci", func(k *identity.Key) error {
			k.Limits[abi.RequestsPerMinute] = int64(i + 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if id, ok := s.Lookup(&digest); !ok || id.Limits[abi.RequestsPerMinute] != int64(i+1) {
				t.Fatalf("change %d: %v, %t", i, id.Limits, ok)
			}
		}
	}
	stop()
	all.Wait()
}
