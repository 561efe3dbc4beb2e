package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// Lookup finds whom a credential belongs to. What it returns is shared and immutable; a revoked, disabled or expired
// key is found too, and its identity says so. If the database cannot be read, nobody is found.
func (s *State) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	if id, found := s.cache.find(digest); found {
		return id, id != nil
	}
	epoch := s.cache.epoch.Load()
	id, err := s.readIdentity(digest)
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.log.Error("looking up a key failed: the request is refused", "error", err)
		return nil, false
	}
	s.cache.put(digest, id, epoch)
	return id, id != nil
}

func (s *State) readIdentity(digest *abi.Digest) (id *abi.Identity, err error) {
	err = s.view(func(txn *badger.Txn) error {
		keyID, err := read(txn, digestRows+string(digest[:]))
		if err != nil {
			return err
		}
		row, err := readKey(txn, string(keyID))
		if err != nil {
			return err
		}
		key, err := row.key()
		id = key.Identity()
		return err
	})
	return id, err
}

// CreateKey stores a key under the digest of its secret. The name must be free: no key that is not revoked may have
// it; ErrExists otherwise. When it returns, the key is on the disk and works.
func (s *State) CreateKey(ctx context.Context, key identity.Key, digest *abi.Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	err := s.update(func(txn *badger.Txn) error {
		if err := nameIsFree(txn, key.Name); err != nil {
			return err
		}
		if err := isFree(txn, keyRows+key.ID); err != nil {
			return err
		}
		if err := isFree(txn, digestRows+string(digest[:])); err != nil {
			return err
		}
		return errors.Join(
			writeKey(txn, newKeyRow(&key, digest)),
			txn.Set([]byte(digestRows+string(digest[:])), []byte(key.ID)),
			txn.Set([]byte(nameRows+key.Name), []byte(key.ID)))
	})
	s.cache.forget(digest) // that it belonged to nobody may be remembered
	if err != nil {
		return fmt.Errorf("storing key %q: %w", key.Name, err)
	}
	return nil
}

// Keys returns all keys, revoked ones too, oldest first.
func (s *State) Keys(ctx context.Context) ([]identity.Key, error) {
	var keys []identity.Key
	err := s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 100, Prefix: []byte(keyRows)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			key, err := itemKey(it.Item())
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	slices.SortFunc(keys, func(a, b identity.Key) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return keys, nil
}

// RevokeKey revokes the key with this id or name, for good, and returns it. When it returns, the revocation is on the
// disk and no Lookup answers otherwise. Revoking a revoked key changes nothing.
func (s *State) RevokeKey(ctx context.Context, idOrName string) (identity.Key, error) {
	if err := ctx.Err(); err != nil {
		return identity.Key{}, err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	var row *keyRow
	err := s.update(func(txn *badger.Txn) (err error) {
		if row, err = findKey(txn, idOrName); err != nil {
			return err
		}
		row.State = abi.KeyRevoked.String()
		return writeKey(txn, row)
	})
	if row != nil {
		s.cache.forget((*abi.Digest)(row.Digest)) // even if it is not certain that it was written: reading tells
	}
	if err != nil {
		return identity.Key{}, fmt.Errorf("revoking key %q: %w", idOrName, err)
	}
	return row.key()
}

// Pepper returns the secret that digests are made with. It is drawn at random the first time. It lies beside the
// digests because a backup of one is worth nothing without the other.
func (s *State) Pepper() ([]byte, error) {
	s.keys.Lock()
	defer s.keys.Unlock()
	var pepper []byte
	err := s.view(func(txn *badger.Txn) (err error) {
		pepper, err = read(txn, pepperRow)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		pepper = make([]byte, identity.PepperSize)
		rand.Read(pepper) // it never fails, but ends the process if there is no randomness
		err = s.update(func(txn *badger.Txn) error { return txn.Set([]byte(pepperRow), pepper) })
	case err == nil && len(pepper) != identity.PepperSize:
		err = fmt.Errorf("%w: it has %d bytes", ErrCorrupt, len(pepper))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secret of the key digests: %w", err)
	}
	return pepper, nil
}

func (s *State) view(f func(*badger.Txn) error) error { return translate(s.ledger.View(f)) }

// update commits and syncs: what operators do to keys is rare and must survive a power failure.
func (s *State) update(f func(*badger.Txn) error) error {
	if err := s.ledger.Update(f); err != nil {
		return translate(err)
	}
	return translate(s.ledger.Sync())
}
