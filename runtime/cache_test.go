package runtime_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/prune"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// versionOf is a policy that is another module for each number.
func versionOf(n int) []byte {
	return guest(abi.PriceResponse, func(g *w.Guest) []byte { return w.Code(g.SetInt(abi.FieldCost, 0, int64(n)), w.Verdict) })
}

// kept is the folder of the compiled code of a version.
func kept(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256(versionOf(n))))
}

// age makes a folder look as if it had been needed last so long ago.
func age(t *testing.T, folder string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(folder, then, then); err != nil {
		t.Fatal(err)
	}
}

// swapTo loads a version in place of another, which is closed afterwards, as a reload does.
func swapTo(t *testing.T, r *runtime.Runtime, old *runtime.Set, n int) *runtime.Set {
	t.Helper()
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: versionOf(n)}})
	if err != nil {
		t.Fatal(err)
	}
	if old != nil {
		old.Close()
	}
	return set
}

// versionsIn are the versions whose code is kept.
func versionsIn(dir string, upTo int) (versions []int) {
	for n := range upTo + 1 {
		if _, err := os.Stat(kept(dir, n)); err == nil {
			versions = append(versions, n)
		}
	}
	return versions
}

func TestCodeThatNobodyNeedsIsRemoved(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name   string
		limits prune.Limits
		want   []int
	}{
		{"without limits", prune.Limits{}, []int{1, 2, 3, 4, 5}},
		{"for 30 days", prune.Limits{Unused: prune.DefaultUnused}, []int{3, 4, 5}},
		{"and is too much", prune.Limits{Bytes: 1}, []int{4, 5}},
		{"and is not too much", prune.Limits{Unused: 100 * day, Bytes: prune.DefaultBytes}, []int{1, 2, 3, 4, 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRuntime(t, runtime.Options{CacheDir: dir, CacheLimits: test.limits})
			var set *runtime.Set
			for n := 1; n <= 4; n++ {
				set = swapTo(t, r, set, n)
			}
			age(t, kept(dir, 1), 31*day)
			age(t, kept(dir, 2), 40*day)
			age(t, kept(dir, 3), 29*day)
			age(t, kept(dir, 4), 90*day) // it was loaded then, and has been asked ever since
			swapTo(t, r, set, 5).Close()
			if got := versionsIn(dir, 5); !slices.Equal(got, test.want) {
				t.Errorf("the code of %v is left, want %v", got, test.want)
			}
		})
	}
}

// What is beyond the bound goes oldest first, and no more than that.
func TestTheOldestCodeGoesFirst(t *testing.T) {
	dir := t.TempDir()
	r := newRuntime(t, runtime.Options{CacheDir: dir})
	var set *runtime.Set
	for n := 1; n <= 4; n++ {
		set = swapTo(t, r, set, n)
	}
	set.Close()
	size := int64(0)
	files, _ := filepath.Glob(filepath.Join(kept(dir, 1), "*", "*"))
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	for n, hours := range []time.Duration{2, 3, 9, 5} {
		age(t, kept(dir, n+1), hours*time.Hour)
	}
	limits := prune.Limits{Bytes: 3*size + size/2} // three and a half of them, all about as large
	swapTo(t, newRuntime(t, runtime.Options{CacheDir: dir, CacheLimits: limits}), nil, 5).Close()
	if got, want := versionsIn(dir, 5), []int{1, 2, 5}; !slices.Equal(got, want) {
		t.Errorf("the code of %v is left, want %v", got, want)
	}
}

func TestWhatIsNotCodeStays(t *testing.T) {
	dir := t.TempDir()
	old := map[string]bool{"wazero-v1.11.0-amd64-linux": false, "notes": true, "0123": true} // the first is how earlier versions kept it
	for name := range old {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		age(t, filepath.Join(dir, name), 365*24*time.Hour)
	}
	limits := prune.Limits{Unused: time.Hour, Bytes: 1}
	swapTo(t, newRuntime(t, runtime.Options{CacheDir: dir, CacheLimits: limits}), nil, 1).Close()
	for name, stays := range old {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A folder that a policy needs again is new again, although nothing is compiled.
func TestCodeThatIsNeededAgainIsNew(t *testing.T) {
	dir := t.TempDir()
	swapTo(t, newRuntime(t, runtime.Options{CacheDir: dir}), nil, 1).Close()
	age(t, kept(dir, 1), 365*24*time.Hour)
	r := newRuntime(t, runtime.Options{CacheDir: dir, CacheLimits: prune.Limits{Unused: time.Hour * 24}})
	swapTo(t, r, nil, 1).Close()
	swapTo(t, r, nil, 2).Close()
	if got, want := versionsIn(dir, 2), []int{1, 2}; !slices.Equal(got, want) {
		t.Errorf("the code of %v is left, want %v", got, want)
	}
}
