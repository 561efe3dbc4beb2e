package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ArtifactTypeCosign is what cosign attaches signatures as where it uses referrers. Those that it puts under the tag
// sha256-….sig are given the same type here.
const ArtifactTypeCosign = "application/vnd.dev.cosign.artifact.sig.v1+json"

// attachedTag are tags that hold what belongs to a manifest: the fallback of the distribution specification for registries
// without referrers, and cosign's.
var attachedTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(?:\.[a-z]+)?$`)

// maxAttachment is how many bytes an attachment may have.
const maxAttachment = 1 << 20

// emptyConfig is the configuration of artifacts that have none, as the image specification has it.
var emptyConfig = []byte("{}")

// Referrers returns what is attached to a manifest, of one artifact type or, where that is empty, of all: by the registry's
// API, by the fallback tag where it has none, and cosign's tag. Where the registry cannot be asked, it is what was found when
// it last could be. Attachments prove nothing by being there.
func (c *Client) Referrers(ctx context.Context, r Ref, manifestDigest, artifactType string) ([]Attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	all, err := c.attachments(ctx, r, manifestDigest)
	if err != nil {
		return nil, fmt.Errorf("reading what is attached to %s: %w", r.At(manifestDigest), err)
	}
	return ofType(all, artifactType), nil
}

// CachedReferrers is Referrers without asking anybody: what was found when the registry was last asked, or imported.
func (c *Client) CachedReferrers(manifestDigest, artifactType string) ([]Attachment, error) {
	manifests, err := c.cache.recallAttached(manifestDigest)
	if err != nil {
		return nil, err
	}
	all, err := c.bringAttached(context.Background(), &bringer{client: c, place: nowhere{}}, manifestDigest, manifests)
	return ofType(all, artifactType), err
}

func ofType(all []Attachment, artifactType string) []Attachment {
	return slices.DeleteFunc(all, func(a Attachment) bool { return artifactType != "" && a.ArtifactType != artifactType })
}

func (c *Client) attachments(ctx context.Context, r Ref, subject string) ([]Attachment, error) {
	if !IsDigest(subject) {
		return nil, fmt.Errorf("%q is no sha256 digest", subject)
	}
	p, err := c.place(r)
	if err != nil {
		return nil, err
	}
	manifests, err := c.findAttached(ctx, p, r, subject)
	b := &bringer{client: c, ref: r, place: p}
	if errors.Is(err, ErrAway) {
		var cacheErr error
		if manifests, cacheErr = c.cache.recallAttached(subject); cacheErr != nil {
			return nil, fmt.Errorf("%w (and %w)", err, cacheErr)
		}
		return c.bringAttached(ctx, b, subject, manifests)
	}
	if err != nil {
		return nil, err
	}
	all, err := c.bringAttached(ctx, b, subject, manifests)
	if err != nil {
		return nil, err
	}
	return all, c.cache.rememberAttached(subject, manifests)
}

// findAttached asks in all three ways.
func (c *Client) findAttached(ctx context.Context, p place, r Ref, subject string) ([]Descriptor, error) {
	d, err := c.cache.manifest(subject)
	if err != nil {
		if d, err = c.ask(ctx, r.At(subject)); err != nil {
			return nil, err
		}
	}
	return c.findAttachedIn(ctx, p, d)
}

func (c *Client) findAttachedIn(ctx context.Context, p place, subject Descriptor) ([]Descriptor, error) {
	manifests, err := p.referrers(ctx, subject, "")
	if err != nil {
		return nil, err
	}
	signed, err := p.resolve(ctx, cosignTag(subject.Digest))
	switch {
	case err == nil:
		manifests = append(manifests, signed)
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	if len(manifests) > c.limits.Attached {
		return nil, fmt.Errorf("%w: %d attachments, at most %d are read", ErrTooLarge, len(manifests), c.limits.Attached)
	}
	return manifests, nil
}

func cosignTag(subject string) string { return strings.Replace(subject, ":", "-", 1) + ".sig" }

func (c *Client) bringAttached(ctx context.Context, b *bringer, subject string, manifests []Descriptor) ([]Attachment, error) {
	var all []Attachment
	for _, d := range manifests {
		if err := c.limits.checkManifest(d); err != nil {
			return nil, err
		}
		some, err := c.attachmentsOf(ctx, b, subject, d)
		if err != nil {
			return nil, fmt.Errorf("reading the attachment %s: %w", d.Digest, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// attachmentsOf reads one manifest. Its layers are attachments. One with a large layer (a list of materials, say) is left out.
func (c *Client) attachmentsOf(ctx context.Context, b *bringer, subject string, d Descriptor) ([]Attachment, error) {
	text, err := b.bring(ctx, d)
	if err != nil {
		return nil, err
	}
	image, err := readImage(text)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(image.Layers, func(l descriptor) bool { return l.Size < 0 || l.Size > maxAttachment || !IsDigest(string(l.Digest)) }) {
		return nil, nil
	}
	cosign := image.Subject == nil // it came by its tag
	if !cosign && string(image.Subject.Digest) != subject {
		return nil, fmt.Errorf("%w: it is attached to %s", ErrDigest, image.Subject.Digest)
	}
	base := Attachment{Digest: d.Digest, ArtifactType: image.artifactType(), blobs: []blob{{d, text}}}
	if cosign {
		base.ArtifactType = ArtifactTypeCosign
	}
	if config := image.Config.own(); config.Size > 0 && config.Size <= maxAttachment && IsDigest(config.Digest) {
		content, err := b.bring(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("reading its configuration: %w", err)
		}
		base.blobs = append(base.blobs, blob{config, content})
	}
	if len(image.Layers) > c.limits.Attached {
		return nil, fmt.Errorf("%w: %d layers, at most %d are read", ErrTooLarge, len(image.Layers), c.limits.Attached)
	}
	var all []Attachment
	for _, l := range image.Layers {
		layer := l.own()
		a := base
		if a.Data, err = b.bring(ctx, layer); err != nil {
			return nil, fmt.Errorf("reading its layer: %w", err)
		}
		if cosign {
			a.Digest = layer.Digest
		}
		a.MediaType = layer.MediaType
		a.Annotations = merge(image.Annotations, layer.Annotations)
		a.blobs = append(slices.Clone(base.blobs), blob{layer, a.Data})
		all = append(all, a)
	}
	return all, nil
}

// artifactType is the manifest's, or that of its configuration where tools follow the older rule.
func (i *image) artifactType() string {
	return cmp.Or(i.ArtifactType, i.Config.MediaType)
}

func merge(all ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, m := range all {
		maps.Copy(merged, m)
	}
	return merged
}

// Attach puts something beside a manifest that is there already: as a referrer, which registries without that API get as a
// tag besides. Attaching the same twice makes one attachment.
func (c *Client) Attach(ctx context.Context, r Ref, manifestDigest string, a Attachment) (digest string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	subject, err := c.ask(ctx, r.At(manifestDigest))
	if err == nil {
		digest, err = c.attach(ctx, r, subject, a)
	}
	if err != nil {
		return "", fmt.Errorf("attaching to %s: %w", r.At(manifestDigest), err)
	}
	return digest, nil
}

func (c *Client) attach(ctx context.Context, r Ref, subject Descriptor, a Attachment) (string, error) {
	if a.ArtifactType == "" || a.MediaType == "" {
		return "", errors.New("an attachment has an artifact type and a media type")
	}
	if len(a.Data) > maxAttachment {
		return "", fmt.Errorf("%w: an attachment of %d bytes, at most %d are read", ErrTooLarge, len(a.Data), maxAttachment)
	}
	about := ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.theirs().Digest, Size: subject.Size}
	layer := describe(a.MediaType, a.Data)
	config := describe(ocispec.MediaTypeEmptyJSON, emptyConfig)
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: schemaTwo, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: a.ArtifactType, Subject: &about,
		Config: config.theirs(), Layers: []ocispec.Descriptor{layer.theirs()}, Annotations: a.Annotations,
	})
	if err != nil {
		return "", err
	}
	d := describe(ocispec.MediaTypeImageManifest, manifest)
	d.ArtifactType = a.ArtifactType
	return d.Digest, c.send(ctx, r, "", []blob{{config, emptyConfig}, {layer, a.Data}, {d, manifest}})
}
