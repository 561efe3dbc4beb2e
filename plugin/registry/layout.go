package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// index is index.json of a layout.
type index struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType,omitempty"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

// layout is a folder in the layout of OCI images, version 1: for teams that share a disk and no registry. Tags are the
// annotation org.opencontainers.image.ref.name; attachments stand in the index without one.
type layout struct {
	folder
	limits Limits
}

func (l *layout) index() (*index, error) {
	text, err := readFile(filepath.Join(l.path, ocispec.ImageLayoutFile), 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(l.path); statErr != nil { // a share that is not mounted looks like this
			return nil, fmt.Errorf("%w: %w: %w", ErrAway, ErrNotFound, statErr)
		}
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNotFound, l.path, ocispec.ImageLayoutFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	var version ocispec.ImageLayout
	if err := json.Unmarshal(text, &version); err != nil || version.Version != ocispec.ImageLayoutVersion {
		return nil, fmt.Errorf("%w: %s has a layout of version %q, and %s is read", ErrLayout, l.path, version.Version, ocispec.ImageLayoutVersion)
	}
	text, err = readFile(filepath.Join(l.path, ocispec.ImageIndexFile), l.limits.Manifest)
	if err != nil {
		return nil, missing(err)
	}
	i := &index{}
	if err := json.Unmarshal(text, i); err != nil {
		return nil, fmt.Errorf("%w: reading %s of %s: %w", ErrLayout, ocispec.ImageIndexFile, l.path, err)
	}
	return i, nil
}

func (l *layout) resolve(_ context.Context, version string) (Descriptor, error) {
	i, err := l.index()
	if err != nil {
		return Descriptor{}, err
	}
	var found []Descriptor
	for _, d := range i.Manifests {
		if string(d.Digest) == version || d.Annotations[ocispec.AnnotationRefName] == version {
			found = append(found, descriptor(d).own())
		}
	}
	switch {
	case len(found) == 0 && IsDigest(version):
		return l.untagged(version)
	case len(found) == 0:
		return Descriptor{}, fmt.Errorf("%s in %s %w", version, l.path, ErrNotFound)
	case slices.ContainsFunc(found, func(d Descriptor) bool { return d.Digest != found[0].Digest }):
		return Descriptor{}, fmt.Errorf("%w: the index of %s has two of the name %s", ErrLayout, l.path, version)
	}
	return found[0], nil
}

// untagged describes a manifest that no tag names any more.
func (l *layout) untagged(digest string) (Descriptor, error) {
	content, err := l.read(digest, l.limits.Manifest)
	if err != nil {
		return Descriptor{}, missing(err)
	}
	image, err := readImage(content)
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{MediaType: image.mediaType(), Digest: digest, Size: int64(len(content)), ArtifactType: image.ArtifactType}, nil
}

func (l *layout) fetch(_ context.Context, d Descriptor) ([]byte, error) {
	content, err := l.read(d.Digest, d.Size)
	if err != nil {
		return nil, missing(err)
	}
	if int64(len(content)) != d.Size {
		return nil, fmt.Errorf("%w: %s is %d bytes and was said to be %d", ErrDigest, d.Digest, len(content), d.Size)
	}
	return content, nil
}

func (l *layout) tags(context.Context) ([]string, error) {
	i, err := l.index()
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, d := range i.Manifests {
		if tag := d.Annotations[ocispec.AnnotationRefName]; tagPattern.MatchString(tag) && len(tags) < l.limits.Tags {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// referrers reads the small manifests of the index to see which of them refer to the subject.
func (l *layout) referrers(ctx context.Context, subject Descriptor, artifactType string) ([]Descriptor, error) {
	i, err := l.index()
	if err != nil {
		return nil, err
	}
	var found []Descriptor
	for _, d := range i.Manifests {
		if string(d.Digest) == subject.Digest || d.Size > l.limits.Manifest || len(found) >= l.limits.Attached {
			continue
		}
		content, err := l.fetch(ctx, descriptor(d).own())
		if err != nil {
			return nil, err
		}
		image, err := readImage(content)
		if err != nil || image.Subject == nil || string(image.Subject.Digest) != subject.Digest {
			continue // it is about something else
		}
		referrer := descriptor(d).own()
		referrer.ArtifactType, referrer.Annotations = image.artifactType(), image.Annotations
		if artifactType == "" || artifactType == referrer.ArtifactType {
			found = append(found, referrer)
		}
	}
	return found, nil
}

func (l *layout) push(_ context.Context, d Descriptor, content []byte) error {
	if name, err := l.file(d.Digest); err != nil {
		return err
	} else if _, err := l.read(d.Digest, d.Size); err == nil && name != "" {
		return nil // it is there, and it is right
	}
	return l.write(d.Digest, content)
}

// publish writes the manifest and then the index, under a lock: two writers of one index would lose one's line.
func (l *layout) publish(ctx context.Context, d Descriptor, manifest []byte, tag string) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.push(ctx, d, manifest); err != nil {
		return err
	}
	i, err := l.index()
	switch {
	case errors.Is(err, ErrNotFound):
		i = &index{SchemaVersion: 2, MediaType: ocispec.MediaTypeImageIndex}
		if err := writeNote(filepath.Join(l.path, ocispec.ImageLayoutFile), ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	i.set(d, tag)
	return writeNote(filepath.Join(l.path, ocispec.ImageIndexFile), i)
}

// set gives a manifest its line. A tag that named another one moves; that one keeps a line without it.
func (i *index) set(d Descriptor, tag string) {
	line := d.theirs()
	line.Annotations = nil
	same := func(m ocispec.Descriptor) bool { return m.Digest == line.Digest }
	if tag == "" && slices.ContainsFunc(i.Manifests, same) {
		return
	}
	if tag != "" {
		line.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	var kept []ocispec.Descriptor
	for _, m := range i.Manifests {
		name := m.Annotations[ocispec.AnnotationRefName]
		if same(m) && (name == tag || name == "") {
			continue
		}
		if tag != "" && name == tag {
			m.Annotations = maps.Clone(m.Annotations)
			delete(m.Annotations, ocispec.AnnotationRefName)
		}
		kept = append(kept, m)
	}
	kept = append(kept, line)
	i.Manifests = kept
}

var _ place = (*layout)(nil)
