package registry

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/prune"
)

// age makes all content and all notes of a cache older.
func age(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	for _, pattern := range []string{"blobs/sha256/*", "tags/*", "attached/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			then := info.ModTime().Add(-by)
			if err := os.Chtimes(name, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// cachedPlugin publishes a plugin with something attached to it, and brings both into a cache.
func cachedPlugin(t *testing.T, s *served, c *Client, name string) Pushed {
	t.Helper()
	p, err := c.Push(t.Context(), s.ref(t, "team/"+name), Artifact{Wasm: plugin(t, name, "1.0.0")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(t.Context(), p.Ref, p.ManifestDigest, Attachment{ArtifactType: "a/x", MediaType: "a/y", Data: []byte(name)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Collect(t.Context(), s.ref(t, "team/"+name+":1.0.0")); err != nil {
		t.Fatal(err)
	}
	return p
}

// isCached says whether all of a plugin is in a cache, or nothing of it.
func isCached(t *testing.T, dir string, p Pushed) bool {
	t.Helper()
	c := client(t, Options{CacheDir: dir})
	attached, err := c.CachedReferrers(p.ManifestDigest, "")
	hasAttached := err == nil && len(attached) == 1 && bytes.Equal(attached[0].Data, []byte(p.Ref.Base()))
	_, manifestErr := c.cache.read(p.ManifestDigest, maxManifest)
	_, wasmErr := c.cache.read(p.WasmDigest, maxManifest)
	if has := manifestErr == nil; has != hasAttached || has != (wasmErr == nil) {
		t.Errorf("of %s the manifest: %v, the module: %v, what is attached: %v (%v)", p.Ref, manifestErr, wasmErr, hasAttached, err)
	}
	return manifestErr == nil
}

func TestPrune(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		limits prune.Limits
		ages   [3]time.Duration // of the needed one, an old one and a newer one
		kept   [3]bool
	}{
		"without limits":     {prune.Limits{}, [3]time.Duration{90 * day, 90 * day, 90 * day}, [3]bool{true, true, true}},
		"for 30 days":        {prune.Limits{Unused: 30 * day}, [3]time.Duration{90 * day, 31 * day, 29 * day}, [3]bool{true, false, true}},
		"too much":           {prune.Limits{Bytes: 1}, [3]time.Duration{90 * day, 2 * day, day}, [3]bool{true, false, false}},
		"pulled a while ago": {prune.Limits{Bytes: 1, Unused: time.Minute}, [3]time.Duration{0, day, time.Minute}, [3]bool{true, false, true}},
		"not too much":       {prune.Limits{Bytes: 1 << 30, Unused: 100 * day}, [3]time.Duration{99 * day, 99 * day, 99 * day}, [3]bool{true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := serve(t, true), t.TempDir()
			c := client(t, Options{CacheDir: dir})
			var all [3]Pushed
			for i, name := range []string{"needed", "old", "newer"} {
				all[i] = cachedPlugin(t, s, c, name)
				if i < 2 {
					age(t, dir, test.ages[i]-test.ages[i+1])
				}
			}
			age(t, dir, test.ages[2])
			s.leave(t)
			if err := c.Prune([]string{all[0].ManifestDigest}, test.limits); err != nil {
				t.Fatal(err)
			}
			for i, p := range all {
				if isCached(t, dir, p) != test.kept[i] {
					t.Errorf("%s is there: %v", p.Ref, !test.kept[i])
				}
			}
			notes, err := filepath.Glob(filepath.Join(dir, "tags", "*"))
			if err != nil {
				t.Fatal(err)
			}
			kept := 0
			for _, k := range test.kept {
				if k {
					kept++
				}
			}
			if len(notes) != kept {
				t.Errorf("%d plugins are left, and %d notes of tags", kept, len(notes))
			}
		})
	}
}

// What is read is needed: it does not grow old.
func TestReadingKeepsContentYoung(t *testing.T) {
	s, dir := serve(t, true), t.TempDir()
	c := client(t, Options{CacheDir: dir})
	read, unread := cachedPlugin(t, s, c, "read"), cachedPlugin(t, s, c, "unread")
	age(t, dir, 48*time.Hour)
	s.leave(t)
	if _, err := c.Pull(t.Context(), read.Ref); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CachedReferrers(read.ManifestDigest, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Prune(nil, prune.Limits{Unused: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if !isCached(t, dir, read) || isCached(t, dir, unread) {
		t.Error("what was read just now has to stay, and nothing else")
	}
}

func TestPruneOfNothing(t *testing.T) {
	for _, dir := range []string{"", t.TempDir(), filepath.Join(t.TempDir(), "not", "there")} {
		if err := client(t, Options{CacheDir: dir}).Prune(nil, prune.Limits{Bytes: 1}); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
}
