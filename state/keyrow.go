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
	digestRows = "digest/" // + digest: the id of the key
	nameRows   = "name/"   // + name: the id of the key that had the name last
	pepperRow  = "pepper"  // the secret of the digests
)

// keyRow is a key as it is stored, version 1.
type keyRow struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Prefix  string    `json:"prefix"`
	Hint    string    `json:"hint"`
	Team    string    `json:"team,omitempty"`
	Models  []string  `json:"models,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Created time.Time `json:"created"`
	State   string    `json:"state"`
	Digest  []byte    `json:"digest"`
}

const keyVersion = 1

func newKeyRow(k *identity.Key, digest *abi.Digest) *keyRow {
	return &keyRow{
		Version: keyVersion, ID: k.ID, Name: k.Name, Prefix: k.Prefix, Hint: k.Hint, Team: k.Team, Models: k.Models,
		Expires: k.Expires, Created: k.Created, State: k.State.String(), Digest: digest[:],
	}
}

// key returns the key of a row, or ErrCorrupt if the row is of no state that this version knows: a key is not taken
// for active on a guess.
func (r *keyRow) key() (identity.Key, error) {
	k := identity.Key{
		ID: r.ID, Name: r.Name, Prefix: r.Prefix, Hint: r.Hint, Team: r.Team, Models: r.Models,
		Expires: r.Expires, Created: r.Created,
	}
	for k.State = abi.KeyActive; k.State <= abi.KeyRevoked; k.State++ {
		if k.State.String() == r.State {
			return k, nil
		}
	}
	return identity.Key{}, fmt.Errorf("%w: key %q has the unknown state %q", ErrCorrupt, r.ID, r.State)
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

func itemKey(item *badger.Item) (key identity.Key, err error) {
	err = item.Value(func(value []byte) error {
		row, err := parseKey(value)
		if err != nil {
			return err
		}
		key, err = row.key()
		return err
	})
	return key, err
}

func parseKey(value []byte) (*keyRow, error) {
	row := new(keyRow)
	if err := json.Unmarshal(value, row); err != nil {
		return nil, fmt.Errorf("%w: a key: %w", ErrCorrupt, err)
	}
	if row.Version != keyVersion {
		return nil, fmt.Errorf("%w: key %q has version %d, this program knows %d", ErrCorrupt, row.ID, row.Version, keyVersion)
	}
	if len(row.Digest) != abi.DigestSize {
		return nil, fmt.Errorf("%w: key %q has a digest of %d bytes", ErrCorrupt, row.ID, len(row.Digest))
	}
	return row, nil
}

func writeKey(txn *badger.Txn, row *keyRow) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return txn.Set([]byte(keyRows+row.ID), value)
}
