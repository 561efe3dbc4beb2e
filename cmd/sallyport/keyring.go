package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/sallyport-dev/sallyport/state"
)

// keyring is the keys of a gateway: those that were made, in the data folder, beside those of the file, which are
// read-only here.
type keyring struct {
	state    *state.State
	hasher   *identity.Hasher
	declared func() []config.Key
}

func newKeyring(s *state.State, declared func() []config.Key) (*keyring, error) {
	pepper, err := s.Pepper()
	if err != nil {
		return nil, fmt.Errorf("reading the digests' secret: %w", err)
	}
	hasher, err := identity.NewHasher(pepper)
	if err != nil {
		return nil, err
	}
	return &keyring{s, hasher, declared}, nil
}

// directory finds identities among these keys of a file and the stored ones.
func (k *keyring) directory(declared []config.Key) (*identity.Directory, error) {
	keys := make([]identity.FileKey, 0, len(declared))
	for _, key := range declared {
		keys = append(keys, identity.FileKey(key))
	}
	return identity.NewDirectory(k.hasher, keys, k.state)
}

// Issue implements admin.Keys.
func (k *keyring) Issue(ctx context.Context, wish identity.Wish) (identity.Key, string, error) {
	if slices.ContainsFunc(k.declared(), func(d config.Key) bool { return d.Name == wish.Name }) {
		return identity.Key{}, "", fmt.Errorf("%w: the configuration file declares a key %q", identity.ErrKeys, wish.Name)
	}
	key, secret, err := identity.Issue(wish, time.Now(), rand.Reader)
	if err != nil {
		return identity.Key{}, "", err
	}
	digest := k.hasher.Digest([]byte(secret))
	if err := k.state.CreateKey(ctx, key, &digest); err != nil {
		if errors.Is(err, state.ErrExists) {
			err = fmt.Errorf("%w: there is a key %q already", identity.ErrKeys, wish.Name)
		}
		return identity.Key{}, "", err
	}
	return key, secret, nil
}

// Keys implements admin.Keys.
func (k *keyring) Keys(ctx context.Context) ([]identity.Key, error) {
	var all []identity.Key
	for _, d := range k.declared() {
		all = append(all, identity.Key{ID: identity.FileKeyID(d.Name), Name: d.Name, Team: d.Team, Models: d.Models, Expires: d.Expires})
	}
	stored, err := k.state.Keys(ctx)
	return append(all, stored...), err
}

// Revoke implements admin.Keys.
func (k *keyring) Revoke(ctx context.Context, idOrName string) (identity.Key, error) {
	for _, d := range k.declared() {
		if d.Name == idOrName || identity.FileKeyID(d.Name) == idOrName {
			return identity.Key{}, fmt.Errorf("key %q is %w", d.Name, admin.ErrReadOnly)
		}
	}
	key, err := k.state.RevokeKey(ctx, idOrName)
	if errors.Is(err, state.ErrNotFound) {
		err = fmt.Errorf("key %q: %w", idOrName, admin.ErrNotFound)
	}
	return key, err
}

// records is the request log as the admin API serves it.
type records struct{ state *state.State }

// Find implements admin.Records.
func (r records) Find(ctx context.Context, id string) (record.Record, error) {
	rec, err := r.state.Find(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		err = fmt.Errorf("request %q: %w", id, admin.ErrNotFound)
	}
	return rec, err
}

// Recent implements admin.Records.
func (r records) Recent(ctx context.Context, limit int, before string) ([]record.Record, error) {
	return r.state.Recent(ctx, limit, before)
}

var (
	_ admin.Keys    = (*keyring)(nil)
	_ admin.Records = records{}
)
