package identity

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

var now = time.Date(2026, 11, 21, 8, 15, 0, 0, time.UTC)

func TestIssue(t *testing.T) {
	wish := Wish{
		Name: "ci", Team: "research", Models: []string{"coding", "claude-*"}, Prefix: "sk-", Expires: now.Add(time.Hour),
		DefaultModel: "coding", Labels: []abi.Label{{Name: "env", Value: "prod"}},
		Limits: abi.Limits{abi.RequestsPerMinute: 60}, Budgets: []abi.Budget{{Amount: 5e9, Period: abi.PerWeek}},
	}
	key, secret, err := Issue(wish, now, counting())
	if err != nil {
		t.Fatal(err)
	}
	if Shape([]byte(secret)) != abi.CredentialGenerated || !strings.HasPrefix(secret, "sk-") {
		t.Errorf("the secret %q is not a generated one with the prefix sk-", secret)
	}
	want := Key{
		ID: "key_1011121314151617", Name: "ci", Prefix: "sk-", Hint: secret[len(secret)-4:], Team: "research",
		Models: []string{"coding", "claude-*"}, Expires: now.Add(time.Hour), Created: now,
		DefaultModel: "coding", Labels: wish.Labels, Limits: wish.Limits, Budgets: wish.Budgets,
	}
	if !reflect.DeepEqual(key, want) {
		t.Errorf("got\n%+v\nwant\n%+v", key, want)
	}
	identity := &abi.Identity{
		KeyID: key.ID, Name: "ci", Team: "research", Models: key.Models, Expires: key.Expires,
		DefaultModel: "coding", Labels: wish.Labels, Limits: wish.Limits, Budgets: wish.Budgets,
	}
	if id := key.Identity(); !reflect.DeepEqual(id, identity) {
		t.Errorf("the key's identity is\n%+v\nwant\n%+v", id, identity)
	}
}

func TestStateAt(t *testing.T) {
	tests := []struct {
		name    string
		state   abi.KeyState
		expires time.Time
		want    string
	}{
		{"a key without an expiry", abi.KeyActive, time.Time{}, "active"},
		{"one before its expiry", abi.KeyActive, now.Add(1), "active"},
		{"one at its expiry", abi.KeyActive, now, "expired"},
		{"a disabled one that has expired", abi.KeyDisabled, now, "disabled"},
		{"a revoked one that has expired", abi.KeyRevoked, now, "revoked"},
	}
	for _, tt := range tests {
		k := Key{State: tt.state, Expires: tt.expires}
		if got := k.StateAt(now); got != tt.want {
			t.Errorf("%s is %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestReissue(t *testing.T) {
	key, old, err := Issue(Wish{Name: "ci", Team: "research", Prefix: "sk-"}, now, counting())
	if err != nil {
		t.Fatal(err)
	}
	later := now.Add(time.Hour)
	for grace, ends := range map[time.Duration]time.Time{0: {}, time.Hour: later.Add(time.Hour), MaxGrace: later.Add(MaxGrace)} {
		got, secret, err := Reissue(key, grace, later, bytes.NewReader(bytes.Repeat([]byte{9}, 16)))
		if err != nil || secret == old || Shape([]byte(secret)) != abi.CredentialGenerated {
			t.Fatalf("grace %v: %q, %v", grace, secret, err)
		}
		want := key
		want.Hint, want.Rotated, want.GraceEnds = secret[len(secret)-4:], later, ends
		if !reflect.DeepEqual(got, want) || !strings.HasPrefix(secret, "sk-") {
			t.Errorf("grace %v: got %q and\n%+v\nwant\n%+v", grace, secret, got, want)
		}
	}
}

func TestReissueRefuses(t *testing.T) {
	tests := []struct {
		name  string
		state abi.KeyState
		grace time.Duration
	}{
		{"a revoked key", abi.KeyRevoked, 0},
		{"a grace that is over", abi.KeyActive, -1},
		{"a grace without end", abi.KeyActive, MaxGrace + 1},
	}
	for _, tt := range tests {
		if _, secret, err := Reissue(Key{Name: "ci", Prefix: "sk-", State: tt.state}, tt.grace, now, counting()); !errors.Is(err, ErrWish) || secret != "" {
			t.Errorf("%s: %q, %v", tt.name, secret, err)
		}
	}
	if _, _, err := Reissue(Key{Name: "ci", Prefix: "sk-"}, 0, now, bytes.NewReader(nil)); err == nil {
		t.Error("a secret was made without randomness")
	}
}

func TestIssueRefuses(t *testing.T) {
	tests := []struct {
		name string
		wish Wish
		want error
	}{
		{"no name", Wish{}, ErrWish},
		{"a long name", Wish{Name: strings.Repeat("x", 129)}, ErrWish},
		{"a name with a line break", Wish{Name: "a\nb"}, ErrWish},
		{"a name that is not UTF-8", Wish{Name: "a\xff"}, ErrWish},
		{"a name with a blank before", Wish{Name: " a"}, ErrWish},
		{"a team that cannot be printed", Wish{Name: "a", Team: "\x00"}, ErrWish},
		{"an empty model", Wish{Name: "a", Models: []string{""}}, ErrWish},
		{"too many models", Wish{Name: "a", Models: make([]string, 65)}, ErrWish},
		{"an expiry in the past", Wish{Name: "a", Expires: now}, ErrWish},
		{"a prefix", Wish{Name: "a", Prefix: "x"}, ErrPrefix},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, secret, err := Issue(tt.wish, now, counting()); !errors.Is(err, tt.want) || secret != "" {
				t.Errorf("got %q, %v, want %v", secret, err, tt.want)
			}
		})
	}
}

func newHasher(t testing.TB) *Hasher {
	h, err := NewHasher(bytes.Repeat([]byte{7}, PepperSize))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDigestIsHMACSHA256(t *testing.T) {
	h := newHasher(t)
	for _, credential := range []string{"", "x", "aigw_000SYW7RiJxkEgOGusQGwp26KScI", strings.Repeat("long", 1000)} {
		mac := hmac.New(sha256.New, bytes.Repeat([]byte{7}, PepperSize))
		mac.Write([]byte(credential))
		if got := h.Digest([]byte(credential)); !bytes.Equal(got[:], mac.Sum(nil)) {
			t.Errorf("Digest(%.20q) = %x", credential, got)
		}
	}
}

func TestDigestInParallel(t *testing.T) {
	h := newHasher(t)
	want := h.Digest([]byte("one"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				h.Digest([]byte("another"))
				if h.Digest([]byte("one")) != want {
					t.Error("a digest changed")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNewHasherRefusesShortPepper(t *testing.T) {
	if _, err := NewHasher(nil); err == nil {
		t.Error("a hasher without a pepper was made")
	}
}

func TestNewHasherCopiesThePepper(t *testing.T) {
	pepper := bytes.Repeat([]byte{7}, PepperSize)
	h, err := NewHasher(pepper)
	if err != nil {
		t.Fatal(err)
	}
	clear(pepper)
	if h.Digest([]byte("x")) != newHasher(t).Digest([]byte("x")) {
		t.Error("changing the caller's pepper changed the digest")
	}
}

func BenchmarkDigest(b *testing.B) {
	h, credential := newHasher(b), []byte("aigw_000SYW7RiJxkEgOGusQGwp26KScI")
	b.ReportAllocs()
	for b.Loop() {
		h.Digest(credential)
	}
}

func BenchmarkDigestParallel(b *testing.B) {
	h, credential := newHasher(b), []byte("aigw_000SYW7RiJxkEgOGusQGwp26KScI")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Digest(credential)
		}
	})
}
