package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that others push. Those of layers with a bare module:
// wasm-to-oci and the first wasm tools wrote the second, Solo's and Istio's "oci" variant is the third.
var wasmLayers = []string{
	MediaTypeWasm,
	"application/vnd.wasm.content.layer.v1+wasm",
	"application/vnd.module.wasm.content.layer.v1+wasm",
}

const (
	mediaTypeRuntimeConfig = "application/vnd.module.wasm.config.v1+json" // the second layer of Istio's "oci" variant
	mediaTypeDockerList    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerImage   = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerLayer   = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	mediaTypeDockerTar     = "application/vnd.docker.image.rootfs.diff.tar"
	pluginFile             = "plugin.wasm" // in an archive, as Istio has it
)

// maxEntries is how many files an archive may have before the module in it.
const maxEntries = 1000

// magicModule is how a core module of version 1 begins, magicComponent how a component does.
const (
	magicModule    = "\x00asm\x01\x00\x00\x00"
	magicComponent = "\x00asm\x0d\x00\x01\x00"
)

// kind is how a layer holds a module.
type kind int

const (
	bare    kind = iota // it is one
	tarball             // it is a tar with plugin.wasm
	gzipped             // it is a compressed tar
)

// image is a manifest or an index, of OCI or of Docker: the fields that are read have the same names.
type image struct {
	MediaType    string                     `json:"mediaType"`
	ArtifactType string                     `json:"artifactType"`
	Config       descriptor                 `json:"config"`
	Layers       []descriptor               `json:"layers"`
	Manifests    []descriptor               `json:"manifests"`
	Subject      *descriptor                `json:"subject"`
	Annotations  map[string]string          `json:"annotations"`
	FSLayers     []struct{ BlobSum string } `json:"fsLayers"` // of Docker's first schema, which has no digests to rely on
}

type descriptor ocispec.Descriptor

func (d descriptor) own() Descriptor {
	return Descriptor{
		MediaType: d.MediaType, Digest: string(d.Digest), Size: d.Size, ArtifactType: d.ArtifactType, Annotations: d.Annotations,
	}
}

func readImage(text []byte) (*image, error) {
	i := &image{}
	if err := json.Unmarshal(text, i); err != nil {
		return nil, fmt.Errorf("%w: its manifest is no JSON: %w", ErrLayout, err)
	}
	if len(i.FSLayers) > 0 {
		return nil, fmt.Errorf("%w: its manifest is of Docker's first schema", ErrLayout)
	}
	if len(i.Manifests) > 0 && len(i.Layers) > 0 {
		return nil, fmt.Errorf("%w: its manifest is an image and an index at once", ErrLayout)
	}
	return i, nil
}

func (i *image) isIndex() bool { return len(i.Manifests) > 0 }

// mediaType is what the document says it is, or what it looks like where it does not say.
func (i *image) mediaType() string {
	switch {
	case i.MediaType != "":
		return i.MediaType
	case i.isIndex():
		return ocispec.MediaTypeImageIndex
	default:
		return ocispec.MediaTypeImageManifest
	}
}

// choose picks the image of an index that is for WebAssembly, or for the platform that Istio pulls, or the only one. What
// builders attach to an index (their attestations have the platform unknown/unknown) is no image.
func (i *image) choose() (Descriptor, error) {
	images := slices.DeleteFunc(slices.Clone(i.Manifests), func(d descriptor) bool {
		return d.Platform != nil && d.Platform.OS == "unknown"
	})
	for _, fits := range []func(p *ocispec.Platform) bool{
		func(p *ocispec.Platform) bool { return p != nil && p.Architecture == "wasm" && p.OS == "wasip1" },
		func(p *ocispec.Platform) bool { return p != nil && p.Architecture == "wasm" },
		func(p *ocispec.Platform) bool { return p != nil && p.OS == "linux" && p.Architecture == "amd64" },
		func(*ocispec.Platform) bool { return true },
	} {
		var found []descriptor
		for _, d := range images {
			if fits(d.Platform) {
				found = append(found, d)
			}
		}
		switch {
		case len(found) == 1:
			return found[0].own(), nil
		case len(found) > 1:
			return Descriptor{}, fmt.Errorf("%w: its index names %d images, and none of them alone is for WebAssembly", ErrLayout, len(found))
		}
	}
	return Descriptor{}, fmt.Errorf("%w: its index names no image", ErrLayout)
}

// module finds the layer that holds the module.
func (i *image) module() (Descriptor, kind, error) {
	switch {
	case len(i.Manifests) > 0:
		return Descriptor{}, 0, fmt.Errorf("%w: its index leads to another index", ErrLayout)
	case len(i.Layers) == 0:
		return Descriptor{}, 0, fmt.Errorf("%w: it has no layer", ErrLayout)
	}
	layers := slices.DeleteFunc(slices.Clone(i.Layers), func(d descriptor) bool {
		return d.MediaType == mediaTypeRuntimeConfig && len(i.Layers) == 2
	})
	if len(layers) != 1 {
		return Descriptor{}, 0, errManyLayers
	}
	layer := layers[0].own()
	if !IsDigest(layer.Digest) {
		return Descriptor{}, 0, fmt.Errorf("%w: the layer's digest %q is no sha256", ErrLayout, layer.Digest)
	}
	switch mediaType := layer.MediaType; {
	case slices.Contains(wasmLayers, mediaType):
		return layer, bare, nil
	case mediaType == ocispec.MediaTypeImageLayerGzip, mediaType == mediaTypeDockerLayer:
		return layer, gzipped, nil
	case mediaType == ocispec.MediaTypeImageLayer, mediaType == mediaTypeDockerTar:
		return layer, tarball, nil
	case strings.HasPrefix(mediaType, "image/"), strings.HasPrefix(mediaType, "text/"):
		return Descriptor{}, 0, fmt.Errorf("%w: its layer is %q", ErrLayout, mediaType)
	default:
		return Descriptor{}, 0, fmt.Errorf("%w: its layer is %q, and what is read is %s, or a tar with %s in it", ErrLayout, mediaType, MediaTypeWasm, pluginFile)
	}
}

// unpack returns the module of a layer. A layer that begins like a module is one, whatever it is called: oras calls each file
// that it is not told the type of a tar.
func unpack(content []byte, k kind, limit int64) ([]byte, error) {
	wasm := content
	if k != bare && !bytes.HasPrefix(content, []byte(magicModule[:4])) {
		var err error
		if wasm, err = fromArchive(content, k, limit); err != nil {
			return nil, err
		}
	}
	switch {
	case bytes.HasPrefix(wasm, []byte(magicModule)):
		return wasm, nil
	case bytes.HasPrefix(wasm, []byte(magicComponent)):
		return nil, fmt.Errorf("%w: it is a component, and policies are core modules", ErrLayout)
	default:
		return nil, fmt.Errorf("%w: its layer holds no WebAssembly module", ErrLayout)
	}
}

// fromArchive finds plugin.wasm. Everything that is unpacked on the way to it counts against the limit, so that a few
// kilobytes cannot become gigabytes of work.
func fromArchive(content []byte, k kind, limit int64) ([]byte, error) {
	var r io.Reader = bytes.NewReader(content)
	if k == gzipped {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("%w: its layer is no gzip: %w", ErrLayout, err)
		}
		r = z
	}
	bounded := &boundedReader{from: r, left: limit + limit/4 + 1<<20} // the module, and the archive around it
	archive := tar.NewReader(bounded)
	for range maxEntries {
		h, err := archive.Next()
		switch {
		case errors.Is(err, ErrTooLarge):
			return nil, fmt.Errorf("unpacking the layer: %w", err)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: the archive in its layer has no %s", ErrLayout, pluginFile)
		case err != nil:
			return nil, fmt.Errorf("%w: its layer is no archive: %w", ErrLayout, err)
		case h.Typeflag != tar.TypeReg || path.Clean("/"+h.Name) != "/"+pluginFile:
			continue
		case h.Size > limit:
			return nil, fmt.Errorf("%w: %s of %d bytes, at most %d are read", ErrTooLarge, pluginFile, h.Size, limit)
		}
		wasm, err := io.ReadAll(archive)
		if err != nil {
			return nil, fmt.Errorf("unpacking the layer: %w", err)
		}
		return wasm, nil
	}
	return nil, fmt.Errorf("%w: the archive in its layer has over %d files", ErrLayout, maxEntries)
}

// boundedReader fails where more is read than expected.
type boundedReader struct {
	from io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w when it is unpacked", ErrTooLarge)
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
