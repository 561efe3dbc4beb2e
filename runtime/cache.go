package runtime

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

// CacheLimits say how much compiled code stays in Options.CacheDir that no policy needs now: a policy that was swapped out
// may come back, and is then ready at once. Zero values mean that nothing is removed for that reason.
type CacheLimits struct {
	Unused time.Duration // what no policy has needed for so long is removed
	Bytes  int64         // while there is more than this, what was not needed for longest is removed
}

// The limits that a gateway holds to.
const (
	DefaultCacheUnused = 30 * 24 * time.Hour
	DefaultCacheBytes  = 1 << 30
)

// freshCode is how long code stays whatever the limits say: somebody has just compiled it, and may be about to need it.
const freshCode = time.Hour

// cache is where compiled code is kept between starts. Each module has a folder, called by the digest of the module as it
// was given; the time at which a policy last needed it is the folder's.
type cache struct {
	dir    string // "": code is kept in memory only
	limits CacheLimits
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

// code is the folder of one module in the cache.
type code struct {
	folder string
	used   time.Time
	bytes  int64
}

// prune removes what the limits say, the oldest first, and never what is current.
func (c cache) prune(current map[string]bool) error {
	if c.dir == "" || c.limits == (CacheLimits{}) {
		return nil
	}
	var errs []error
	for folder := range current {
		errs = append(errs, needed(folder))
	}
	all, total, err := c.list()
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b code) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.folder, b.folder)) })
	for _, m := range all {
		unused := time.Since(m.used)
		tooOld := c.limits.Unused > 0 && unused > c.limits.Unused
		tooMuch := c.limits.Bytes > 0 && total > c.limits.Bytes
		if current[m.folder] || unused < freshCode || !tooOld && !tooMuch {
			continue
		}
		errs = append(errs, os.RemoveAll(m.folder))
		total -= m.bytes
	}
	return errors.Join(errs...)
}

// list looks at what is in the cache: the folders of modules, and those that earlier versions kept for all modules.
func (c cache) list() (all []code, total int64, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the policy cache: %w", err)
	}
	for _, e := range entries {
		digest, _ := hex.DecodeString(e.Name())
		if !e.IsDir() || len(digest) != len(moduleKey{}.wasm) && !strings.HasPrefix(e.Name(), "wazero-") {
			continue // not ours
		}
		m := code{folder: filepath.Join(c.dir, e.Name())}
		if m.bytes, m.used, err = look(m.folder); err != nil {
			return nil, 0, err
		}
		all, total = append(all, m), total+m.bytes
	}
	return all, total, nil
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
