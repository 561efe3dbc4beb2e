package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/sallyport-dev/sallyport/state"
)

// keyring is the keys and teams of a gateway: those that were made, in the data folder, beside those of the file,
// which are read-only here. What it knows of the file is what is in force when it is asked.
type keyring struct {
	state  *state.State
	hasher *identity.Hasher
	config func() *config.Snapshot // nil before there is one
	teams  sync.Mutex              // held while a team is made or changed: its place among the others is checked before
}

func newKeyring(s *state.State, current func() *config.Snapshot) (*keyring, error) {
	pepper, err := s.Pepper()
	if err != nil {
		return nil, fmt.Errorf("reading the digests' secret: %w", err)
	}
	hasher, err := identity.NewHasher(pepper)
	if err != nil {
		return nil, err
	}
	return &keyring{state: s, hasher: hasher, config: current}, nil
}

// directory finds identities and teams among those of this configuration and the stored ones.
func (k *keyring) directory(c *config.Snapshot) (*identity.Directory, error) {
	keys := make([]identity.FileKey, 0, len(c.Keys))
	for i := range c.Keys {
		keys = append(keys, identity.FileKey(c.Keys[i]))
	}
	return identity.NewDirectory(k.hasher, keys, c.Teams, k.state)
}

// declared returns the configuration in force. Before there is one, nothing is declared.
func (k *keyring) declared() *config.Snapshot {
	return cmp.Or(k.config(), &config.Snapshot{})
}

// fileKey returns the key that the file declares under this id or name.
func (k *keyring) fileKey(idOrName string) (identity.Key, bool) {
	for i := range k.declared().Keys {
		if d := &k.declared().Keys[i]; d.Name == idOrName || identity.FileKeyID(d.Name) == idOrName {
			return showFileKey(d), true
		}
	}
	return identity.Key{}, false
}

func showFileKey(d *config.Key) identity.Key {
	return identity.Key{
		ID: identity.FileKeyID(d.Name), Name: d.Name, Team: d.Team, Models: d.Models, Expires: d.Expires,
		DefaultModel: d.DefaultModel, Labels: d.Labels, Limits: d.Limits, Budgets: d.Budgets,
	}
}

// Issue implements admin.Keys.
func (k *keyring) Issue(ctx context.Context, wish identity.Wish) (identity.Key, string, error) {
	if _, taken := k.fileKey(wish.Name); taken {
		return identity.Key{}, "", fmt.Errorf("%w: the configuration file declares a key %q", identity.ErrKeys, wish.Name)
	}
	key, secret, err := identity.Issue(wish, time.Now(), rand.Reader)
	if err != nil {
		return identity.Key{}, "", err
	}
	if err := k.checkKey(ctx, &key); err != nil {
		return identity.Key{}, "", err
	}
	digest := k.hasher.Digest([]byte(secret))
	if err := k.state.CreateKey(ctx, key, &digest); err != nil {
		return identity.Key{}, "", explainState("key", wish.Name, err)
	}
	return key, secret, nil
}

// checkKey checks what a key names: its team and its models have to be there.
func (k *keyring) checkKey(ctx context.Context, key *identity.Key) error {
	if err := k.checkModels(key.Models); err != nil {
		return err
	}
	if err := k.checkDefaultModel(key); err != nil {
		return err
	}
	if key.Team == "" {
		return nil
	}
	team, err := k.knownTeam(ctx, key.Team)
	if err == nil && team.State == abi.KeyRevoked {
		err = fmt.Errorf("%w: team %q is revoked", identity.ErrWish, key.Team)
	}
	return err
}

// Keys implements admin.Keys. The ids of the file's keys sort before those of the others.
func (k *keyring) Keys(ctx context.Context, q identity.Query) ([]identity.Key, error) {
	var all []identity.Key
	for i := range k.declared().Keys {
		key := showFileKey(&k.declared().Keys[i])
		if key.ID > q.After && (q.Team == "" || key.Team == q.Team) {
			all = append(all, key)
		}
	}
	slices.SortFunc(all, func(a, b identity.Key) int { return cmp.Compare(a.ID, b.ID) })
	if q.Limit > 0 && len(all) >= q.Limit {
		return all[:q.Limit], nil
	}
	if q.Limit > 0 {
		q.Limit -= len(all)
	}
	stored, err := k.state.Keys(ctx, q)
	return append(all, stored...), err
}

// Key implements admin.Keys.
func (k *keyring) Key(ctx context.Context, idOrName string) (identity.Key, error) {
	if key, ok := k.fileKey(idOrName); ok {
		return key, nil
	}
	key, err := k.state.Key(ctx, idOrName)
	return key, explainState("key", idOrName, err)
}

// ChangeKey implements admin.Keys. What the key will name is looked for before the state is asked, which may not
// answer while it changes something.
func (k *keyring) ChangeKey(ctx context.Context, idOrName string, change *admin.KeyChange) (identity.Key, error) {
	apply := func(key *identity.Key) error {
		if err := change.Apply(key); err != nil {
			return err
		}
		return identity.CheckKey(key)
	}
	wanted, err := k.Key(ctx, idOrName)
	if err != nil {
		return identity.Key{}, err
	}
	if err := apply(&wanted); err != nil {
		return identity.Key{}, err
	}
	if err := k.checkKey(ctx, &wanted); err != nil {
		return identity.Key{}, err
	}
	return k.change(ctx, idOrName, apply)
}

// SetKeyState implements admin.Keys. Revoking a revoked key changes nothing.
func (k *keyring) SetKeyState(ctx context.Context, idOrName string, to abi.KeyState) (identity.Key, error) {
	key, err := k.change(ctx, idOrName, func(key *identity.Key) error {
		key.State = to
		return nil
	})
	if to == abi.KeyRevoked && errors.Is(err, state.ErrRevoked) {
		return k.Key(ctx, idOrName)
	}
	return key, err
}

// change changes a stored key.
func (k *keyring) change(ctx context.Context, idOrName string, change func(*identity.Key) error) (identity.Key, error) {
	if key, ok := k.fileKey(idOrName); ok {
		return identity.Key{}, fmt.Errorf("key %q is %w", key.Name, admin.ErrReadOnly)
	}
	key, err := k.state.ChangeKey(ctx, idOrName, change)
	return key, explainState("key", idOrName, err)
}

// RotateKey implements admin.Keys.
func (k *keyring) RotateKey(ctx context.Context, idOrName string, grace time.Duration) (identity.Key, string, error) {
	if key, ok := k.fileKey(idOrName); ok {
		return identity.Key{}, "", fmt.Errorf("key %q is %w", key.Name, admin.ErrReadOnly)
	}
	old, err := k.state.Key(ctx, idOrName)
	if err != nil {
		return identity.Key{}, "", explainState("key", idOrName, err)
	}
	if old.State == abi.KeyRevoked {
		return identity.Key{}, "", fmt.Errorf("%w: key %q is revoked for good", admin.ErrConflict, old.Name)
	}
	fresh, secret, err := identity.Reissue(old, grace, time.Now(), rand.Reader)
	if err != nil {
		return identity.Key{}, "", err
	}
	digest := k.hasher.Digest([]byte(secret))
	key, err := k.state.RotateKey(ctx, old.ID, &digest, func(key *identity.Key) error {
		key.Prefix, key.Hint, key.Rotated, key.GraceEnds = fresh.Prefix, fresh.Hint, fresh.Rotated, fresh.GraceEnds
		return nil
	})
	return key, secret, explainState("key", idOrName, err)
}

// explainState says what an error of the state means for something of this kind and name.
func explainState(kind, name string, err error) error {
	switch {
	case errors.Is(err, state.ErrNotFound):
		return fmt.Errorf("%s %q: %w", kind, name, admin.ErrNotFound)
	case errors.Is(err, state.ErrExists):
		return fmt.Errorf("%w: there is a %s %q already", admin.ErrConflict, kind, name)
	case errors.Is(err, state.ErrRevoked):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	case errors.Is(err, state.ErrDiskFull), errors.Is(err, state.ErrReadOnly):
		return fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	}
	return err
}

// records is the request log as the admin API serves it.
type records struct{ state *state.State }

// Find implements admin.Records.
func (r records) Find(ctx context.Context, id string) (record.Record, error) {
	rec, err := r.state.Find(ctx, id)
	return rec, explainState("request", id, err)
}

// Recent implements admin.Records.
func (r records) Recent(ctx context.Context, limit int, before string) ([]record.Record, error) {
	return r.state.Recent(ctx, limit, before)
}

var (
	_ admin.Keys    = (*keyring)(nil)
	_ admin.Teams   = (*keyring)(nil)
	_ admin.Records = records{}
	_ admin.Backups = (*state.State)(nil)
)
