package identity

import (
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Stored finds the keys and teams that were made while the gateway ran. Both methods are on the request path.
type Stored interface {
	Lookup(digest *abi.Digest) (*abi.Identity, bool)
	Team(name string) (*abi.Team, bool)
}

// FileKey is a key that the configuration declares. Its fields are those of config.Key, in the same order, so that
// one converts to the other.
type FileKey struct {
	Name         string
	Secret       string
	Team         string
	Models       []string
	Expires      time.Time
	DefaultModel string
	Labels       []abi.Label
	Limits       abi.Limits
	Budgets      []abi.Budget
}

// FileKeyID returns the id of the key that the configuration declares under this name.
func FileKeyID(name string) string { return "file:" + name }

// Directory finds identities and teams for one snapshot: those of its file, then the stored ones. It is immutable.
type Directory struct {
	hasher *Hasher
	file   map[abi.Digest]*abi.Identity
	teams  map[string]*abi.Team
	stored Stored
}

// NewDirectory digests the keys of the file. Two keys with one name or one secret are an error: which of them a
// request belongs to would be a matter of luck. So are two teams with one name.
func NewDirectory(hasher *Hasher, keys []FileKey, teams []abi.Team, stored Stored) (*Directory, error) {
	d := &Directory{
		hasher: hasher, file: make(map[abi.Digest]*abi.Identity, len(keys)),
		teams: make(map[string]*abi.Team, len(teams)), stored: stored,
	}
	names := make(map[string]bool, len(keys))
	for i := range keys {
		key := &keys[i]
		digest := hasher.Digest([]byte(key.Secret))
		if other, taken := d.file[digest]; taken {
			return nil, fmt.Errorf("%w: %q and %q are the same key", ErrKeys, other.Name, key.Name)
		}
		if names[key.Name] {
			return nil, fmt.Errorf("%w: two are named %q", ErrKeys, key.Name)
		}
		names[key.Name] = true
		d.file[digest] = key.identity()
	}
	for i := range teams {
		if _, taken := d.teams[teams[i].Name]; taken {
			return nil, fmt.Errorf("%w: two teams are named %q", ErrKeys, teams[i].Name)
		}
		d.teams[teams[i].Name] = &teams[i]
	}
	return d, nil
}

func (k *FileKey) identity() *abi.Identity {
	return &abi.Identity{
		KeyID: FileKeyID(k.Name), Name: k.Name, Team: k.Team, Expires: k.Expires, Models: k.Models,
		DefaultModel: k.DefaultModel, Labels: k.Labels, Limits: k.Limits, Budgets: k.Budgets,
	}
}

// Lookup finds the identity behind a digest. What it returns is shared and immutable.
func (d *Directory) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	if id, ok := d.file[*digest]; ok {
		return id, true
	}
	return d.stored.Lookup(digest)
}

// Team finds a team. Of a declared and a stored team with one name, the declared one counts. What it returns is shared
// and immutable.
func (d *Directory) Team(name string) (*abi.Team, bool) {
	if team, ok := d.teams[name]; ok {
		return team, true
	}
	return d.stored.Team(name)
}

// Digest returns the digest under which Lookup finds a credential.
func (d *Directory) Digest(credential []byte) abi.Digest { return d.hasher.Digest(credential) }

var _ abi.Identities = (*Directory)(nil)
