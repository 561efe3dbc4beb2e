package registry

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/internal/prune"
)

// need notes that content is needed now, as the time of its file, unless that was noted not long ago.
func (c *cache) need(digest string) {
	name, err := c.file(digest)
	if err != nil {
		return
	}
	now := time.Now()
	if info, err := os.Stat(name); err == nil && now.Sub(info.ModTime()) > prune.Fresh/2 {
		_ = os.Chtimes(name, now, now) // in a cache that cannot be written to nothing is removed either
	}
}

// Prune removes from the cache what the limits say, the oldest first, and never what belongs to the plugins with these digests of
// manifests. Others may pull into the cache meanwhile.
func (c *Client) Prune(needed []string, l prune.Limits) error {
	if c.cache == nil || l == (prune.Limits{}) {
		return nil
	}
	if err := c.cache.prune(c.cache.closure(needed), l, time.Now()); err != nil {
		return fmt.Errorf("pruning the cache of plugins: %w", err)
	}
	return nil
}

// closure is the content that plugins consist of and that is attached to them, by digest.
func (c *cache) closure(manifests []string) map[string]bool {
	needed := map[string]bool{}
	var add func(digest string)
	add = func(digest string) {
		if needed[digest] || !IsDigest(digest) {
			return
		}
		needed[digest] = true
		text, err := c.read(digest, maxManifest)
		if err != nil {
			return // it was never here, or is no manifest
		}
		image, err := readImage(text)
		if err != nil {
			return
		}
		for _, d := range slices.Concat(image.Manifests, image.Layers, []descriptor{image.Config}) {
			add(string(d.Digest))
		}
	}
	for _, digest := range manifests {
		add(digest)
		attached, err := c.recallAttached(digest)
		if err != nil {
			continue // nothing is
		}
		for _, d := range attached {
			add(d.Digest)
		}
	}
	return needed
}

// prune removes content, and then what is noted of content that is not there.
func (c *cache) prune(needed map[string]bool, l prune.Limits, now time.Time) error {
	entries, err := os.ReadDir(c.blobs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	const algorithm = "sha256:"
	var all []prune.Item
	for _, e := range entries {
		info, err := e.Info()
		if digest := algorithm + e.Name(); err == nil && info.Mode().IsRegular() && IsDigest(digest) { // else it is not ours, or gone
			all = append(all, prune.Item{Name: digest, Used: info.ModTime(), Bytes: info.Size()})
		}
	}
	removed := l.Prune(all, now, needed, func(i prune.Item) error {
		err := os.Remove(filepath.Join(c.blobs(), strings.TrimPrefix(i.Name, algorithm)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return errors.Join(removed, c.forget(now))
}

// forget removes notes that lead to no content any more.
func (c *cache) forget(now time.Time) error {
	var errs []error
	for _, folder := range []string{"tags", "attached"} {
		names, _ := filepath.Glob(filepath.Join(c.path, folder, "*.json")) // only a wrong pattern is an error
		for _, name := range names {
			var note struct{ Digest, Subject string }
			info, err := os.Stat(name)
			if err != nil || now.Sub(info.ModTime()) < prune.Fresh || readNote(name, &note) != nil {
				continue
			}
			file, err := c.file(cmp.Or(note.Digest, note.Subject))
			if err != nil {
				continue
			}
			if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, os.Remove(name))
			}
		}
	}
	return errors.Join(errs...)
}
