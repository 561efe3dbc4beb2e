package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// blob is content with its name.
type blob struct {
	descriptor Descriptor
	content    []byte
}

// Pull brings a plugin. What is in the cache is verified and not asked for again: a digest that is there needs no network. A
// tag is resolved by the registry; where that cannot be asked, by what it was when it last could be, and Away says why.
func (c *Client) Pull(ctx context.Context, r Ref) (Artifact, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	a, err := c.pull(ctx, r)
	if err != nil {
		return Artifact{}, fmt.Errorf("pulling %s: %w", r, err)
	}
	return a, nil
}

func (c *Client) pull(ctx context.Context, r Ref) (Artifact, error) {
	d, away, err := c.locate(ctx, r)
	if err != nil {
		return Artifact{}, err
	}
	b := &bringer{client: c, ref: r}
	a, err := b.artifact(ctx, d)
	if err != nil {
		return Artifact{}, errors.Join(err, away)
	}
	a.Ref, a.Away, a.FromCache = r, away, !b.asked
	if err := a.check(); err != nil {
		return Artifact{}, err
	}
	if away == nil && r.Tag != "" && r.Digest == "" {
		if err := c.cache.remember(r, d); err != nil {
			return Artifact{}, err
		}
	}
	return a, nil
}

// locate finds the descriptor of the manifest. away is why the registry could not be asked, where the cache helped out.
func (c *Client) locate(ctx context.Context, r Ref) (d Descriptor, away, err error) {
	if _, err := r.version(); err != nil {
		return Descriptor{}, nil, err
	}
	if r.Digest != "" {
		if d, err := c.cache.manifest(r.Digest); err == nil {
			return d, nil, c.limits.checkManifest(d)
		}
	}
	d, err = c.ask(ctx, r)
	if !errors.Is(err, ErrAway) {
		return d, nil, err
	}
	cached, cacheErr := c.cache.recall(r)
	if cacheErr != nil {
		return Descriptor{}, nil, fmt.Errorf("%w (and %w)", err, cacheErr)
	}
	return cached, err, nil
}

// bringer brings the parts of one artifact, from the cache or from where they are.
type bringer struct {
	client *Client
	ref    Ref
	place  place
	asked  bool // something came from the place
}

// bring returns content that has the digest of d.
func (b *bringer) bring(ctx context.Context, d Descriptor) ([]byte, error) {
	content, cacheErr := b.client.cache.get(d)
	if cacheErr == nil {
		return content, nil
	}
	if b.place == nil {
		p, err := b.client.place(b.ref)
		if err != nil {
			return nil, err
		}
		b.place = p
	}
	content, err := b.place.fetch(ctx, d)
	switch {
	case err != nil && errors.Is(cacheErr, ErrTampered):
		return nil, fmt.Errorf("%w, and fetching it again failed: %w", cacheErr, err)
	case err != nil:
		return nil, err
	}
	b.asked = true
	if err := b.client.cache.put(d, content); err != nil {
		return nil, fmt.Errorf("keeping %s in the cache: %w", d.Digest, err)
	}
	return content, nil
}

// artifact brings the manifest of d, and the module that it leads to.
func (b *bringer) artifact(ctx context.Context, d Descriptor) (Artifact, error) {
	top, err := b.bring(ctx, d)
	if err != nil {
		return Artifact{}, fmt.Errorf("reading the manifest: %w", err)
	}
	a := Artifact{ManifestDigest: d.Digest, Manifest: top, blobs: []blob{{d, top}}}
	image, err := readImage(top)
	if err != nil {
		return Artifact{}, err
	}
	if image.isIndex() {
		chosen, err := image.choose()
		if err != nil {
			return Artifact{}, err
		}
		if err := b.client.limits.checkManifest(chosen); err != nil {
			return Artifact{}, err
		}
		inner, err := b.bring(ctx, chosen)
		if err != nil {
			return Artifact{}, fmt.Errorf("reading the manifest in the index: %w", err)
		}
		a.blobs = append(a.blobs, blob{chosen, inner})
		if image, err = readImage(inner); err != nil {
			return Artifact{}, err
		}
	}
	a.Annotations = image.Annotations
	a.Wasm, err = b.module(ctx, &a, image)
	a.WasmDigest = digestOf(a.Wasm)
	return a, err
}

// module brings the layer with the module, and the configuration that belongs to it.
func (b *bringer) module(ctx context.Context, a *Artifact, image *image) ([]byte, error) {
	layer, kind, err := image.module()
	if err != nil {
		return nil, err
	}
	limits := b.client.limits
	if layer.Size < 0 || layer.Size > limits.Wasm {
		return nil, fmt.Errorf("%w: a layer of %d bytes, at most %d are read", ErrTooLarge, layer.Size, limits.Wasm)
	}
	if config := image.Config.own(); config.Size > 0 && config.Size <= limits.Manifest && IsDigest(config.Digest) {
		content, err := b.bring(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
		a.blobs = append(a.blobs, blob{config, content})
	}
	for _, other := range image.Layers { // what a runtime of Envoy's is told: only carried along
		if d := other.own(); d.Digest != layer.Digest && d.Size > 0 && d.Size <= limits.Manifest && IsDigest(d.Digest) {
			content, err := b.bring(ctx, d)
			if err != nil {
				return nil, fmt.Errorf("reading the runtime's configuration: %w", err)
			}
			a.blobs = append(a.blobs, blob{d, content})
		}
	}
	content, err := b.bring(ctx, layer)
	if err != nil {
		return nil, fmt.Errorf("reading the layer: %w", err)
	}
	a.blobs = append(a.blobs, blob{layer, content})
	return unpack(content, kind, limits.Wasm)
}

// check holds what our own annotations say against what the module says of itself: a list of versions is read from those,
// and must not show another plugin than the one that runs.
func (a Artifact) check() error {
	image, err := readImage(a.Manifest)
	if err != nil || image.ArtifactType != ArtifactType {
		return err
	}
	m, err := said(a.Wasm)
	if err != nil {
		return err
	}
	if name, version := a.Annotations[AnnotationName], a.Annotations[annotationVersion]; name != m.Name || version != m.Version {
		return fmt.Errorf("%w: the registry has it as %q %q, and the module says that it is %q %q", ErrLayout, name, version, m.Name, m.Version)
	}
	return nil
}

// Name is what the plugin is called: as its own manifest does, or as the reference does.
func (a Artifact) Name() string {
	if m, err := manifest.Read(a.Wasm); err == nil {
		return m.Name
	}
	return a.Ref.Base()
}
