package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

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
	e, err := s.readEntry(digest)
	switch {
	case errors.Is(err, ErrNotFound):
		e = new(entry)
	case err != nil:
		s.log.Error("looking up a key failed: the request is refused", "error", err)
		return nil, false
	}
	e.digest = *digest
	s.cache.put(e, epoch)
	return e.identity, e.identity != nil
}

// readEntry reads whom a digest belongs to.
func (s *State) readEntry(digest *abi.Digest) (e *entry, err error) {
	var buf [512]byte // most rows are shorter
	if kept, ok := s.cache.rows.find(buf[:0], digest[:]); ok {
		return parseEntry(kept, &s.zones)
	}
	epoch := s.cache.rows.present()
	row := make([]byte, 0, len(digestRows)+len(digest))
	row = append(append(row, digestRows...), digest[:]...)
	err = s.view(func(txn *badger.Txn) error {
		item, err := txn.Get(row)
		if err != nil {
			return err
		}
		return item.Value(func(value []byte) error {
			if isIdentity(value) {
				s.cache.rows.add(digest[:], value, epoch)
				e, err = parseEntry(value, &s.zones)
			} else {
				e, err = s.readByID(txn, string(value))
			}
			return err
		})
	})
	return e, err
}

// readByID reads the identity of a digest's row of version 1.
func (s *State) readByID(txn *badger.Txn, keyID string) (*entry, error) {
	row, err := readKey(txn, keyID)
	if err != nil {
		return nil, err
	}
	key, err := row.key(&s.zones)
	if err != nil {
		return nil, err
	}
	return &entry{identity: key.Identity()}, nil
}

// CreateKey stores a key under the digest of its secret. The name must be free: no key that is not revoked may have
// it; ErrExists otherwise. That its team exists is not asked. When it returns, the key is on the disk and works.
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
		if err := txn.Set([]byte(nameRows+key.Name), []byte(key.ID)); err != nil {
			return err
		}
		return writeKey(txn, &key, digest[:], nil)
	})
	s.cache.forget(digest) // that it belonged to nobody may be remembered
	if err != nil {
		return fmt.Errorf("storing key %q: %w", key.Name, err)
	}
	return nil
}

// Key returns the key with this id or name, or ErrNotFound. Of several keys that had a name, it is the last.
func (s *State) Key(ctx context.Context, idOrName string) (key identity.Key, err error) {
	if err := ctx.Err(); err != nil {
		return identity.Key{}, err
	}
	err = s.view(func(txn *badger.Txn) error {
		row, err := findKey(txn, idOrName)
		if err != nil {
			return err
		}
		key, err = row.key(&s.zones)
		return err
	})
	if err != nil {
		return identity.Key{}, fmt.Errorf("reading key %q: %w", idOrName, err)
	}
	return key, nil
}

// ChangeKey changes the key with this id or name by what change does to it, and returns it as it then is. When it
// returns, the change is on the disk and in force. Id, name and creation cannot be changed, and what is stored is
// checked as a new key is. A revoked key never changes again: it is returned as it is, with ErrRevoked.
func (s *State) ChangeKey(ctx context.Context, idOrName string, change func(*identity.Key) error) (identity.Key, error) {
	return s.changeKey(ctx, idOrName, nil, change)
}

// RotateKey is ChangeKey with a new secret, of which digest is. The secret that the key had works until the key's
// GraceEnds, which change sets; the one before that ends now. ErrExists if the digest belongs to a key already.
func (s *State) RotateKey(ctx context.Context, idOrName string, digest *abi.Digest, change func(*identity.Key) error) (identity.Key, error) {
	return s.changeKey(ctx, idOrName, digest, change)
}

func (s *State) changeKey(ctx context.Context, idOrName string, digest *abi.Digest, change func(*identity.Key) error) (key identity.Key, err error) {
	if err := ctx.Err(); err != nil {
		return identity.Key{}, err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	var row *keyRow
	err = s.update(func(txn *badger.Txn) error {
		if row, err = findKey(txn, idOrName); err != nil {
			return err
		}
		if key, err = row.key(&s.zones); err != nil {
			return err
		}
		if key.State == abi.KeyRevoked {
			return ErrRevoked
		}
		if err := changed(&key, change); err != nil {
			return err
		}
		if digest != nil {
			return rotate(txn, &key, row, digest)
		}
		return writeKey(txn, &key, row.Digest, row.Previous)
	})
	if row != nil {
		s.forget(row, digest) // even if it is not certain that it was written: reading tells
	}
	if err != nil {
		if !errors.Is(err, ErrRevoked) {
			key = identity.Key{}
		}
		return key, fmt.Errorf("changing key %q: %w", idOrName, err)
	}
	return key, nil
}

// changed lets change do its work and looks at what came of it.
func changed(key *identity.Key, change func(*identity.Key) error) error {
	id, name, created := key.ID, key.Name, key.Created
	if err := change(key); err != nil {
		return err
	}
	if key.ID != id || key.Name != name || !key.Created.Equal(created) {
		return fmt.Errorf("%w: id, name and creation of a key cannot be changed", identity.ErrWish)
	}
	if key.State < abi.KeyActive || key.State > abi.KeyRevoked {
		return fmt.Errorf("%w: there is no key state %d", identity.ErrWish, key.State)
	}
	return identity.CheckKey(key)
}

// rotate writes a key with a new secret. The row of the secret before the last one stays, as one that has ended.
func rotate(txn *badger.Txn, key *identity.Key, row *keyRow, digest *abi.Digest) error {
	if err := isFree(txn, digestRows+string(digest[:])); err != nil {
		return err
	}
	if row.Previous != nil {
		ended := *key
		ended.GraceEnds = time.Time{}
		if err := txn.Set([]byte(digestRows+string(row.Previous)), appendIdentity(nil, previousIdentity(&ended))); err != nil {
			return err
		}
	}
	return writeKey(txn, key, digest[:], row.Digest)
}

// forget makes the next lookup of a key's secrets read the database.
func (s *State) forget(row *keyRow, digest *abi.Digest) {
	s.cache.forget((*abi.Digest)(row.Digest))
	if row.Previous != nil {
		s.cache.forget((*abi.Digest)(row.Previous))
	}
	if digest != nil {
		s.cache.forget(digest)
	}
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

func (s *State) view(f func(*badger.Txn) error) error { return s.ledger.view(f) }

const maxChange = 64 << 10 // bytes of a change of a key or team, at most

// update commits and syncs: what operators do to keys is rare and must survive a power failure.
func (s *State) update(f func(*badger.Txn) error) (err error) {
	if err := s.admit(maxChange); err != nil {
		return err
	}
	db, err := s.ledger.begin()
	if err != nil {
		return err
	}
	defer s.ledger.end()
	defer s.ledger.caught(&err)
	txn := db.NewTransaction(true)
	defer txn.Discard()
	if err = f(txn); err == nil {
		err = s.ledger.commit(txn)
	}
	if err == nil {
		err = s.ledger.write(db.Sync)
	}
	return translate(err)
}
