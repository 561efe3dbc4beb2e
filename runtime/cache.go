package runtime

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/sallyport-dev/sallyport/internal/prune"
)

// cache is where compiled code is kept between starts. Each module has a folder, called by the digest of the module as it
// was given; the time at which a policy last needed it is the folder's.
type cache struct {
	dir    string // "": code is kept in memory only
	limits prune.Limits
}

// newCache makes the folder, so that one that cannot be used is noticed now.
func newCache(o Options) (cache, error) {
	if o.CacheDir == "" {
		return cache{}, nil
	}
	dir, err := filepath.Abs(o.CacheDir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return cache{}, fmt.Errorf("opening the policy cache: %w", err)
	}
	return cache{dir, o.CacheLimits}, nil
}

// folder is where the code of a module lies; "" without a cache on disk.
func (c cache) folder(key moduleKey) string {
	if c.dir == "" {
		return ""
	}
	return filepath.Join(c.dir, hex.EncodeToString(key.wasm[:]))
}

// openCache opens the compiler's cache in a folder, and notes that it is needed now.
func openCache(folder string) (wazero.CompilationCache, error) {
	if folder == "" {
		return wazero.NewCompilationCache(), nil
	}
	code, err := wazero.NewCompilationCacheWithDir(folder)
	if err != nil {
		return nil, fmt.Errorf("opening the policy cache: %w", err)
	}
	return code, needed(folder)
}

func needed(folder string) error {
	now := time.Now()
	if err := os.Chtimes(folder, now, now); err != nil {
		return fmt.Errorf("noting the use of compiled code: %w", err)
	}
	return nil
}

// prune removes what the limits say, and never what is current.
func (c cache) prune(current map[string]bool) error {
	if c.dir == "" || c.limits == (prune.Limits{}) {
		return nil
	}
	var errs []error
	for folder := range current {
		errs = append(errs, needed(folder))
	}
	all, err := c.list()
	if err != nil {
		return err
	}
	remove := func(m prune.Item) error { return os.RemoveAll(m.Name) }
	return errors.Join(append(errs, c.limits.Prune(all, time.Now(), current, remove))...)
}

// list looks at what is in the cache: the folders of modules, and those that earlier versions kept for all modules.
func (c cache) list() (all []prune.Item, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the policy cache: %w", err)
	}
	for _, e := range entries {
		digest, _ := hex.DecodeString(e.Name())
		if !e.IsDir() || len(digest) != len(moduleKey{}.wasm) && !strings.HasPrefix(e.Name(), "wazero-") {
			continue // not ours
		}
		m := prune.Item{Name: filepath.Join(c.dir, e.Name())}
		if m.Bytes, m.Used, err = look(m.Name); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// look says how large a folder is and when it was used. What is gone meanwhile is nothing.
func look(folder string) (bytes int64, used time.Time, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case path == folder:
			used = info.ModTime()
		case info.Mode().IsRegular():
			bytes += info.Size()
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, used, fmt.Errorf("reading the policy cache: %w", err)
	}
	return bytes, used, nil
}
