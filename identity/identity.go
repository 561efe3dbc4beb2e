// Package identity is about credentials and whom they belong to: it makes keys, tells from a credential's characters
// whether it is one of them, digests credentials, and finds identities by digest.
//
// It imports abi and the standard library only, and knows no storage: Directory is told where stored keys are looked
// up. The gateway, the admin API and the command line may import it.
package identity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Errors of this package. They are wrapped with what was wrong.
var (
	ErrPrefix = errors.New("invalid key prefix")
	ErrWish   = errors.New("impossible wish")
	ErrKeys   = errors.New("keys in conflict")
)

// Key is what is kept of a generated key. It does not hold the secret.
type Key struct {
	ID      string // "key_" and 16 hexadecimal digits
	Name    string // for people, records and metrics; unique among the keys that are not revoked
	Prefix  string // the characters before the random part: "aigw_"
	Hint    string // the last four characters of the secret, so that people can tell keys apart
	Team    string
	Models  []string // aliases and chains it may use: exact names and "prefix*"; empty: all
	Expires time.Time
	Created time.Time
	State   abi.KeyState

	DefaultModel string // for requests that name none; "" for none
	Labels       []abi.Label
	Limits       abi.Limits
	Budgets      []abi.Budget

	Rotated   time.Time // when the present secret was made; zero: with the key
	GraceEnds time.Time // until when the secret before the present one works; zero: there is none that does
}

// Identity returns who a request with this key belongs to.
func (k *Key) Identity() *abi.Identity {
	return &abi.Identity{
		KeyID: k.ID, Name: k.Name, Team: k.Team, State: k.State, Expires: k.Expires, Models: k.Models,
		DefaultModel: k.DefaultModel, Labels: k.Labels, Limits: k.Limits, Budgets: k.Budgets,
	}
}

// StateAt returns what people are told of a key: "active", "disabled", "expired" or "revoked". Of several reasons why
// it does not work, it is the one that is hardest to undo.
func (k *Key) StateAt(now time.Time) string {
	if k.State == abi.KeyActive && !k.Expires.IsZero() && !k.Expires.After(now) {
		return "expired"
	}
	return k.State.String()
}

// Wish is what someone who wants a key may choose.
type Wish struct {
	Name    string
	Team    string
	Models  []string
	Prefix  string    // empty: DefaultPrefix
	Expires time.Time // zero: never

	DefaultModel string // empty: none
	Labels       []abi.Label
	Limits       abi.Limits // 0 is none
	Budgets      []abi.Budget
}

// Query asks for a page of a listing: keys in the order of their ids, teams in that of their names.
type Query struct {
	Team  string // keys of this team, or teams right below it; empty: all
	After string // the id or name of the last one seen; empty: from the start
	Limit int    // how many; 0: all
}

// hintLength is how many characters of a secret stay readable. They belong to the checksum, which follows from the
// rest: four of them narrow 128 random bits down by less than 24.
const hintLength = 4

// Issue makes the key that was wished for, and its secret, which nobody can learn a second time. It stores nothing.
func Issue(wish Wish, now time.Time, random io.Reader) (key Key, secret string, err error) {
	if err := checkWish(&wish, now); err != nil {
		return Key{}, "", err
	}
	if secret, err = Generate(wish.Prefix, random); err != nil {
		return Key{}, "", err
	}
	var id [8]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return Key{}, "", fmt.Errorf("reading random bytes: %w", err)
	}
	key = Key{
		ID: "key_" + hex.EncodeToString(id[:]), Name: wish.Name, Team: wish.Team, Models: wish.Models,
		Expires: wish.Expires, Created: now, DefaultModel: wish.DefaultModel, Labels: wish.Labels,
		Limits: wish.Limits, Budgets: wish.Budgets,
	}
	key.setSecret(secret)
	return key, secret, nil
}

// setSecret notes what may be told of a secret.
func (k *Key) setSecret(secret string) {
	k.Prefix, k.Hint = secret[:len(secret)-secretLength], secret[len(secret)-hintLength:]
}

// MaxGrace bounds how long a secret may outlive its successor: one that leaked is not left in force by a typing error.
const MaxGrace = 30 * 24 * time.Hour

// Reissue gives a key a new secret; all else about it stays. For the time of grace the present secret goes on working,
// so that it can be replaced wherever it is in use; the one before it ends now. A revoked key gets none.
func Reissue(key Key, grace time.Duration, now time.Time, random io.Reader) (Key, string, error) {
	if key.State == abi.KeyRevoked {
		return Key{}, "", fmt.Errorf("%w: key %q is revoked", ErrWish, key.Name)
	}
	if grace < 0 || grace > MaxGrace {
		return Key{}, "", fmt.Errorf("%w: a grace of %v, 0 to %v are possible", ErrWish, grace, MaxGrace)
	}
	secret, err := Generate(key.Prefix, random)
	if err != nil {
		return Key{}, "", err
	}
	key.setSecret(secret)
	key.Rotated, key.GraceEnds = now, time.Time{}
	if grace > 0 {
		key.GraceEnds = now.Add(grace)
	}
	return key, secret, nil
}
