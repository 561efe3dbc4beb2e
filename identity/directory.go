package identity

import (
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Stored finds the keys that were made while the gateway ran. A Lookup is on the request path.
type Stored interface {
	Lookup(digest *abi.Digest) (*abi.Identity, bool)
}

// FileKey is a key that the configuration declares. Its fields are those of config.Key, in the same order, so that
// one converts to the other.
type FileKey struct {
	Name    string
	Secret  string
	Team    string
	Models  []string
	Expires time.Time
}

// FileKeyID returns the id of the key that the configuration declares under this name.
func FileKeyID(name string) string { return "file:" + name }

// Directory finds identities for one snapshot: the keys of its file, then the stored ones. It is immutable.
type Directory struct {
	hasher *Hasher
	file   map[abi.Digest]*abi.Identity
	stored Stored
}

// NewDirectory digests the keys of the file. Two keys with one name or one secret are an error: which of them a
// request belongs to would be a matter of luck.
func NewDirectory(hasher *Hasher, keys []FileKey, stored Stored) (*Directory, error) {
	file := make(map[abi.Digest]*abi.Identity, len(keys))
	names := make(map[string]bool, len(keys))
	for _, key := range keys {
		digest := hasher.Digest([]byte(key.Secret))
		if other, taken := file[digest]; taken {
			return nil, fmt.Errorf("%w: %q and %q are the same key", ErrKeys, other.Name, key.Name)
		}
		if names[key.Name] {
			return nil, fmt.Errorf("%w: two are named %q", ErrKeys, key.Name)
		}
		names[key.Name] = true
		file[digest] = &abi.Identity{
			KeyID: FileKeyID(key.Name), Name: key.Name, Team: key.Team, Expires: key.Expires, Models: key.Models,
		}
	}
	return &Directory{hasher: hasher, file: file, stored: stored}, nil
}

// Lookup finds the identity behind a digest. What it returns is shared and immutable.
func (d *Directory) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	if id, ok := d.file[*digest]; ok {
		return id, true
	}
	return d.stored.Lookup(digest)
}

// Digest returns the digest under which Lookup finds a credential.
func (d *Directory) Digest(credential []byte) abi.Digest { return d.hasher.Digest(credential) }

var _ abi.Identities = (*Directory)(nil)
