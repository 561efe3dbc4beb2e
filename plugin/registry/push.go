package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

const annotationVersion = ocispec.AnnotationVersion

var schemaTwo = specs.Versioned{SchemaVersion: 2}

// created is when everything was made, as far as the layout wants to know: the same module pushed twice has one digest.
const created = "1970-01-01T00:00:00Z"

// configuration is what the CNCF's layout wants of one. Modules have the system wasip1, whatever they import.
type configuration struct {
	Created      string   `json:"created"`
	Author       string   `json:"author,omitempty"`
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	LayerDigests []string `json:"layerDigests"`
}

// Push publishes a module, of which Wasm and, where there is more to say, Annotations are read. Its manifest's facts become
// annotations. A reference without a tag gets the manifest's version as one.
func (c *Client) Push(ctx context.Context, r Ref, a Artifact) (Pushed, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	p, err := c.pushArtifact(ctx, r, a)
	if err != nil {
		return Pushed{}, fmt.Errorf("pushing %s: %w", r, err)
	}
	return p, nil
}

func (c *Client) pushArtifact(ctx context.Context, r Ref, a Artifact) (Pushed, error) {
	if r.Digest != "" {
		return Pushed{}, errors.New("a digest is found by pushing: name a tag")
	}
	m, err := said(a.Wasm)
	if err != nil {
		return Pushed{}, err
	}
	if r.Tag == "" {
		if r.Tag = strings.ReplaceAll(m.Version, "+", "_"); !tagPattern.MatchString(r.Tag) { // tags have no plus
			_, err := r.Repo().version()
			return Pushed{}, err
		}
	}
	blobs, err := pack(a.Wasm, m, a.Annotations, c.limits)
	if err != nil {
		return Pushed{}, err
	}
	if err := c.send(ctx, r, r.Tag, blobs); err != nil {
		return Pushed{}, err
	}
	top := blobs[len(blobs)-1].descriptor.Digest
	r.Digest = top
	return Pushed{Ref: r, ManifestDigest: top, WasmDigest: digestOf(a.Wasm)}, nil
}

// said is what a module says of itself; one without a manifest says nothing.
func said(wasm []byte) (*manifest.Manifest, error) {
	m, err := manifest.Read(wasm)
	if errors.Is(err, manifest.ErrNone) {
		return &manifest.Manifest{}, nil
	}
	return m, err
}

// pack makes the contents of an artifact, the manifest last.
func pack(wasm []byte, m *manifest.Manifest, extra map[string]string, limits Limits) ([]blob, error) {
	if int64(len(wasm)) > limits.Wasm {
		return nil, fmt.Errorf("%w: a module of %d bytes, at most %d are read", ErrTooLarge, len(wasm), limits.Wasm)
	}
	if _, err := unpack(wasm, bare, limits.Wasm); err != nil {
		return nil, err
	}
	layer := describe(MediaTypeWasm, wasm)
	configText, err := json.Marshal(configuration{
		Created: created, Author: m.Author, Architecture: "wasm", OS: "wasip1", LayerDigests: []string{layer.Digest},
	})
	if err != nil {
		return nil, err
	}
	config := describe(MediaTypeConfig, configText)
	annotations := maps.Clone(extra)
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, facts(m))
	titled := layer.theirs()
	if m.Name != "" { // oras writes the layer to a file of this name
		titled.Annotations = map[string]string{ocispec.AnnotationTitle: m.Name + ".wasm"}
	}
	text, err := json.Marshal(ocispec.Manifest{
		Versioned: schemaTwo, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: ArtifactType,
		Config: config.theirs(), Layers: []ocispec.Descriptor{titled}, Annotations: annotations,
	})
	if err != nil {
		return nil, err
	}
	top := describe(ocispec.MediaTypeImageManifest, text)
	top.ArtifactType = ArtifactType
	return []blob{{config, configText}, {layer, wasm}, {top, text}}, nil
}

// facts are what a manifest says, as annotations: the common ones where there are some, ours for the rest.
func facts(m *manifest.Manifest) map[string]string {
	all := map[string]string{
		AnnotationName:                m.Name,
		AnnotationHooks:               strings.Join(m.Hooks, ","),
		AnnotationToolchain:           m.Toolchain,
		ocispec.AnnotationTitle:       m.Name,
		ocispec.AnnotationVersion:     m.Version,
		ocispec.AnnotationDescription: m.Description,
		ocispec.AnnotationAuthors:     m.Author,
		ocispec.AnnotationLicenses:    m.Licence,
		ocispec.AnnotationSource:      m.Source,
		ocispec.AnnotationRevision:    m.Revision,
	}
	if m.ABI != 0 {
		all[AnnotationABI] = strconv.Itoa(m.ABI)
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// send puts contents into a place: blobs first, then manifests, so that whoever sees a manifest finds what it names. The last
// one gets the tag.
func (c *Client) send(ctx context.Context, r Ref, tag string, blobs []blob) error {
	p, err := c.place(r)
	if err != nil {
		return err
	}
	var manifests []blob
	for _, b := range blobs {
		if isManifest(b.descriptor.MediaType) {
			manifests = append(manifests, b)
			continue
		}
		if err := p.push(ctx, b.descriptor, b.content); err != nil {
			return err
		}
	}
	for i, b := range manifests {
		name := ""
		if i == len(manifests)-1 {
			name = tag
		}
		if err := p.publish(ctx, b.descriptor, b.content, name); err != nil {
			return err
		}
	}
	return nil
}

func isManifest(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, mediaTypeDockerImage, mediaTypeDockerList:
		return true
	}
	return false
}

func describe(mediaType string, content []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: digestOf(content), Size: int64(len(content))}
}

// theirs is a descriptor as the libraries have it.
func (d Descriptor) theirs() ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size, ArtifactType: d.ArtifactType, Annotations: d.Annotations,
	}
}
