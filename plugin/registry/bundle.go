package registry

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// AnnotationRef is the full reference of a plugin in a bundle, beside its tag.
const AnnotationRef = "dev.sallyport.policy.ref"

// Bundled is a plugin on its way to where there is no registry: what Pull and Referrers returned.
type Bundled struct {
	Artifact    Artifact
	Attachments []Attachment
}

// Collect pulls a plugin with all that is attached to it.
func (c *Client) Collect(ctx context.Context, r Ref) (Bundled, error) {
	a, err := c.Pull(ctx, r)
	if err != nil {
		return Bundled{}, err
	}
	attached, err := c.Referrers(ctx, r, a.ManifestDigest, "")
	if err != nil {
		return Bundled{}, err
	}
	return Bundled{Artifact: a, Attachments: attached}, nil
}

// Import puts what a bundle holds into the cache, under the references that it was collected by, so that a gateway without a
// network starts from it.
func (c *Client) Import(bundle []Bundled) error {
	if c.cache == nil {
		return fmt.Errorf("importing a bundle: %w", errNoCache)
	}
	for _, b := range bundle {
		if err := c.keep(b); err != nil {
			return fmt.Errorf("importing %s: %w", b.Artifact.Ref, err)
		}
	}
	return nil
}

func (c *Client) keep(b Bundled) error {
	for _, content := range b.contents() {
		if err := c.cache.put(content.descriptor, content.content); err != nil {
			return err
		}
	}
	if err := c.cache.rememberAttached(b.Artifact.ManifestDigest, b.manifests()); err != nil {
		return err
	}
	if r := b.Artifact.Ref; r.Tag != "" && r.Digest == "" {
		return c.cache.remember(r, b.Artifact.blobs[0].descriptor)
	}
	return nil
}

// Send publishes a bundled plugin elsewhere with the digests that it has, and with what is attached to it.
func (c *Client) Send(ctx context.Context, to Ref, b Bundled) error {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	tag := to.Tag
	if tag == "" {
		tag = b.Artifact.Ref.Tag
	}
	inner := slices.Clone(b.Artifact.blobs)
	slices.Reverse(inner) // the manifest that gets the tag comes last
	if err := c.send(ctx, to, tag, inner); err != nil {
		return fmt.Errorf("sending %s to %s: %w", b.Artifact.Ref, to, err)
	}
	// A manifest of cosign's has a layer for each signature: all of them go before it.
	byManifest := map[string][]blob{}
	for _, a := range b.Attachments {
		digest := a.blobs[0].descriptor.Digest
		byManifest[digest] = append(byManifest[digest], a.blobs[1:]...)
	}
	for _, a := range b.Attachments {
		top, name := a.blobs[0], ""
		contents, unsent := byManifest[top.descriptor.Digest]
		if !unsent {
			continue
		}
		delete(byManifest, top.descriptor.Digest)
		if a.cosign() {
			name = cosignTag(b.Artifact.ManifestDigest)
		}
		if err := c.send(ctx, to, name, append(contents, top)); err != nil {
			return fmt.Errorf("sending what is attached to %s: %w", b.Artifact.Ref, err)
		}
	}
	return nil
}

// cosign says whether an attachment came by cosign's tag: then its digest is not that of its manifest.
func (a Attachment) cosign() bool {
	return len(a.blobs) > 0 && a.Digest != a.blobs[0].descriptor.Digest
}

func (b Bundled) contents() []blob {
	all := slices.Clone(b.Artifact.blobs)
	for _, a := range b.Attachments {
		all = append(all, a.blobs...)
	}
	return all
}

// manifests are those of the attachments, each once.
func (b Bundled) manifests() []Descriptor {
	var all []Descriptor
	for _, a := range b.Attachments {
		d := a.blobs[0].descriptor
		if !slices.ContainsFunc(all, func(o Descriptor) bool { return o.Digest == d.Digest }) {
			all = append(all, d)
		}
	}
	return all
}

// WriteLayout writes plugins and what is attached to them into one OCI layout: an archive where the name ends in .tar, else a
// folder, which must not be there yet. The same plugins make the same bytes. It appears whole or not at all.
func WriteLayout(name string, bundle []Bundled) error {
	i := &index{SchemaVersion: 2, MediaType: ocispec.MediaTypeImageIndex}
	contents := map[string][]byte{}
	for _, b := range bundle {
		if len(b.Artifact.blobs) == 0 {
			return fmt.Errorf("writing %s: %s was not pulled", name, b.Artifact.Ref)
		}
		i.add(b)
		for _, c := range b.contents() {
			contents[c.descriptor.Digest] = c.content
		}
	}
	write := writeFolder
	if strings.HasSuffix(name, ".tar") {
		write = writeArchive
	}
	if err := write(name, i, contents); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func (i *index) add(b Bundled) {
	line := b.Artifact.blobs[0].line()
	line.Annotations = map[string]string{AnnotationRef: b.Artifact.Ref.String()}
	if b.Artifact.Ref.Tag != "" {
		line.Annotations[ocispec.AnnotationRefName] = b.Artifact.Ref.Tag
	}
	i.Manifests = append(i.Manifests, line)
	for _, a := range b.Attachments {
		line, name := a.blobs[0].line(), ""
		if a.cosign() {
			name = cosignTag(b.Artifact.ManifestDigest)
			line.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		}
		if !slices.ContainsFunc(i.Manifests, func(o ocispec.Descriptor) bool {
			return o.Digest == line.Digest && o.Annotations[ocispec.AnnotationRefName] == name
		}) {
			i.Manifests = append(i.Manifests, line)
		}
	}
}

// line describes a manifest by itself: what a registry said beside it depends on the registry.
func (b blob) line() ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: b.descriptor.MediaType, Digest: b.descriptor.theirs().Digest, Size: b.descriptor.Size}
	if image, err := readImage(b.content); err == nil {
		d.ArtifactType = image.ArtifactType
	}
	return d
}

func writeFolder(name string, i *index, contents map[string][]byte) (err error) {
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s is there already", name)
	}
	parent := filepath.Dir(filepath.Clean(name))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	f, err := os.MkdirTemp(parent, temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(f))
		}
	}()
	if err := os.Chmod(f, 0o755); err != nil {
		return err
	}
	for file, text := range files(i, contents) {
		if err := writeFile(filepath.Join(f, filepath.FromSlash(file)), text); err != nil {
			return err
		}
	}
	if err := os.Rename(f, name); err != nil {
		return err
	}
	return durable.SyncFolder(parent)
}

func writeArchive(name string, i *index, contents map[string][]byte) error {
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	all := files(i, contents)
	for _, file := range sortedNames(all) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: 0o644, Size: int64(len(all[file])), Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(all[file]); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return writeFile(name, b.Bytes())
}

// files are those of a layout.
func files(i *index, contents map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	all[ocispec.ImageLayoutFile], _ = json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}) // of strings
	all[ocispec.ImageIndexFile], _ = json.Marshal(i)                                                         // likewise
	for digest, content := range contents {
		all["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")] = content
	}
	return all
}

// sortedNames puts the two small files first: readers of a stream learn early what it is.
func sortedNames(all map[string][]byte) []string {
	names := []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile}
	var blobs []string
	for name := range all {
		if !slices.Contains(names, name) {
			blobs = append(blobs, name)
		}
	}
	slices.Sort(blobs)
	return append(names, blobs...)
}

// ReadLayout reads all plugins of a folder or an archive in the OCI layout, with what is attached to them. Everything is held
// against its digest.
func ReadLayout(ctx context.Context, name string, limits Limits) ([]Bundled, error) {
	bundle, err := readLayout(ctx, name, limits.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return bundle, nil
}

func readLayout(ctx context.Context, name string, limits Limits) ([]Bundled, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, missing(err)
	}
	dir := name
	if !info.IsDir() {
		if dir, err = os.MkdirTemp("", "sallyport-bundle-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // nothing of it is needed
		if err := extract(name, dir, limits); err != nil {
			return nil, err
		}
	}
	p := &layout{folder: folder{path: dir}, limits: limits}
	i, err := p.index()
	if err != nil {
		return nil, err
	}
	var bundle []Bundled
	for _, d := range i.Manifests {
		b, err := bundled(ctx, p, d, limits)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
		}
		if b != nil {
			bundle = append(bundle, *b)
		}
	}
	if len(bundle) == 0 {
		return nil, fmt.Errorf("%w: there is no plugin in it", ErrLayout)
	}
	return bundle, nil
}

// bundled reads one line of the index. It is nil where that is an attachment.
func bundled(ctx context.Context, p *layout, line ocispec.Descriptor, limits Limits) (*Bundled, error) {
	d := descriptor(line).own()
	if err := limits.checkManifest(d); err != nil {
		return nil, err
	}
	text, err := p.fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	image, err := readImage(text)
	if err != nil {
		return nil, err
	}
	if image.Subject != nil || attachedTag.MatchString(line.Annotations[ocispec.AnnotationRefName]) {
		return nil, nil
	}
	c := &Client{limits: limits}
	b := &bringer{client: c, place: p}
	artifact, err := b.artifact(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := artifact.check(); err != nil {
		return nil, err
	}
	if ref := line.Annotations[AnnotationRef]; ref != "" {
		if artifact.Ref, err = ParseRef(ref); err != nil {
			return nil, err
		}
	}
	manifests, err := c.findAttachedIn(ctx, p, d)
	if err != nil {
		return nil, err
	}
	attached, err := c.bringAttached(ctx, b, d.Digest, manifests)
	return &Bundled{Artifact: artifact, Attachments: attached}, err
}

// maxBundle is how large an archive of plugins may be.
const maxBundle = 1 << 30

// extract unpacks the files of a layout and nothing else: names decide nothing about where they are written.
func extract(name, dir string, limits Limits) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewReader(&boundedReader{from: file, left: maxBundle})
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: it is no archive: %w", ErrLayout, err)
		}
		to, ok := layoutFile(strings.TrimPrefix(h.Name, "./"))
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > max(limits.Wasm, limits.Manifest) {
			return fmt.Errorf("%w: %s has %d bytes", ErrTooLarge, to, h.Size)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return fmt.Errorf("%w: it is cut: %w", ErrLayout, err)
		}
		if err := writeFile(filepath.Join(dir, to), content); err != nil {
			return err
		}
	}
}

func layoutFile(name string) (string, bool) {
	if name == ocispec.ImageLayoutFile || name == ocispec.ImageIndexFile {
		return name, true
	}
	hex, ok := strings.CutPrefix(name, "blobs/sha256/")
	return filepath.Join("blobs", "sha256", hex), ok && IsDigest("sha256:"+hex)
}

// nowhere is a place with nothing in it.
type nowhere struct{ place }

func (nowhere) fetch(context.Context, Descriptor) ([]byte, error) { return nil, errNotCached }
