package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// digestOf makes a digest as evenly spread as a real one.
func digestOf(t testing.TB, name string) abi.Digest {
	t.Helper()
	h, err := identity.NewHasher(make([]byte, identity.PepperSize))
	if err != nil {
		t.Fatal(err)
	}
	return h.Digest([]byte(name))
}

// keyNamed makes a key whose id and digest follow from its name.
func keyNamed(t testing.TB, name string) (identity.Key, abi.Digest) {
	return identity.Key{ID: "key_" + name, Name: name, Prefix: "aigw_", Hint: "wxyz", Created: time.Unix(1, 0).UTC()}, digestOf(t, name)
}

func storeKey(t testing.TB, s *State, name string) abi.Digest {
	t.Helper()
	key, digest := keyNamed(t, name)
	if err := s.CreateKey(context.Background(), key, &digest); err != nil {
		t.Fatal(err)
	}
	return digest
}

func setState(state abi.KeyState) func(*identity.Key) error {
	return func(k *identity.Key) error { k.State = state; return nil }
}

func revoke(s *State, idOrName string) (identity.Key, error) {
	return s.ChangeKey(context.Background(), idOrName, setState(abi.KeyRevoked))
}

func TestKeysOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	key := identity.Key{
		ID: "key_1", Name: "ci", Prefix: "sk-", Hint: "wxyz", Team: "research", Models: []string{"coding", "claude-*"},
		Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Created: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
	}
	digest := digestOf(t, "secret")
	if err := s.CreateKey(context.Background(), key, &digest); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "from the cache", "after a restart"} {
		if when == "after a restart" {
			closeState(t, s)
			s = openState(t, dir, Options{})
		}
		if id, ok := s.Lookup(&digest); !ok || !reflect.DeepEqual(id, key.Identity()) {
			t.Errorf("%s: got %+v, %t, want %+v", when, id, ok, key.Identity())
		}
	}
	keys, err := s.Keys(context.Background(), identity.Query{})
	if err != nil || !reflect.DeepEqual(keys, []identity.Key{key}) {
		t.Errorf("listed\n%+v, %v, want\n%+v", keys, err, key)
	}
}

func TestRevocationIsAtOnceAndForGood(t *testing.T) {
	for _, by := range []string{"key_ci", "ci"} {
		t.Run(by, func(t *testing.T) {
			dir := t.TempDir()
			s := openState(t, dir, Options{})
			digest := storeKey(t, s, "ci")
			if id, _ := s.Lookup(&digest); id == nil || id.State != abi.KeyActive {
				t.Fatalf("before: %+v", id)
			}
			revoked, err := revoke(s, by)
			if err != nil || revoked.ID != "key_ci" || revoked.State != abi.KeyRevoked {
				t.Fatalf("revoking: %+v, %v", revoked, err)
			}
			if id, ok := s.Lookup(&digest); !ok || id.State != abi.KeyRevoked {
				t.Errorf("after: %+v, %t, want a revoked identity", id, ok)
			}
			if again, err := revoke(s, by); !errors.Is(err, ErrRevoked) || !reflect.DeepEqual(again, revoked) {
				t.Errorf("revoking again: %+v, %v", again, err)
			}
			closeState(t, s)
			s = openState(t, dir, Options{})
			if id, ok := s.Lookup(&digest); !ok || id.State != abi.KeyRevoked {
				t.Errorf("after a restart: %+v, %t, want a revoked identity", id, ok)
			}
		})
	}
}

func TestCreateKeyRefusesWhatIsTaken(t *testing.T) {
	tests := []struct {
		name            string
		id, key, secret string
		revokeTheFirst  bool
		want            error
	}{
		{"the name", "key_2", "ci", "two", false, ErrExists},
		{"the id", "key_ci", "dev", "two", false, ErrExists},
		{"the secret", "key_2", "dev", "ci", false, ErrExists},
		{"the secret of a revoked key", "key_2", "dev", "ci", true, ErrExists},
		{"the id of a revoked key", "key_ci", "dev", "two", true, ErrExists},
		{"not the name of a revoked key", "key_2", "ci", "two", true, nil},
		{"nothing", "key_2", "dev", "two", false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			s := openState(t, t.TempDir(), Options{})
			first := storeKey(t, s, "ci")
			if tt.revokeTheFirst {
				if _, err := revoke(s, "ci"); err != nil {
					t.Fatal(err)
				}
			}
			was, _ := s.Lookup(&first)
			digest := digestOf(t, tt.secret)
			if err := s.CreateKey(ctx, identity.Key{ID: tt.id, Name: tt.key}, &digest); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if is, _ := s.Lookup(&first); !reflect.DeepEqual(is, was) {
				t.Errorf("the first key was %+v and is %+v", was, is)
			}
			if tt.want != nil {
				if keys, err := s.Keys(ctx, identity.Query{}); err != nil || len(keys) != 1 {
					t.Errorf("a refused key left something: %+v, %v", keys, err)
				}
			}
		})
	}
}

// A name belongs to the key that had it last: revoking by name must not hit the one before.
func TestRevokingByNameHitsTheKeyThatHasIt(t *testing.T) {
	ctx := context.Background()
	s := openState(t, t.TempDir(), Options{})
	storeKey(t, s, "ci")
	if _, err := revoke(s, "ci"); err != nil {
		t.Fatal(err)
	}
	digest := digestOf(t, "second")
	if err := s.CreateKey(ctx, identity.Key{ID: "key_2", Name: "ci"}, &digest); err != nil {
		t.Fatal(err)
	}
	if key, err := revoke(s, "ci"); err != nil || key.ID != "key_2" {
		t.Errorf("revoked %+v, %v, want key_2", key, err)
	}
}

func TestRevokeKeyThatIsNone(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	if _, err := revoke(s, "nobody"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("got %v, want %v", err, ErrNotFound)
	}
}

func TestLookupOfNobodyIsForgottenWhenTheKeyIsMade(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	_, digest := keyNamed(t, "ci")
	for range 2 {
		if id, ok := s.Lookup(&digest); ok || id != nil {
			t.Fatalf("found %+v", id)
		}
	}
	if _, remembered := s.cache.find(&digest); !remembered {
		t.Error("that it belongs to nobody is not remembered")
	}
	storeKey(t, s, "ci")
	if _, ok := s.Lookup(&digest); !ok {
		t.Error("the new key is not found")
	}
}

func TestKeyMethodsHeedTheContextAndTheEnd(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	digest := storeKey(t, s, "ci")
	calls := map[string]func(context.Context) error{
		"CreateKey": func(ctx context.Context) error {
			return s.CreateKey(ctx, identity.Key{ID: "x", Name: "x"}, &abi.Digest{})
		},
		"Keys": func(ctx context.Context) error { _, err := s.Keys(ctx, identity.Query{}); return err },
		"Key":  func(ctx context.Context) error { _, err := s.Key(ctx, "ci"); return err },
		"ChangeKey": func(ctx context.Context) error {
			_, err := s.ChangeKey(ctx, "ci", setState(abi.KeyDisabled))
			return err
		},
		"RotateKey": func(ctx context.Context) error {
			_, err := s.RotateKey(ctx, "ci", &abi.Digest{1}, setState(abi.KeyActive))
			return err
		},
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range calls {
		if err := call(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, canceled: %v", name, err)
		}
	}
	closeState(t, s)
	for name, call := range calls {
		if err := call(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s, closed: %v, want %v", name, err, ErrClosed)
		}
	}
	if _, ok := s.Lookup(&digest); ok {
		t.Error("a lookup after the end finds a key that no cache holds")
	}
}

func TestPepper(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	first, err := s.Pepper()
	if err != nil || len(first) != identity.PepperSize || bytes.Equal(first, make([]byte, len(first))) {
		t.Fatalf("got %x, %v", first, err)
	}
	closeState(t, s)
	s = openState(t, dir, Options{})
	if again, err := s.Pepper(); err != nil || !bytes.Equal(first, again) {
		t.Errorf("after a restart: %v, another secret", err)
	}
	if other, err := openState(t, t.TempDir(), Options{}).Pepper(); err != nil || bytes.Equal(first, other) {
		t.Errorf("another folder has the same secret, %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"key_1","state":"active","digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, value []byte) {
		row, err := parseKey(value)
		if err != nil {
			return
		}
		key, err := row.key(new(zones))
		if err != nil {
			return
		}
		if again, err := newKeyRow(&key, row.Digest, row.Previous).key(new(zones)); err != nil || !reflect.DeepEqual(again, key) {
			t.Fatalf("%+v came back as %+v, %v", key, again, err)
		}
	})
}

// Lookups race with revocations: once RevokeKey has returned, none may answer that the key is active.
func TestRevocationBeatsConcurrentLookups(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	for round := range 50 {
		digest := storeKey(t, s, fmt.Sprintf("key%d", round))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						s.Lookup(&digest)
						s.cache.forget(&digest) // so that the database is read all the time
					}
				}
			})
		}
		_, err := revoke(s, fmt.Sprintf("key%d", round))
		for range 100 {
			if id, ok := s.Lookup(&digest); !ok || id.State != abi.KeyRevoked {
				t.Errorf("after RevokeKey: %+v, %t", id, ok)
				break
			}
		}
		close(stop)
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkLookupCached(b *testing.B) {
	s := openState(b, b.TempDir(), Options{})
	digest := storeKey(b, s, "ci")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Lookup(&digest)
		}
	})
}

func BenchmarkLookupUncached(b *testing.B) {
	s := openState(b, b.TempDir(), Options{})
	digests := map[string]abi.Digest{"known": storeKey(b, s, "ci"), "unknown": digestOf(b, "nobody")}
	for name, digest := range digests {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.cache.forget(&digest)
				s.Lookup(&digest)
			}
		})
	}
}
