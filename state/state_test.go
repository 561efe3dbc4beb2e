package state

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// plenty is a disk that is never full.
func plenty(string) (uint64, error) { return 1 << 40, nil }

// openState opens dir for the length of a test.
func openState(t testing.TB, dir string, opts Options) *State {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Free == nil {
		opts.Free = plenty
	}
	if opts.Ballast == 0 {
		opts.Ballast = -1
	}
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeState(t, s) })
	return s
}

func closeState(t testing.TB, s *State) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// logged is a logger whose lines a test can read.
func logged() (*slog.Logger, *testutil.Log) {
	lines := new(testutil.Log)
	return slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelInfo})), lines
}

func TestOneProcessHasTheFolder(t *testing.T) {
	dir := t.TempDir()
	first := openState(t, dir, Options{})
	if _, err := Open(dir, Options{Free: plenty}); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open returns %v, want %v", err, ErrLocked)
	}
	closeState(t, first)
	openState(t, dir, Options{})
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no such device")
	tests := []struct {
		name string
		dir  string
		free func(string) (uint64, error)
		want error // nil: any
	}{
		{"a file", file, plenty, nil},
		{"a full disk", t.TempDir(), func(string) (uint64, error) { return spaceToOpen - 1, nil }, ErrDiskFull},
		{"a disk that does not answer", t.TempDir(), func(string) (uint64, error) { return 0, broken }, broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(tt.dir, Options{Free: tt.free})
			if s != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("got %v, %v, want %v", s, err, tt.want)
			}
			if tt.want == nil {
				return
			}
			openState(t, tt.dir, Options{}) // the lock was given back
		})
	}
}

func TestCloseTwice(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	closeState(t, s)
	closeState(t, s)
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	openState(t, dir, Options{})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder has mode %v, %v, want 0700", info.Mode().Perm(), err)
	}
}

// damage overwrites the beginning of a file of a closed database.
func damage(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(content, bytes.Repeat([]byte{0xa5}, 64))
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenRequestLogIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	digest := storeKey(t, s, "ci")
	s.Record(exchange(time.Now()))
	closeState(t, s)
	folder := filepath.Join(dir, requestsFolder)
	if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, []byte("no folder"), 0o600)); err != nil {
		t.Fatal(err)
	}

	log, lines := logged()
	s = openState(t, dir, Options{Log: log})
	if !strings.Contains(lines.String(), "level=ERROR") || !strings.Contains(lines.String(), "set aside") {
		t.Errorf("nothing loud was logged: %s", lines)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "requests.broken-*")); len(aside) != 1 {
		t.Errorf("set aside: %q, want one file", aside)
	}
	if id, ok := s.Lookup(&digest); !ok || id.Name != "ci" {
		t.Errorf("the key is gone: %+v, %t", id, ok)
	}
	r := exchange(time.Now())
	s.Record(r)
	if _, err := s.Find(context.Background(), r.ID); err != nil {
		t.Errorf("the new log does not work: %v", err)
	}
}

func TestBrokenLedgerFailsClosed(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	storeKey(t, s, "ci")
	closeState(t, s)
	manifest := filepath.Join(dir, ledgerFolder, "MANIFEST")
	damage(t, manifest)
	before, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := Open(dir, Options{Free: plenty, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "opening the ledger") {
		t.Fatalf("got %v, want an error of the ledger", err)
	}
	after, err := os.ReadFile(manifest)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the broken ledger was touched: %v", err)
	}
}
