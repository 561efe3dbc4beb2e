package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
)

// refuses pulls, and wants an error of a kind that says something.
func refuses(t *testing.T, c *Client, r Ref, kind error, words ...string) {
	t.Helper()
	a, err := c.Pull(t.Context(), r)
	if !errors.Is(err, kind) {
		t.Errorf("%v, want %v", err, kind)
	}
	for _, word := range words {
		if err != nil && !strings.Contains(err.Error(), word) {
			t.Errorf("%q lacks %q", err, word)
		}
	}
	if a.Wasm != nil {
		t.Error("something came with the error")
	}
	if c.cache != nil {
		whole(t, c.cache.path)
	}
}

// published is a plugin in a registry.
func published(t *testing.T) (*served, Pushed, []byte) {
	t.Helper()
	s := serve(t, true)
	wasm := plugin(t, "x", "1.0.0")
	p, err := client(t, Options{}).Push(t.Context(), s.ref(t, "team/x:1.0.0"), Artifact{Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	return s, p, wasm
}

// answerAs replaces the content of one digest.
func answerAs(digest string, content []byte) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, digest) {
			return false
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
		return true
	}
}

func TestDigestMismatch(t *testing.T) {
	s, p, wasm := published(t)
	c := client(t, Options{CacheDir: t.TempDir()})
	changed := slices.Clone(wasm)
	changed[len(changed)-1] ^= 1
	s.intercept(answerAs(p.WasmDigest, changed))
	refuses(t, c, p.Ref, ErrDigest, "reading the layer", p.WasmDigest)
	refuses(t, client(t, Options{}), p.Ref, ErrDigest, "reading the layer", p.WasmDigest)

	s.intercept(nil)
	a, err := c.Pull(t.Context(), p.Ref)
	if err != nil {
		t.Fatal(err)
	}
	changed = bytes.Replace(a.Manifest, []byte("1.0.0"), []byte("6.6.6"), 1)
	s.intercept(answerAs(p.ManifestDigest, changed))
	refuses(t, client(t, Options{CacheDir: t.TempDir()}), p.Ref, ErrDigest, "reading the manifest", p.ManifestDigest)
}

func TestTruncatedDownload(t *testing.T) {
	s, p, wasm := published(t)
	for name, length := range map[string]string{"cut": strconv.Itoa(len(wasm)), "ended": ""} {
		t.Run(name, func(t *testing.T) {
			s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, p.WasmDigest) || r.Method != http.MethodGet {
					return false
				}
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_, _ = w.Write(wasm[:len(wasm)/2])
				_ = http.NewResponseController(w).Flush()
				if length != "" {
					panic(http.ErrAbortHandler)
				}
				return true
			})
			kind := ErrDigest
			if length != "" {
				kind = ErrAway
			}
			refuses(t, client(t, Options{CacheDir: t.TempDir()}), p.Ref, kind, "ended after")
		})
	}
}

func TestOversizedLayer(t *testing.T) {
	s, p, wasm := published(t)
	small := client(t, Options{CacheDir: t.TempDir(), Limits: Limits{Wasm: int64(len(wasm)) - 1}})
	refuses(t, small, p.Ref, ErrTooLarge, "at most")
	if asked := s.requests(); slices.ContainsFunc(asked, func(a string) bool { return strings.HasSuffix(a, p.WasmDigest) && strings.HasPrefix(a, "GET") }) {
		t.Error("it was downloaded all the same")
	}
	s.intercept(answerAs(p.WasmDigest, append(slices.Clone(wasm), make([]byte, 1<<20)...)))
	refuses(t, client(t, Options{CacheDir: t.TempDir()}), p.Ref, ErrDigest, "announces other content")
}

func TestOversizedManifest(t *testing.T) {
	s, p, _ := published(t)
	refuses(t, client(t, Options{Limits: Limits{Manifest: 10}}), p.Ref, ErrTooLarge, "a manifest of")
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", p.ManifestDigest)
			w.Header().Set("Content-Length", "99999999999")
		}
		return r.Method == http.MethodHead
	})
	refuses(t, client(t, Options{}), p.Ref, ErrTooLarge)
}

// TestContents is about what a layer holds and what a manifest says.
func TestContents(t *testing.T) {
	wasm := plugin(t, "x", "1.0.0")
	oci, config := ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig
	bare := func(content string) []blob {
		return imageOf(t, oci, "", MediaTypeConfig, nil, layerOf(MediaTypeWasm, []byte(content)))
	}
	gz := func(files ...string) []blob {
		return imageOf(t, oci, "", config, nil, layerOf(ocispec.MediaTypeImageLayerGzip, archiveOf(t, true, files...)))
	}
	bomb := strings.Repeat("\x00", 40<<20)
	many := make([]string, 0, 2*maxEntries+4)
	for range maxEntries + 1 {
		many = append(many, "a", "")
	}
	unknown := imageOf(t, oci, "", config, nil, layerOf("application/vnd.oci.image.layer.v1.tar+zstd", wasm))
	lying := imageOf(t, oci, ArtifactType, MediaTypeConfig, map[string]string{AnnotationName: "office-hours", ocispec.AnnotationVersion: "1.0.0"}, layerOf(MediaTypeWasm, wasm))
	for name, c := range map[string]struct {
		image []blob
		kind  error
		words string
	}{
		"not WebAssembly":        {bare("<html>hello</html>"), ErrLayout, "no WebAssembly module"},
		"empty":                  {bare(""), ErrLayout, "no WebAssembly module"},
		"a component":            {bare(magicComponent + "..."), ErrLayout, "is a component"},
		"several layers":         {imageOf(t, oci, "", MediaTypeConfig, nil, layerOf(MediaTypeWasm, wasm), layerOf(MediaTypeWasm, plugin(t, "y", "1.0.0"))), ErrLayout, "several layers"},
		"no layer":               {imageOf(t, oci, "", MediaTypeConfig, nil), ErrLayout, "no layer"},
		"unknown layer":          {unknown, ErrLayout, "tar+zstd"},
		"bomb before the plugin": {gz("padding", bomb, "plugin.wasm", string(wasm)), ErrTooLarge, "unpacking the layer"},
		"bomb as the plugin":     {gz("plugin.wasm", bomb), ErrTooLarge, "at most"},
		"many files":             {gz(append(many, "plugin.wasm", string(wasm))...), ErrLayout, "over 1000 files"},
		"no plugin.wasm":         {gz("main.wasm", string(wasm)), ErrLayout, "has no plugin.wasm"},
		"plugin.wasm in a path":  {gz("../../etc/plugin.wasm", string(wasm), "sub/plugin.wasm", string(wasm)), ErrLayout, "has no plugin.wasm"},
		"text in the archive":    {gz("plugin.wasm", "hello"), ErrLayout, "no WebAssembly module"},
		"no gzip":                {imageOf(t, oci, "", config, nil, layerOf(ocispec.MediaTypeImageLayerGzip, []byte("x"))), ErrLayout, "no gzip"},
		"cut gzip":               {imageOf(t, oci, "", config, nil, layerOf(ocispec.MediaTypeImageLayerGzip, archiveOf(t, true, "plugin.wasm", string(wasm))[:60])), nil, ""},
		"annotations that lie":   {lying, ErrLayout, `the module says that it is "x" "1.0.0"`},
	} {
		t.Run(name, func(t *testing.T) {
			cl := client(t, Options{CacheDir: t.TempDir()})
			r := parse(t, "dir://"+t.TempDir()+"@1")
			put(t, cl, r, c.image)
			if c.kind == nil {
				if _, err := cl.Pull(t.Context(), r); err == nil {
					t.Error("it was taken")
				}
				return
			}
			refuses(t, cl, r, c.kind, c.words)
		})
	}
}

// TestManifests is about documents that are no manifest of a plugin.
func TestManifests(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":        "hello",
		"schema 1":       `{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:00"}]}`,
		"both":           `{"layers":[{"digest":"sha256:00"}],"manifests":[{"digest":"sha256:00"}]}`,
		"sha512":         `{"layers":[{"mediaType":"application/wasm","digest":"sha512:` + strings.Repeat("0", 128) + `","size":3}]}`,
		"a path":         `{"layers":[{"mediaType":"application/wasm","digest":"sha256:../../../../etc/passwd","size":3}]}`,
		"a path inside":  `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":3}]}`,
		"negative sizes": `{"layers":[{"mediaType":"application/wasm","digest":"sha256:` + strings.Repeat("0", 64) + `","size":-3}]}`,
		"wrong types":    `{"layers":{"a":1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, Options{CacheDir: t.TempDir()})
			r := parse(t, "dir://"+t.TempDir()+"@1")
			put(t, c, r, []blob{{describe(ocispec.MediaTypeImageManifest, []byte(text)), []byte(text)}})
			if _, err := c.Pull(t.Context(), r); !errors.Is(err, ErrLayout) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v", err)
			}
			whole(t, c.cache.path)
		})
	}
}

func TestPushRefuses(t *testing.T) {
	c := client(t, Options{})
	var bareModule w.Module
	for name, f := range map[string]struct {
		ref  string
		wasm []byte
		want string
	}{
		"no module":           {"dir:///nowhere/x@1", []byte("hello"), "no WebAssembly module"},
		"a digest":            {"dir:///nowhere/x@sha256:" + strings.Repeat("0", 64), plugin(t, "x", "1.0.0"), "name a tag"},
		"no version anywhere": {"dir:///nowhere/x", bareModule.Bytes(), "names no version"},
	} {
		if _, err := c.Push(t.Context(), parse(t, f.ref), Artifact{Wasm: f.wasm}); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat("/nowhere"); err == nil {
		t.Error("something was written")
	}
}

func TestStatuses(t *testing.T) {
	for status, kind := range map[int]error{
		401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 408: ErrAway, 429: ErrAway, 500: ErrAway, 502: ErrAway, 503: ErrAway,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			s, p, wasm := published(t)
			c := client(t, Options{CacheDir: t.TempDir()})
			tagged := s.ref(t, "team/x:1.0.0")
			if _, err := c.Pull(t.Context(), tagged); err != nil {
				t.Fatal(err)
			}
			s.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"no\u0007 `+strings.Repeat("x", 5000)+`"}]}`)
				return true
			})
			refuses(t, client(t, Options{CacheDir: t.TempDir()}), p.Ref, kind, s.host())
			_, err := c.Resolve(t.Context(), tagged)
			if status != http.StatusNotFound && !strings.Contains(err.Error(), strconv.Itoa(status)) {
				t.Errorf("%q lacks the status", err)
			}
			if !errors.Is(err, kind) || len(err.Error()) > 500 || strings.ContainsRune(err.Error(), '\a') {
				t.Errorf("%v", err)
			}
			a, err := c.Pull(t.Context(), tagged)
			if away := errors.Is(kind, ErrAway); away != (err == nil) || away && (!a.FromCache || !errors.Is(a.Away, ErrAway) || !bytes.Equal(a.Wasm, wasm)) {
				t.Errorf("with a cache: %+v, %v", a.Away, err)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	s, p, _ := published(t)
	failed := map[string]bool{}
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		key := r.Method + r.URL.Path
		if failed[key] {
			return false
		}
		failed[key] = true // requests of one pull come one after the other
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, err := client(t, Options{}).Pull(t.Context(), p.Ref); err != nil {
		t.Error(err)
	}
}

func TestDown(t *testing.T) {
	s, p, wasm := published(t)
	c := client(t, Options{CacheDir: t.TempDir()})
	tagged := s.ref(t, "team/x:1.0.0")
	if _, err := c.Pull(t.Context(), tagged); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Referrers(t.Context(), tagged, p.ManifestDigest, ""); err != nil {
		t.Fatal(err)
	}
	s.leave(t)
	refuses(t, client(t, Options{CacheDir: t.TempDir()}), tagged, ErrAway, "is not in the cache")
	refuses(t, client(t, Options{}), p.Ref, ErrAway, "there is no cache")
	a, err := c.Pull(t.Context(), tagged)
	if err != nil || !a.FromCache || !errors.Is(a.Away, ErrAway) || !bytes.Equal(a.Wasm, wasm) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := c.Referrers(t.Context(), tagged, p.ManifestDigest, ""); err != nil {
		t.Error(err)
	}
	if _, err := c.Tags(t.Context(), tagged); !errors.Is(err, ErrAway) {
		t.Error(err)
	}
}

// TestSlow is a registry that sends a part and then nothing, and one that never begins.
func TestSlow(t *testing.T) {
	s, p, wasm := published(t)
	for name, begins := range map[string]bool{"stops": true, "never begins": false} {
		t.Run(name, func(t *testing.T) {
			s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, p.WasmDigest) || r.Method != http.MethodGet {
					return false
				}
				if begins {
					w.Header().Set("Content-Length", strconv.Itoa(len(wasm)))
					_, _ = w.Write(wasm[:10])
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				return true
			})
			refuses(t, client(t, Options{CacheDir: t.TempDir(), Limits: Limits{Stall: 50 * time.Millisecond}}), p.Ref, ErrAway)
			refuses(t, client(t, Options{CacheDir: t.TempDir(), Limits: Limits{Total: 50 * time.Millisecond}}), p.Ref, ErrAway)
		})
	}
}

// TestStrangeAnswer: what the library says of an answer that it cannot use holds the whole address, and with it, where storage
// was redirected to, a signature that gives access.
func TestStrangeAnswer(t *testing.T) {
	s, p, _ := published(t)
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, r.URL.Path+"?signature=abc", http.StatusTemporaryRedirect)
			return true
		}
		w.Header()["Content-Type"] = nil
		return true
	})
	if _, err := client(t, Options{}).Pull(t.Context(), p.Ref); err == nil || strings.Contains(err.Error(), "signature") {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	s, p, _ := published(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.intercept(func(_ http.ResponseWriter, r *http.Request) bool { cancel(); <-r.Context().Done(); return true }) // until the client has gone
	if _, err := client(t, Options{}).Pull(ctx, p.Ref); !errors.Is(err, context.Canceled) || errors.Is(err, ErrAway) {
		t.Error(err)
	}
}

func TestTamperedCache(t *testing.T) {
	s, p, wasm := published(t)
	dir := t.TempDir()
	c := client(t, Options{CacheDir: dir})
	for _, digest := range []string{p.WasmDigest, p.ManifestDigest} {
		for name, content := range map[string][]byte{"changed": bytes.Repeat([]byte("x"), len(wasm)), "cut": wasm[:20], "grown": make([]byte, 1<<20)} {
			if _, err := c.Pull(t.Context(), p.Ref); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(blobFile(t, dir, digest), content, 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := c.Pull(t.Context(), p.Ref)
			if err != nil || !bytes.Equal(a.Wasm, wasm) || a.FromCache && digest == p.WasmDigest {
				t.Errorf("%s %s: from the cache %v, %v", name, digest, a.FromCache, err)
			}
			whole(t, dir)
		}
	}
	s.leave(t)
	for _, digest := range []string{p.WasmDigest, p.ManifestDigest} {
		before, err := os.ReadFile(blobFile(t, dir, digest))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(blobFile(t, dir, digest), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Pull(t.Context(), p.Ref); !errors.Is(err, ErrTampered) || !errors.Is(err, ErrAway) || a.Wasm != nil {
			t.Errorf("%v", err)
		}
		if err := os.WriteFile(blobFile(t, dir, digest), before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTamperedNotes: what a cache notes of tags and attachments leads only to content that is right.
func TestTamperedNotes(t *testing.T) {
	s, p, _ := published(t)
	dir := t.TempDir()
	c := client(t, Options{CacheDir: dir})
	tagged := s.ref(t, "team/x:1.0.0")
	if _, err := c.Collect(t.Context(), tagged); err != nil {
		t.Fatal(err)
	}
	s.leave(t)
	for _, text := range []string{"", "{", `{"ref":"other","digest":"` + p.ManifestDigest + `"}`, `{"ref":"` + tagged.String() + `","digest":"sha256:../../x"}`} {
		if err := os.WriteFile(c.cache.note("tags", tagged.String()), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, c, tagged, ErrAway)
	}
	note, err := json.Marshal(attachedNote{Subject: p.ManifestDigest, Manifests: []Descriptor{{Digest: "sha256:../x", Size: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.cache.note("attached", p.ManifestDigest), note, 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := c.CachedReferrers(p.ManifestDigest, ""); err == nil {
		t.Errorf("%+v", all)
	}
}

// TestAttachedElsewhere: a registry lists as attached what is about another manifest.
func TestAttachedElsewhere(t *testing.T) {
	s, p, _ := published(t)
	c := client(t, Options{})
	other, err := c.Push(t.Context(), s.ref(t, "team/x:2.0.0"), Artifact{Wasm: plugin(t, "x", "2.0.0")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(t.Context(), p.Ref, other.ManifestDigest, Attachment{ArtifactType: "a/b", MediaType: "text/plain", Data: []byte("sig")}); err != nil {
		t.Fatal(err)
	}
	s.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		r.URL.Path = strings.Replace(r.URL.Path, "/referrers/"+p.ManifestDigest, "/referrers/"+other.ManifestDigest, 1)
		return false
	})
	if all, err := c.Referrers(t.Context(), p.Ref, p.ManifestDigest, ""); !errors.Is(err, ErrDigest) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestBundlesRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	p := parse(t, "dir://"+dir+"/x@1.0.0")
	c := client(t, Options{})
	if _, err := c.Push(t.Context(), p, Artifact{Wasm: plugin(t, "x", "1.0.0")}); err != nil {
		t.Fatal(err)
	}
	b, err := c.Collect(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good.tar")
	if err := WriteLayout(good, []Bundled{b}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	changed := slices.Clone(text)
	changed[bytes.Index(changed, b.Artifact.Wasm)+len(b.Artifact.Wasm)-1] ^= 1
	layout, empty := `{"imageLayoutVersion":"1.0.0"}`, `{"schemaVersion":2,"manifests":[]}`
	for name, f := range map[string]struct {
		file string
		kind error
	}{
		"missing":     {filepath.Join(dir, "none.tar"), ErrNotFound},
		"no archive":  {write("a.tar", bytes.Repeat([]byte("hello"), 1000)), ErrLayout},
		"cut":         {write("b.tar", text[:len(text)/2]), nil},
		"changed":     {write("c.tar", changed), ErrDigest},
		"empty":       {write("d.tar", archiveOf(t, false, "oci-layout", layout, "index.json", empty)), ErrLayout},
		"paths":       {write("e.tar", archiveOf(t, false, "oci-layout", layout, "index.json", empty, "../evil", "x", "blobs/sha256/../../evil", "x")), ErrLayout},
		"too large":   {write("f.tar", archiveOf(t, false, "index.json", strings.Repeat(" ", 17<<20))), ErrTooLarge},
		"not pinned":  {write("g.tar", archiveOf(t, false, "oci-layout", layout, "index.json", `{"manifests":[{"digest":"sha256:../x","size":1}]}`)), ErrLayout},
		"other years": {write("h.tar", archiveOf(t, false, "oci-layout", `{"imageLayoutVersion":"2.0.0"}`, "index.json", empty)), ErrLayout},
	} {
		_, err := ReadLayout(t.Context(), f.file, Limits{})
		if err == nil || f.kind != nil && !errors.Is(err, f.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "evil*")); len(found) > 0 {
		t.Errorf("written: %q", found)
	}
	if err := WriteLayout(filepath.Join(dir, "x"), []Bundled{b}); err == nil {
		t.Error("a folder was written over")
	}
	if err := WriteLayout(filepath.Join(dir, "y"), []Bundled{{}}); err == nil {
		t.Error("nothing was bundled")
	}
}

// TestHalfWritten: a writer that dies leaves a file that nobody reads, and that is swept away a day later.
func TestHalfWritten(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, temporary+"old")
	for _, name := range []string{left, filepath.Join(dir, temporary+"new")} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(left, long, long); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(dir, "a"), []byte("whole")); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if hidden, _ := filepath.Glob(filepath.Join(dir, temporary+"*")); err != nil || len(hidden) != 1 || filepath.Base(hidden[0]) != temporary+"new" {
		t.Errorf("%q and %q are there, %v", names, hidden, err)
	}
	inTheWay := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(inTheWay, []byte("x")); err == nil {
		t.Error("a file took the place of a folder")
	}
	whole(t, filepath.Dir(inTheWay))
}

// TestLayoutFiles: names in an archive decide nothing about where they are written.
func TestLayoutFiles(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for name, want := range map[string]bool{
		"oci-layout": true, "index.json": true, "blobs/sha256/" + hex: true, "blobs/sha256/../../evil": false, "/index.json": false,
		"../index.json": false, "blobs/sha512/" + hex: false, "blobs/sha256/" + hex + "/x": false, "x/blobs/sha256/" + hex: false, "": false,
	} {
		if got, ok := layoutFile(name); ok != want {
			t.Errorf("%q is written to %q: %v", name, got, ok)
		}
	}
}
