package state

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// fullKey is a key with everything that a key can have.
func fullKey() identity.Key {
	return identity.Key{
		ID: "key_1", Name: "ci", Prefix: "sk-", Hint: "wxyz", Team: "research", Models: []string{"coding", "claude-*"},
		Expires: time.Date(2027, 1, 1, 0, 0, 0, 5, time.UTC), Created: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
		State: abi.KeyDisabled, DefaultModel: "coding", Labels: []abi.Label{{Name: "env", Value: "prod"}, {Name: "x"}},
		Limits:  abi.Limits{abi.RequestsPerMinute: 60, abi.MaxOutputTokens: 1 << 40},
		Budgets: []abi.Budget{{Amount: 5e9, Period: abi.PerMonth, Location: time.UTC}},
		Rotated: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), GraceEnds: time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC),
	}
}

func TestAllOfAKeyIsKept(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openState(t, dir, Options{})
	key, digest := fullKey(), digestOf(t, "secret")
	if err := s.CreateKey(ctx, key, &digest); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "after a restart"} {
		for _, by := range []string{"key_1", "ci"} {
			if got, err := s.Key(ctx, by); err != nil || !reflect.DeepEqual(got, key) {
				t.Errorf("%s, by %q: got\n%+v, %v, want\n%+v", when, by, got, err, key)
			}
		}
		if id, ok := s.Lookup(&digest); !ok || !reflect.DeepEqual(id, key.Identity()) {
			t.Errorf("%s: got\n%+v, %t, want\n%+v", when, id, ok, key.Identity())
		}
		closeState(t, s)
		s = openState(t, dir, Options{})
	}
	if _, err := s.Key(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestChangeKey(t *testing.T) {
	refused := errors.New("not today")
	tests := []struct {
		name   string
		change func(*identity.Key) error
		want   error
	}{
		{"everything that can be", func(k *identity.Key) error {
			full := fullKey()
			full.ID, full.Name, full.Created = k.ID, k.Name, k.Created
			*k = full
			return nil
		}, nil},
		{"nothing", func(*identity.Key) error { return nil }, nil},
		{"what the caller thinks better of", func(k *identity.Key) error { k.Team = "x"; return refused }, refused},
		{"the id", func(k *identity.Key) error { k.ID = "key_2"; return nil }, identity.ErrWish},
		{"the name", func(k *identity.Key) error { k.Name = "x"; return nil }, identity.ErrWish},
		{"the creation", func(k *identity.Key) error { k.Created = time.Now(); return nil }, identity.ErrWish},
		{"to a state that is none", func(k *identity.Key) error { k.State = 3; return nil }, identity.ErrWish},
		{"to what cannot be", func(k *identity.Key) error { k.Limits[0] = -1; return nil }, identity.ErrWish},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			s := openState(t, t.TempDir(), Options{})
			digest := storeKey(t, s, "ci")
			was, err := s.Key(ctx, "ci")
			if err != nil {
				t.Fatal(err)
			}
			s.Lookup(&digest) // so that it is cached
			want := was
			if tt.want == nil {
				_ = tt.change(&want)
			}
			got, err := s.ChangeKey(ctx, "ci", tt.change)
			if !errors.Is(err, tt.want) || err == nil && !reflect.DeepEqual(got, want) || err != nil && got.ID != "" {
				t.Errorf("got %+v, %v, want %v", got, err, tt.want)
			}
			if got, err := s.Key(ctx, "key_ci"); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("stored is\n%+v, %v, want\n%+v", got, err, want)
			}
			if id, _ := s.Lookup(&digest); !reflect.DeepEqual(id, want.Identity()) {
				t.Errorf("found is\n%+v, want\n%+v", id, want.Identity())
			}
		})
	}
	s := openState(t, t.TempDir(), Options{})
	if _, err := s.ChangeKey(context.Background(), "nobody", setState(abi.KeyDisabled)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestRevokedKeyNeverChanges(t *testing.T) {
	ctx := context.Background()
	s := openState(t, t.TempDir(), Options{})
	digest := storeKey(t, s, "ci")
	revoked, err := revoke(s, "ci")
	if err != nil {
		t.Fatal(err)
	}
	another := digestOf(t, "another")
	for _, err := range []error{
		second(s.ChangeKey(ctx, "ci", setState(abi.KeyActive))),
		second(s.RotateKey(ctx, "ci", &another, setState(abi.KeyActive))),
	} {
		if !errors.Is(err, ErrRevoked) {
			t.Errorf("got %v, want %v", err, ErrRevoked)
		}
	}
	if key, err := s.Key(ctx, "ci"); err != nil || !reflect.DeepEqual(key, revoked) {
		t.Errorf("it is %+v, %v", key, err)
	}
	if id, _ := s.Lookup(&digest); id.State != abi.KeyRevoked {
		t.Errorf("it is found as %+v", id)
	}
	if _, ok := s.Lookup(&another); ok {
		t.Error("the new secret works")
	}
}

func second[T any](_ T, err error) error { return err }

// rotateKey gives a key a new secret, with this grace.
func rotateKey(t *testing.T, s *State, secret string, now time.Time, grace time.Duration) abi.Digest {
	t.Helper()
	digest := digestOf(t, secret)
	_, err := s.RotateKey(context.Background(), "ci", &digest, func(k *identity.Key) error {
		k.Rotated, k.GraceEnds = now, time.Time{}
		if grace > 0 {
			k.GraceEnds = now.Add(grace)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestRotation(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openState(t, dir, Options{})
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	digests := []abi.Digest{storeKey(t, s, "ci")}
	expires := func(want ...time.Time) {
		t.Helper()
		for i, want := range want {
			if id, ok := s.Lookup(&digests[i]); !ok || id.KeyID != "key_ci" || !id.Expires.Equal(want) {
				t.Errorf("secret %d: %+v, %t, want it to expire at %v", i, id, ok, want)
			}
		}
	}
	expires(time.Time{})
	digests = append(digests, rotateKey(t, s, "two", now, time.Hour))
	expires(now.Add(time.Hour), time.Time{})
	digests = append(digests, rotateKey(t, s, "three", now.Add(time.Minute), time.Hour))
	expires(now.Add(time.Minute), now.Add(61*time.Minute), time.Time{})
	digests = append(digests, rotateKey(t, s, "four", now.Add(2*time.Minute), 0))
	all := []time.Time{now.Add(time.Minute), now.Add(2 * time.Minute), now.Add(2 * time.Minute), {}}
	expires(all...)

	closeState(t, s)
	s = openState(t, dir, Options{})
	expires(all...)
	if keys, err := s.Keys(ctx, identity.Query{}); err != nil || len(keys) != 1 || !keys[0].GraceEnds.IsZero() {
		t.Errorf("the keys are %+v, %v", keys, err)
	}
	for _, taken := range digests {
		if _, err := s.RotateKey(ctx, "ci", &taken, setState(abi.KeyActive)); !errors.Is(err, ErrExists) {
			t.Errorf("a secret is used a second time: %v", err)
		}
	}
}

// What happens to a key happens to the secret that it had before.
func TestChangesReachTheSecretInGrace(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	old := storeKey(t, s, "ci")
	rotateKey(t, s, "new", now, time.Hour)
	if id, _ := s.Lookup(&old); id.State != abi.KeyActive {
		t.Fatalf("the old secret is found as %+v", id)
	}
	change := func(f func(*identity.Key)) *abi.Identity {
		if _, err := s.ChangeKey(context.Background(), "ci", func(k *identity.Key) error { f(k); return nil }); err != nil {
			t.Fatal(err)
		}
		id, _ := s.Lookup(&old)
		return id
	}
	if id := change(func(k *identity.Key) { k.Expires = now.Add(time.Minute) }); !id.Expires.Equal(now.Add(time.Minute)) {
		t.Errorf("with an expiry before the end of the grace: %+v", id)
	}
	if id := change(func(k *identity.Key) { k.Expires = now.Add(24 * time.Hour) }); !id.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("with an expiry after it: %+v", id)
	}
	if id := change(func(k *identity.Key) { k.Limits[abi.Concurrent] = 3 }); id.Limits[abi.Concurrent] != 3 {
		t.Errorf("with a limit: %+v", id)
	}
	if id := change(func(k *identity.Key) { k.State = abi.KeyRevoked }); id.State != abi.KeyRevoked {
		t.Errorf("revoked: %+v", id)
	}
}

// Rows as the version before wrote them: no terms, and the key's id in the digest's row.
func TestRowsOfVersionOne(t *testing.T) {
	ctx := context.Background()
	s := openState(t, t.TempDir(), Options{})
	digest := digestOf(t, "ci")
	setRow(t, s, keyRows+"key_1", `{"version":1,"id":"key_1","name":"ci","prefix":"aigw_","hint":"wxyz","team":"research",`+
		`"models":["coding"],"created":"2026-11-21T08:00:00Z","state":"active","digest":"`+base64.StdEncoding.EncodeToString(digest[:])+`"}`)
	setRow(t, s, digestRows+string(digest[:]), "key_1")
	setRow(t, s, nameRows+"ci", "key_1")
	want := &abi.Identity{KeyID: "key_1", Name: "ci", Team: "research", Models: []string{"coding"}}
	if id, ok := s.Lookup(&digest); !ok || !reflect.DeepEqual(id, want) {
		t.Errorf("found %+v, %t", id, ok)
	}
	if keys, err := s.Keys(ctx, identity.Query{Team: "research"}); err != nil || len(keys) != 1 {
		t.Errorf("listed %+v, %v", keys, err)
	}
	if _, err := s.ChangeKey(ctx, "ci", setState(abi.KeyDisabled)); err != nil {
		t.Fatal(err)
	}
	want.State = abi.KeyDisabled
	if id, ok := s.Lookup(&digest); !ok || !reflect.DeepEqual(id, want) {
		t.Errorf("after a change: %+v, %t", id, ok)
	}
}

// setRow writes a row as damage or another version would have left it.
func setRow(t *testing.T, s *State, row, value string) {
	t.Helper()
	if err := s.update(func(txn *badger.Txn) error { return txn.Set([]byte(row), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func TestKeyRowsThatCannotBeRead(t *testing.T) {
	digest64 := `"digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	tests := []struct{ name, row string }{
		{"a later version", `{"version":3,"id":"key_ci","state":"active",` + digest64 + `}`},
		{"no version", `{"id":"key_ci","state":"active",` + digest64 + `}`},
		{"an unknown state", `{"version":2,"id":"key_ci","state":"sleeping",` + digest64 + `}`},
		{"no state", `{"version":1,"id":"key_ci",` + digest64 + `}`},
		{"a short digest", `{"version":1,"id":"key_ci","state":"active","digest":"AAAA"}`},
		{"a short digest before", `{"version":2,"id":"key_ci","state":"active","previous_digest":"AAAA",` + digest64 + `}`},
		{"an unknown limit", `{"version":2,"id":"key_ci","state":"active","limits":{"rpc":1},` + digest64 + `}`},
		{"a negative limit", `{"version":2,"id":"key_ci","state":"active","limits":{"rpm":-1},` + digest64 + `}`},
		{"an unknown period", `{"version":2,"id":"key_ci","state":"active","budgets":[{"nano_usd":1,"per":"age","timezone":"UTC"}],` + digest64 + `}`},
		{"an unknown time zone", `{"version":2,"id":"key_ci","state":"active","budgets":[{"nano_usd":1,"per":"day","timezone":"X"}],` + digest64 + `}`},
		{"no time zone", `{"version":2,"id":"key_ci","state":"active","budgets":[{"nano_usd":1,"per":"day"}],` + digest64 + `}`},
		{"a negative budget", `{"version":2,"id":"key_ci","state":"active","budgets":[{"nano_usd":-1,"per":"day","timezone":"UTC"}],` + digest64 + `}`},
		{"no JSON", `x`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, lines := logged()
			s := openState(t, t.TempDir(), Options{Log: log})
			digest := storeKey(t, s, "ci")
			setRow(t, s, keyRows+"key_ci", tt.row)
			setRow(t, s, digestRows+string(digest[:]), "key_ci") // of version 1, so that the key's row is needed
			if id, ok := s.Lookup(&digest); ok || id != nil {
				t.Errorf("found %+v", id)
			}
			if !strings.Contains(lines.String(), "level=ERROR") {
				t.Errorf("logged: %s", lines)
			}
			if _, remembered := s.cache.find(&digest); remembered {
				t.Error("the failure is remembered as an answer")
			}
			for what, err := range map[string]error{
				"listing":  second(s.Keys(context.Background(), identity.Query{})),
				"reading":  second(s.Key(context.Background(), "ci")),
				"revoking": second(revoke(s, "ci")),
			} {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s: %v, want %v", what, err, ErrCorrupt)
				}
			}
		})
	}
	s := openState(t, t.TempDir(), Options{})
	setRow(t, s, pepperRow, "short")
	if _, err := s.Pepper(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a short secret: %v, want %v", err, ErrCorrupt)
	}
}

func TestKeysArePaged(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	for i := range 30 {
		key, digest := keyNamed(t, fmt.Sprintf("%02d", i))
		key.Team = [...]string{"", "a", `b"c`}[i%3]
		if err := s.CreateKey(context.Background(), key, &digest); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		query identity.Query
		want  string // names
	}{
		{"the first", identity.Query{Limit: 3}, "00 01 02"},
		{"the next", identity.Query{Limit: 3, After: "key_02"}, "03 04 05"},
		{"the last", identity.Query{Limit: 3, After: "key_28"}, "29"},
		{"none after it", identity.Query{Limit: 3, After: "key_29"}, ""},
		{"after one that is none", identity.Query{Limit: 1, After: "key_02x"}, "03"},
		{"of a team", identity.Query{Limit: 3, Team: "a"}, "01 04 07"},
		{"the next of a team", identity.Query{Limit: 2, Team: "a", After: "key_07"}, "10 13"},
		{"of a team whose name is escaped", identity.Query{Limit: 2, Team: `b"c`}, "02 05"},
		{"of a team that is none", identity.Query{Team: "x"}, ""},
	}
	for _, tt := range tests {
		keys, err := s.Keys(context.Background(), tt.query)
		var names []string
		for _, k := range keys {
			names = append(names, k.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if keys, err := s.Keys(context.Background(), identity.Query{}); err != nil || len(keys) != 30 {
		t.Errorf("all: %d, %v", len(keys), err)
	}
}

// Lookups race with changes: once ChangeKey has returned, none may answer what was before.
func TestChangesBeatConcurrentLookups(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	digests := []abi.Digest{storeKey(t, s, "ci")}
	digests = append(digests, rotateKey(t, s, "new", time.Now(), time.Hour))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Lookup(&digests[i%2])
					s.cache.forget(&digests[i%2]) // so that the database is read all the time
				}
			}
		})
	}
	for round := range int64(200) {
		_, err := s.ChangeKey(context.Background(), "ci", func(k *identity.Key) error { k.Limits[0] = round; return nil })
		if err != nil {
			t.Error(err)
		}
		for i := range digests {
			if id, ok := s.Lookup(&digests[i]); !ok || id.Limits[0] != round {
				t.Errorf("after change %d: %+v, %t", round, id, ok)
			}
		}
	}
	close(stop)
	wg.Wait()
}
