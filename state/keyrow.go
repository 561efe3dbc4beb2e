package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// Rows of the ledger that have to do with keys. A key's row is never deleted: a revoked key is one whose row says so,
// because a delete could be undone by damage or by a restored backup, and a status has an author and a time.
const (
	keyRows    = "key/"    // + id: keyRow as JSON
	digestRows = "digest/" // + digest: what a lookup needs of the key, see digestrow.go
	nameRows   = "name/"   // + name: the id of the key that had the name last
	pepperRow  = "pepper"  // the secret of the digests
)

// keyRow is a key as it is stored, version 2. Version 1 had no terms but models, and one secret.
type keyRow struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Prefix  string    `json:"prefix"`
	Hint    string    `json:"hint"`
	Team    string    `json:"team,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Created time.Time `json:"created"`
	State   string    `json:"state"`
	terms
	DefaultModel string    `json:"default_model,omitempty"`
	Rotated      time.Time `json:"rotated,omitzero"`
	GraceEnds    time.Time `json:"grace_ends,omitzero"`
	Digest       []byte    `json:"digest"`
	Previous     []byte    `json:"previous_digest,omitempty"` // of the secret before the present one
}

const keyVersion = 2

func newKeyRow(k *identity.Key, digest, previous []byte) *keyRow {
	return &keyRow{
		Version: keyVersion, ID: k.ID, Name: k.Name, Prefix: k.Prefix, Hint: k.Hint, Team: k.Team, Expires: k.Expires,
		Created: k.Created, State: k.State.String(), terms: newTerms(k.Models, k.Labels, &k.Limits, k.Budgets),
		DefaultModel: k.DefaultModel, Rotated: k.Rotated, GraceEnds: k.GraceEnds, Digest: digest, Previous: previous,
	}
}

// key returns the key of a row, or ErrCorrupt if the row has a state or a limit that this version does not know: a key
// is not taken for active, or for unlimited, on a guess.
func (r *keyRow) key(z *zones) (k identity.Key, err error) {
	k = identity.Key{
		ID: r.ID, Name: r.Name, Prefix: r.Prefix, Hint: r.Hint, Team: r.Team, Models: r.Models,
		Expires: r.Expires, Created: r.Created, DefaultModel: r.DefaultModel, Labels: r.labels(),
		Rotated: r.Rotated, GraceEnds: r.GraceEnds,
	}
	var known bool
	if k.State, known = parseState(r.State); !known {
		return identity.Key{}, fmt.Errorf("%w: key %q has the unknown state %q", ErrCorrupt, r.ID, r.State)
	}
	if k.Limits, err = r.limits(); err == nil {
		k.Budgets, err = r.budgets(z)
	}
	if err != nil {
		return identity.Key{}, fmt.Errorf("key %q: %w", r.ID, err)
	}
	return k, nil
}

// previousIdentity returns who a request with the secret before the present one belongs to: the same, until the grace
// ends.
func previousIdentity(k *identity.Key) *abi.Identity {
	id, end := k.Identity(), k.GraceEnds
	if end.IsZero() {
		end = k.Rotated
	}
	if id.Expires.IsZero() || id.Expires.After(end) {
		id.Expires = end
	}
	return id
}

// writeKey writes a key's row and the copies in its digests' rows.
func writeKey(txn *badger.Txn, k *identity.Key, digest, previous []byte) error {
	value, err := json.Marshal(newKeyRow(k, digest, previous))
	if err != nil {
		return err
	}
	if err := txn.Set([]byte(keyRows+k.ID), value); err != nil {
		return err
	}
	if previous != nil {
		if err := txn.Set([]byte(digestRows+string(previous)), appendIdentity(nil, previousIdentity(k))); err != nil {
			return err
		}
	}
	return txn.Set([]byte(digestRows+string(digest)), appendIdentity(nil, k.Identity()))
}

// read returns a copy of a row's value.
func read(txn *badger.Txn, row string) ([]byte, error) {
	item, err := txn.Get([]byte(row))
	if err != nil {
		return nil, translate(err)
	}
	return item.ValueCopy(nil)
}

func isFree(txn *badger.Txn, row string) error {
	switch _, err := read(txn, row); {
	case err == nil:
		return ErrExists
	case errors.Is(err, ErrNotFound):
		return nil
	default:
		return err
	}
}

// nameIsFree looks at the key that had the name last: a revoked one does not keep it.
func nameIsFree(txn *badger.Txn, name string) error {
	id, err := read(txn, nameRows+name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	row, err := readKey(txn, string(id))
	if err != nil {
		return err
	}
	if row.State != abi.KeyRevoked.String() {
		return ErrExists
	}
	return nil
}

func findKey(txn *badger.Txn, idOrName string) (*keyRow, error) {
	row, err := readKey(txn, idOrName)
	if !errors.Is(err, ErrNotFound) {
		return row, err
	}
	id, err := read(txn, nameRows+idOrName)
	if err != nil {
		return nil, err
	}
	return readKey(txn, string(id))
}

func readKey(txn *badger.Txn, id string) (*keyRow, error) {
	value, err := read(txn, keyRows+id)
	if err != nil {
		return nil, err
	}
	return parseKey(value)
}

func parseKey(value []byte) (*keyRow, error) {
	row := new(keyRow)
	if err := json.Unmarshal(value, row); err != nil {
		return nil, fmt.Errorf("%w: a key: %w", ErrCorrupt, err)
	}
	if row.Version < 1 || row.Version > keyVersion {
		return nil, fmt.Errorf("%w: key %q has version %d, this program knows %d", ErrCorrupt, row.ID, row.Version, keyVersion)
	}
	if len(row.Digest) != abi.DigestSize || row.Previous != nil && len(row.Previous) != abi.DigestSize {
		return nil, fmt.Errorf("%w: key %q has a digest of the wrong size", ErrCorrupt, row.ID)
	}
	return row, nil
}
