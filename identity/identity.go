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
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
)

// Errors of this package. They are wrapped with what was wrong.
var (
	ErrPrefix = errors.New("invalid key prefix")
	ErrWish   = errors.New("impossible key")
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
}

// Identity returns who a request with this key belongs to.
func (k *Key) Identity() *abi.Identity {
	return &abi.Identity{
		KeyID: k.ID, Name: k.Name, Team: k.Team, State: k.State, Expires: k.Expires, Models: k.Models,
	}
}

// Wish is what someone who wants a key may choose.
type Wish struct {
	Name    string
	Team    string
	Models  []string
	Prefix  string    // empty: DefaultPrefix
	Expires time.Time // zero: never
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
	return Key{
		ID:      "key_" + hex.EncodeToString(id[:]),
		Name:    wish.Name,
		Prefix:  secret[:len(secret)-secretLength],
		Hint:    secret[len(secret)-hintLength:],
		Team:    wish.Team,
		Models:  wish.Models,
		Expires: wish.Expires,
		Created: now,
	}, secret, nil
}

// Limits of what a wish may hold. They bound a stored row, and names stand in metrics labels.
const (
	maxName   = 128 // bytes of a name
	maxModels = 64
)

func checkWish(wish *Wish, now time.Time) error {
	if err := CheckName("name", wish.Name); err != nil {
		return err
	}
	if wish.Team != "" {
		if err := CheckName("team", wish.Team); err != nil {
			return err
		}
	}
	if len(wish.Models) > maxModels {
		return fmt.Errorf("%w: %d models, at most %d are possible", ErrWish, len(wish.Models), maxModels)
	}
	for i, model := range wish.Models {
		if err := CheckName(fmt.Sprintf("models[%d]", i), model); err != nil {
			return err
		}
	}
	if !wish.Expires.IsZero() && !wish.Expires.After(now) {
		return fmt.Errorf("%w: expires lies in the past", ErrWish)
	}
	return nil
}

// CheckName says what is wrong with a name that people give: it must be 1 to 128 bytes of printable text without
// white space at its ends. field names what is checked, for the error.
func CheckName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: %s is missing", ErrWish, field)
	case len(name) > maxName:
		return fmt.Errorf("%w: %s has %d bytes, at most %d are possible", ErrWish, field, len(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: %s holds characters that cannot be printed", ErrWish, field)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%w: %s begins or ends with white space", ErrWish, field)
	}
	return nil
}
