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
	wish := Wish{Name: "ci", Team: "research", Models: []string{"coding", "claude-*"}, Prefix: "sk-", Expires: now.Add(time.Hour)}
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
	}
	if !reflect.DeepEqual(key, want) {
		t.Errorf("got\n%+v\nwant\n%+v", key, want)
	}
	if id := key.Identity(); id.KeyID != key.ID || id.Name != "ci" || id.Team != "research" || id.State != abi.KeyActive ||
		!id.Expires.Equal(key.Expires) || len(id.Models) != 2 {
		t.Errorf("the key's identity is %+v", id)
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

// storedKeys is Stored from a map.
type storedKeys map[abi.Digest]*abi.Identity

func (s storedKeys) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	id, ok := s[*digest]
	return id, ok
}

func TestDirectory(t *testing.T) {
	h := newHasher(t)
	stored := storedKeys{
		h.Digest([]byte("stored secret")): {KeyID: "key_1", Name: "ci"},
		h.Digest([]byte("ci's secret")):   {KeyID: "key_2", Name: "shadowed"},
	}
	d, err := NewDirectory(h, []FileKey{
		{Name: "ci", Secret: "ci's secret", Team: "research", Models: []string{"coding"}, Expires: now},
		{Name: "dev", Secret: "dev's secret"},
	}, stored)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		credential string
		want       *abi.Identity
	}{
		{"ci's secret", &abi.Identity{KeyID: "file:ci", Name: "ci", Team: "research", Models: []string{"coding"}, Expires: now}},
		{"dev's secret", &abi.Identity{KeyID: "file:dev", Name: "dev"}},
		{"stored secret", &abi.Identity{KeyID: "key_1", Name: "ci"}},
		{"unknown", nil},
		{"", nil},
	}
	for _, tt := range tests {
		digest := d.Digest([]byte(tt.credential))
		got, ok := d.Lookup(&digest)
		if ok != (tt.want != nil) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, %t, want %+v", tt.credential, got, ok, tt.want)
		}
	}
}

func TestDirectoryRefusesKeysInConflict(t *testing.T) {
	tests := []struct {
		name string
		keys []FileKey
	}{
		{"one secret", []FileKey{{Name: "a", Secret: "hush"}, {Name: "b", Secret: "hush"}}},
		{"one name", []FileKey{{Name: "a", Secret: "hush"}, {Name: "a", Secret: "hush hush"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDirectory(newHasher(t), tt.keys, storedKeys{})
			if !errors.Is(err, ErrKeys) {
				t.Fatalf("got %v, want %v", err, ErrKeys)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error %q tells a secret", err)
			}
		})
	}
}
