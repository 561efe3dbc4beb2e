package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
)

// places runs a test against each kind of place: a registry with referrers, one without, and a folder.
func places(t *testing.T, f func(t *testing.T, repo Ref)) {
	t.Run("registry with referrers", func(t *testing.T) { f(t, serve(t, true).ref(t, "team/office-hours")) })
	t.Run("registry without referrers", func(t *testing.T) { f(t, serve(t, false).ref(t, "team/office-hours")) })
	t.Run("folder", func(t *testing.T) { f(t, parse(t, "dir://"+t.TempDir()+"/office-hours")) })
}

func TestPushAndPull(t *testing.T) {
	places(t, func(t *testing.T, repo Ref) {
		c := client(t, Options{CacheDir: t.TempDir()})
		wasm := plugin(t, "office-hours", "1.2.0")
		pushed, err := c.Push(t.Context(), repo, Artifact{Wasm: wasm})
		if err != nil {
			t.Fatal(err)
		}
		if pushed.Ref.Tag != "1.2.0" || pushed.Ref.Digest != pushed.ManifestDigest || pushed.WasmDigest != digestOf(wasm) {
			t.Errorf("%+v", pushed)
		}
		tagged := repo
		tagged.Tag = "1.2.0"
		for _, r := range []Ref{tagged, repo.At(pushed.ManifestDigest), pushed.Ref} {
			a, err := c.Pull(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Wasm, wasm) || a.ManifestDigest != pushed.ManifestDigest || a.WasmDigest != pushed.WasmDigest ||
				a.Ref != r || a.Away != nil || a.Name() != "office-hours" || digestOf(a.Manifest) != a.ManifestDigest {
				t.Errorf("%s: %+v", r, a)
			}
			if a.Annotations[AnnotationHooks] != "authenticate" || a.Annotations[AnnotationABI] != "1" ||
				a.Annotations[ocispec.AnnotationAuthors] != "Team A" || a.Annotations[ocispec.AnnotationRevision] != "0123abc" {
				t.Errorf("annotations %v", a.Annotations)
			}
		}
		d, err := c.Resolve(t.Context(), tagged)
		if err != nil || d.Digest != pushed.ManifestDigest || d.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("resolved %+v, %v", d, err)
		}
		again, err := c.Push(t.Context(), tagged, Artifact{Wasm: wasm})
		if err != nil || again.ManifestDigest != pushed.ManifestDigest {
			t.Errorf("the same module got another digest: %+v, %v", again, err)
		}
	})
}

// TestManifestIsTheCNCFsLayout pins what other tools rely on.
func TestManifestIsTheCNCFsLayout(t *testing.T) {
	dir := t.TempDir()
	c := client(t, Options{})
	wasm := plugin(t, "office-hours", "1.2.0+b1")
	pushed, err := c.Push(t.Context(), parse(t, "dir://"+dir), Artifact{Wasm: wasm, Annotations: map[string]string{"team": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if pushed.Ref.Tag != "1.2.0_b1" {
		t.Errorf("the tag is %q", pushed.Ref.Tag)
	}
	a, err := c.Pull(t.Context(), pushed.Ref)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(a.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != ArtifactType || m.Config.MediaType != "application/vnd.wasm.config.v0+json" || len(m.Layers) != 1 ||
		m.Layers[0].MediaType != "application/wasm" || m.Layers[0].Annotations[ocispec.AnnotationTitle] != "office-hours.wasm" || m.Annotations["team"] != "a" {
		t.Errorf("%s", a.Manifest)
	}
	config, err := os.ReadFile(blobFile(t, dir, string(m.Config.Digest)))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"created":"1970-01-01T00:00:00Z","author":"Team A","architecture":"wasm","os":"wasip1","layerDigests":[%q]}`, digestOf(wasm))
	if string(config) != want {
		t.Errorf("the configuration is %s, want %s", config, want)
	}
}

func TestTags(t *testing.T) {
	places(t, func(t *testing.T, repo Ref) {
		c := client(t, Options{})
		var last Pushed
		for _, tag := range []string{"1.10.0", "1.2.0", "latest", "1.2.0-rc.2", "v2.0", "1.2.0-rc.10"} {
			r := repo
			r.Tag = tag
			var err error
			if last, err = c.Push(t.Context(), r, Artifact{Wasm: plugin(t, "office-hours", "1.2.0")}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Attach(t.Context(), repo, last.ManifestDigest, Attachment{ArtifactType: "a/b", MediaType: "text/plain", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		tags, err := c.Tags(t.Context(), repo)
		want := []string{"1.2.0-rc.2", "1.2.0-rc.10", "1.2.0", "1.10.0", "v2.0", "latest"}
		if err != nil || !slices.Equal(tags, want) {
			t.Errorf("%q, want %q, %v", tags, want, err)
		}
	})
}

func TestTagMoves(t *testing.T) {
	places(t, func(t *testing.T, repo Ref) {
		c := client(t, Options{CacheDir: t.TempDir()})
		repo.Tag = "latest"
		for _, version := range []string{"1.0.0", "1.1.0", "1.0.0"} {
			if _, err := c.Push(t.Context(), repo, Artifact{Wasm: plugin(t, "office-hours", version)}); err != nil {
				t.Fatal(err)
			}
			a, err := c.Pull(t.Context(), repo)
			if err != nil || a.Annotations[ocispec.AnnotationVersion] != version {
				t.Errorf("after %s came %s, %v", version, a.Annotations[ocispec.AnnotationVersion], err)
			}
		}
	})
}

func TestAttachments(t *testing.T) {
	places(t, func(t *testing.T, repo Ref) {
		cacheDir := t.TempDir()
		c := client(t, Options{CacheDir: cacheDir})
		pushed, err := c.Push(t.Context(), repo, Artifact{Wasm: plugin(t, "office-hours", "1.2.0")})
		if err != nil {
			t.Fatal(err)
		}
		none, err := c.Referrers(t.Context(), repo, pushed.ManifestDigest, "")
		if err != nil || len(none) != 0 {
			t.Fatalf("%v, %v", none, err)
		}
		signature := Attachment{ArtifactType: "application/x.signature", MediaType: "text/x.sig", Data: []byte("one"), Annotations: map[string]string{"key": "7"}}
		for _, a := range []Attachment{signature, signature, {ArtifactType: "application/x.list", MediaType: "text/plain", Data: []byte("two")}} {
			if _, err := c.Attach(t.Context(), repo, pushed.ManifestDigest, a); err != nil {
				t.Fatal(err)
			}
		}
		cosign(t, c, repo, pushed.ManifestDigest)
		all, err := c.Referrers(t.Context(), repo, pushed.ManifestDigest, "")
		if err != nil || len(all) != 4 {
			t.Errorf("%d attachments, %v", len(all), err)
		}
		one, err := c.Referrers(t.Context(), repo, pushed.ManifestDigest, "application/x.signature")
		if err != nil || len(one) != 1 || string(one[0].Data) != "one" || one[0].Annotations["key"] != "7" || one[0].MediaType != "text/x.sig" {
			t.Errorf("%+v, %v", one, err)
		}
		signed, err := c.Referrers(t.Context(), repo, pushed.ManifestDigest, ArtifactTypeCosign)
		if err != nil || len(signed) != 2 || string(signed[1].Data) != "payload 2" || signed[1].Annotations["dev.cosignproject.cosign/signature"] != "sig 2" {
			t.Errorf("%+v, %v", signed, err)
		}
		cached, err := c.CachedReferrers(pushed.ManifestDigest, "")
		if err != nil || len(cached) != 4 {
			t.Errorf("in the cache: %d, %v", len(cached), err)
		}
		whole(t, cacheDir)
	})
}

// cosign puts two signatures where cosign puts them.
func cosign(t *testing.T, c *Client, repo Ref, digest string) {
	t.Helper()
	repo.Tag = cosignTag(digest)
	var layers []blob
	for _, n := range []string{"1", "2"} {
		l := layerOf("application/vnd.dev.cosign.simplesigning.v1+json", []byte("payload "+n))
		l.descriptor.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "sig " + n}
		layers = append(layers, l)
	}
	put(t, c, repo, imageOf(t, ocispec.MediaTypeImageManifest, "", ocispec.MediaTypeImageConfig, nil, layers...))
}

// TestLayouts pulls what other tools push.
func TestLayouts(t *testing.T) {
	wasm := plugin(t, "office-hours", "1.2.0")
	oci, docker := ocispec.MediaTypeImageManifest, mediaTypeDockerImage
	gz := archiveOf(t, true, "runtime-config.json", "{}", "./plugin.wasm", string(wasm))
	for name, image := range map[string][]blob{
		"wkg":                imageOf(t, oci, "", MediaTypeConfig, nil, layerOf(MediaTypeWasm, wasm)),
		"oras with a type":   imageOf(t, oci, "application/x", ocispec.MediaTypeEmptyJSON, nil, layerOf(MediaTypeWasm, wasm)),
		"oras without types": imageOf(t, oci, "application/vnd.unknown.artifact.v1", ocispec.MediaTypeEmptyJSON, nil, layerOf(ocispec.MediaTypeImageLayer, wasm)),
		"wasm-to-oci":        imageOf(t, oci, "", "application/vnd.wasm.config.v1+json", nil, layerOf("application/vnd.wasm.content.layer.v1+wasm", wasm)),
		"Istio oci": imageOf(t, oci, "", "application/vnd.unknown.config.v1+json", nil,
			layerOf("application/vnd.module.wasm.config.v1+json", []byte(`{"type":"envoy_proxy"}`)), layerOf("application/vnd.module.wasm.content.layer.v1+wasm", wasm)),
		"Istio compat": imageOf(t, oci, "", ocispec.MediaTypeImageConfig, map[string]string{"module.wasm.image/variant": "compat"}, layerOf(ocispec.MediaTypeImageLayerGzip, gz)),
		"Docker":       imageOf(t, docker, "", "application/vnd.docker.container.image.v1+json", nil, layerOf(mediaTypeDockerLayer, gz)),
		"a bare tar":   imageOf(t, oci, "", ocispec.MediaTypeImageConfig, nil, layerOf(ocispec.MediaTypeImageLayer, archiveOf(t, false, "plugin.wasm", string(wasm)))),
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, Options{CacheDir: t.TempDir()})
			r := serve(t, true).ref(t, "team/x:1")
			digest := put(t, c, r, image)
			a, err := c.Pull(t.Context(), r)
			if err != nil || !bytes.Equal(a.Wasm, wasm) || a.ManifestDigest != digest || a.WasmDigest != digestOf(wasm) {
				t.Fatalf("%+v, %v", a, err)
			}
			if a, err = c.Pull(t.Context(), r.At(digest)); err != nil || !a.FromCache || !bytes.Equal(a.Wasm, wasm) {
				t.Errorf("from the cache: %+v, %v", a, err)
			}
		})
	}
}

// TestIndex pulls an image that a builder for several platforms pushed, with its attestations.
func TestIndex(t *testing.T) {
	wasm := plugin(t, "office-hours", "1.2.0")
	image := imageOf(t, ocispec.MediaTypeImageManifest, "", MediaTypeConfig, nil, layerOf(MediaTypeWasm, wasm))
	other := imageOf(t, ocispec.MediaTypeImageManifest, "", MediaTypeConfig, nil, layerOf("text/plain", []byte("x")))
	line := func(b []blob, os, arch string) ocispec.Descriptor {
		d := b[len(b)-1].descriptor.theirs()
		d.Platform = &ocispec.Platform{OS: os, Architecture: arch}
		return d
	}
	for name, c := range map[string]struct {
		lines []ocispec.Descriptor
		ok    bool
	}{
		"with an attestation":  {[]ocispec.Descriptor{line(image, "linux", "arm64"), line(other, "unknown", "unknown")}, true},
		"for WebAssembly":      {[]ocispec.Descriptor{line(other, "linux", "amd64"), line(image, "wasip1", "wasm")}, true},
		"for Istio":            {[]ocispec.Descriptor{line(other, "linux", "arm64"), line(image, "linux", "amd64")}, true},
		"of none that is ours": {[]ocispec.Descriptor{line(other, "linux", "arm64"), line(image, "linux", "s390x")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(ocispec.Index{Versioned: schemaTwo, MediaType: ocispec.MediaTypeImageIndex, Manifests: c.lines})
			if err != nil {
				t.Fatal(err)
			}
			cl := client(t, Options{CacheDir: t.TempDir()})
			r := serve(t, true).ref(t, "x:1")
			digest := put(t, cl, r, slices.Concat(image, other, []blob{{describe(ocispec.MediaTypeImageIndex, text), text}}))
			a, err := cl.Pull(t.Context(), r)
			if !c.ok {
				if !errors.Is(err, ErrLayout) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || a.ManifestDigest != digest || !bytes.Equal(a.Wasm, wasm) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// TestOrasReadsWhatWePush copies, with the library that the oras tool is made of, a plugin with its signature to a folder, and
// reads that folder.
func TestOrasReadsWhatWePush(t *testing.T) {
	s := serve(t, true)
	c := client(t, Options{})
	wasm := plugin(t, "office-hours", "1.2.0")
	pushed, err := c.Push(t.Context(), s.ref(t, "team/x:1.2.0"), Artifact{Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(t.Context(), pushed.Ref, pushed.ManifestDigest, Attachment{ArtifactType: "a/b", MediaType: "text/plain", Data: []byte("sig")}); err != nil {
		t.Fatal(err)
	}
	repo, err := remote.NewRepository(s.host() + "/team/x")
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	dir := t.TempDir()
	store, err := oci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oras.ExtendedCopy(t.Context(), repo, "1.2.0", store, "1.2.0", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatal(err)
	}
	b, err := c.Collect(t.Context(), parse(t, "dir://"+dir+"@1.2.0"))
	if err != nil || !bytes.Equal(b.Artifact.Wasm, wasm) || len(b.Attachments) != 1 || string(b.Attachments[0].Data) != "sig" {
		t.Errorf("%+v, %v", b, err)
	}
	ours := filepath.Join(t.TempDir(), "ours")
	if err := WriteLayout(ours, []Bundled{b}); err != nil {
		t.Fatal(err)
	}
	back, err := oci.NewFromFS(t.Context(), os.DirFS(ours))
	if err != nil {
		t.Fatal(err)
	}
	d, err := back.Resolve(t.Context(), "1.2.0")
	if err != nil || string(d.Digest) != pushed.ManifestDigest {
		t.Errorf("oras resolves %v, %v", d, err)
	}
	if about, err := back.Predecessors(t.Context(), d); err != nil || len(about) != 1 {
		t.Errorf("oras finds %v attached, %v", about, err)
	}
}

func TestBundle(t *testing.T) {
	for _, ext := range []string{"", ".tar"} {
		t.Run("bundle"+ext, func(t *testing.T) {
			s := serve(t, true)
			c := client(t, Options{CacheDir: t.TempDir()})
			var bundle []Bundled
			for _, name := range []string{"one", "two"} {
				r := s.ref(t, "team/"+name+":1.0.0")
				pushed, err := c.Push(t.Context(), r, Artifact{Wasm: plugin(t, name, "1.0.0")})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Attach(t.Context(), r, pushed.ManifestDigest, Attachment{ArtifactType: "a/b", MediaType: "text/plain", Data: []byte("sig " + name)}); err != nil {
					t.Fatal(err)
				}
				cosign(t, c, r, pushed.ManifestDigest)
				b, err := c.Collect(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				bundle = append(bundle, b)
			}
			file := filepath.Join(t.TempDir(), "b"+ext)
			if err := WriteLayout(file, bundle); err != nil {
				t.Fatal(err)
			}
			s.leave(t)
			carried(t, file, bundle)
		})
	}
}

// carried brings a bundle to a client without a network.
func carried(t *testing.T, file string, bundle []Bundled) {
	t.Helper()
	read, err := ReadLayout(t.Context(), file, Limits{})
	if err != nil || len(read) != len(bundle) {
		t.Fatalf("%d plugins, %v", len(read), err)
	}
	far := client(t, Options{CacheDir: t.TempDir()})
	if err := far.Import(read); err != nil {
		t.Fatal(err)
	}
	for _, b := range bundle {
		a, err := far.Pull(t.Context(), b.Artifact.Ref)
		if err != nil || !bytes.Equal(a.Wasm, b.Artifact.Wasm) || !a.FromCache || !errors.Is(a.Away, ErrAway) {
			t.Errorf("%+v, %v", a, err)
		}
		attached, err := far.CachedReferrers(a.ManifestDigest, "")
		if err != nil || len(attached) != 3 {
			t.Errorf("%d attachments, %v", len(attached), err)
		}
		to := parse(t, "dir://"+t.TempDir()+"/x")
		if err := far.Send(t.Context(), to, b); err != nil {
			t.Fatal(err)
		}
		to.Tag = "1.0.0"
		sent, err := far.Collect(t.Context(), to)
		if err != nil || sent.Artifact.ManifestDigest != b.Artifact.ManifestDigest || len(sent.Attachments) != 3 {
			t.Errorf("sent: %+v, %v", sent, err)
		}
	}
	again := filepath.Join(t.TempDir(), "again"+filepath.Ext(file))
	if err := WriteLayout(again, read); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".tar") {
		before, _ := os.ReadFile(file)
		if after, err := os.ReadFile(again); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the same bundle has other bytes, %v", err)
		}
	}
}

func TestCachedDigestNeedsNoNetwork(t *testing.T) {
	s := serve(t, true)
	c := client(t, Options{CacheDir: t.TempDir()})
	pushed, err := c.Push(t.Context(), s.ref(t, "x:1"), Artifact{Wasm: plugin(t, "x", "1.0.0")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pull(t.Context(), pushed.Ref); err != nil {
		t.Fatal(err)
	}
	s.requests()
	a, err := c.Pull(t.Context(), pushed.Ref)
	if asked := s.requests(); err != nil || !a.FromCache || a.Away != nil || len(asked) > 0 {
		t.Errorf("asked for %q, %+v, %v", asked, a.Away, err)
	}
}

// TestTwoAtOnceIntoOneCache is two gateways that start together, many times.
func TestTwoAtOnceIntoOneCache(t *testing.T) {
	s := serve(t, true)
	dir := t.TempDir()
	wasm := plugin(t, "x", "1.0.0")
	if _, err := client(t, Options{}).Push(t.Context(), s.ref(t, "x:1"), Artifact{Wasm: wasm}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		c := client(t, Options{CacheDir: dir})
		wg.Go(func() {
			for range 5 {
				if a, err := c.Pull(context.Background(), s.ref(t, "x:1")); err != nil || !bytes.Equal(a.Wasm, wasm) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
	whole(t, dir)
}

// TestTwoAtOnceIntoOneFolder loses no line of the index.
func TestTwoAtOnceIntoOneFolder(t *testing.T) {
	repo := parse(t, "dir://"+t.TempDir()+"/x")
	var wg sync.WaitGroup
	for n := range 12 {
		c := client(t, Options{})
		wg.Go(func() {
			r := repo
			r.Tag = fmt.Sprintf("1.%d.0", n)
			if _, err := c.Push(context.Background(), r, Artifact{Wasm: plugin(t, "x", r.Tag)}); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	tags, err := client(t, Options{}).Tags(t.Context(), repo)
	if err != nil || len(tags) != 12 {
		t.Errorf("%q, %v", tags, err)
	}
	whole(t, repo.Path)
}

func TestProgress(t *testing.T) {
	s := serve(t, true)
	var mu sync.Mutex
	seen := map[bool]int64{}
	wasm := plugin(t, "x", "1.0.0")
	c := client(t, Options{Progress: func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Size == int64(len(wasm)) {
			seen[p.Push] = p.Done
		}
	}})
	if _, err := c.Push(t.Context(), s.ref(t, "x:1"), Artifact{Wasm: wasm}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pull(t.Context(), s.ref(t, "x:1")); err != nil {
		t.Fatal(err)
	}
	if n := int64(len(wasm)); seen[true] != n || seen[false] != n {
		t.Errorf("%v of %d bytes", seen, n)
	}
}

// TestIndexKeepsAllNames: attaching, and sending what is there, take no name away; a moved one stands once.
func TestIndexKeepsAllNames(t *testing.T) {
	c := client(t, Options{})
	repo := parse(t, "dir://"+t.TempDir()+"/x")
	named := func(tag, version string) Pushed {
		r := repo
		r.Tag = tag
		p, err := c.Push(t.Context(), r, Artifact{Wasm: plugin(t, "x", version)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := named("1.0.0", "1.0.0")
	named("latest", "1.0.0")
	a, err := c.Pull(t.Context(), first.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.send(t.Context(), repo, "", a.blobs); err != nil {
		t.Fatal(err)
	}
	if tags, err := c.Tags(t.Context(), repo); err != nil || !slices.Equal(tags, []string{"1.0.0", "latest"}) {
		t.Errorf("%q, %v", tags, err)
	}
	second := named("latest", "1.1.0")
	for tag, want := range map[string]string{"1.0.0": first.ManifestDigest, "latest": second.ManifestDigest} {
		r := repo
		r.Tag = tag
		if d, err := c.Resolve(t.Context(), r); err != nil || d.Digest != want {
			t.Errorf("%s is %s, %v", tag, d.Digest, err)
		}
	}
}
