package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	refused := errors.New("no more")
	for _, tt := range []struct {
		name  string
		write func(*os.File) error
		err   error
		want  string
	}{
		{"the first", Content([]byte("one")), nil, "one"},
		{"the next", Content([]byte("two")), nil, "two"},
		{"one that fails half-way", func(f *os.File) error { _, _ = f.WriteString("thr"); return refused }, refused, "two"},
		{"nothing", Content(nil), nil, ""},
	} {
		if err := Write(path, ".new-", 0o600, tt.write); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
			t.Errorf("%s: the file holds %q, want %q: %v", tt.name, got, tt.want, err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("%s: left behind: %v, %v", tt.name, names, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := Write(filepath.Join(dir, "none", "file"), ".new-", 0o600, Content(nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
	if err := Write(dir, ".new-", 0o600, Content(nil)); err == nil {
		t.Error("a folder was replaced by a file")
	}
}

func TestTorn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		data    []byte
		claimed int
		want    bool
	}{
		{"nothing", nil, 0, true},
		{"zeros", make([]byte, 100), 0, true},
		{"longer than what is there", []byte{1, 2, 3}, 5, true},
		{"just as long, and wrong", []byte{1, 2, 3}, 3, true},
		{"something behind it", []byte{1, 2, 3}, 2, false},
		{"no length", []byte{0, 0, 3}, 0, false},
	} {
		if got := Torn(tt.data, tt.claimed); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestNumbered(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"00000000000000000012.log", "00000000000000000002.log", "3.log", "4.other", "x.log", "-5.log", "log"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, NumberedName(4, ".log")), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := Numbered(dir, ".log"); err != nil || !slices.Equal(got, []uint64{2, 12}) {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := Numbered(filepath.Join(dir, "none"), ".log"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}
