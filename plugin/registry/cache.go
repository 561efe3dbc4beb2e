package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// cache keeps what was pulled: content by digest, what tags named when they were last resolved, and what was attached to
// which manifest. A nil cache keeps nothing. Content is held against its digest each time that it is read; the two kinds of
// notes are hints for when the registry is away, and the content that they lead to is what has to be right.
type cache struct{ folder }

// get returns content. What was changed on disk is removed, so that it is fetched anew, and the error is ErrTampered.
func (c *cache) get(d Descriptor) ([]byte, error) {
	if c == nil {
		return nil, errNoCache
	}
	content, err := c.read(d.Digest, max(d.Size, 0))
	switch {
	case err == nil && int64(len(content)) == d.Size:
		c.need(d.Digest)
		return content, nil
	case err == nil:
		return nil, fmt.Errorf("%w: %s is %d bytes and was said to be %d", ErrDigest, d.Digest, len(content), d.Size)
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNotCached
	case errors.Is(err, ErrDigest), errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("%w: %s", ErrTampered, err.Error())
	}
	return nil, err
}

func (c *cache) put(d Descriptor, content []byte) error {
	if c == nil {
		return nil
	}
	return c.write(d.Digest, content)
}

// maxManifest bounds a manifest that is looked up by its digest alone.
const maxManifest = 4 << 20

// manifest describes a manifest that is in the cache.
func (c *cache) manifest(digest string) (Descriptor, error) {
	if c == nil {
		return Descriptor{}, errNoCache
	}
	content, err := c.read(digest, maxManifest)
	if err != nil {
		return Descriptor{}, err
	}
	image, err := readImage(content)
	if err != nil {
		return Descriptor{}, err
	}
	c.need(digest)
	return Descriptor{MediaType: image.mediaType(), Digest: digest, Size: int64(len(content)), ArtifactType: image.ArtifactType}, nil
}

// tagNote is what a tag named.
type tagNote struct {
	Ref    string `json:"ref"`
	Digest string `json:"digest"`
}

// note is the file of what is known of a text: names of references become no paths.
func (c *cache) note(folder, text string) string {
	return filepath.Join(c.path, folder, strings.TrimPrefix(digestOf([]byte(text)), "sha256:")+".json")
}

func (c *cache) remember(r Ref, d Descriptor) error {
	if c == nil {
		return nil
	}
	return writeNote(c.note("tags", r.String()), tagNote{Ref: r.String(), Digest: d.Digest})
}

// recall finds what a reference named when it was last resolved.
func (c *cache) recall(r Ref) (Descriptor, error) {
	if c == nil {
		return Descriptor{}, errNoCache
	}
	var note tagNote
	if r.Digest != "" {
		note.Digest = r.Digest
	} else if err := readNote(c.note("tags", r.String()), &note); err != nil || note.Ref != r.String() {
		return Descriptor{}, fmt.Errorf("%s %w", r, errNotCached)
	}
	d, err := c.manifest(note.Digest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Descriptor{}, fmt.Errorf("%s %w", note.Digest, errNotCached)
	case errors.Is(err, ErrDigest):
		return Descriptor{}, fmt.Errorf("%w: %s", ErrTampered, err.Error())
	}
	return d, err
}

// attachedNote lists what was attached to a manifest when it was last asked.
type attachedNote struct {
	Subject   string       `json:"subject"`
	Manifests []Descriptor `json:"manifests"`
}

func (c *cache) rememberAttached(subject string, manifests []Descriptor) error {
	if c == nil {
		return nil
	}
	return writeNote(c.note("attached", subject), attachedNote{Subject: subject, Manifests: manifests})
}

func (c *cache) recallAttached(subject string) ([]Descriptor, error) {
	if c == nil {
		return nil, errNoCache
	}
	var note attachedNote
	if err := readNote(c.note("attached", subject), &note); err != nil || note.Subject != subject {
		return nil, fmt.Errorf("what is attached to %s %w", subject, errNotCached)
	}
	return note.Manifests, nil
}

func writeNote(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(name, text)
}

func readNote(name string, v any) error {
	text, err := readFile(name, maxManifest)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
