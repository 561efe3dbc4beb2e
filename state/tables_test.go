package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// makeTables makes a data folder with tables, and returns their names.
func makeTables(t testing.TB, dir string) (ledger []string) {
	t.Helper()
	s := openState(t, dir, Options{})
	for i := range 500 {
		if err := s.Write(maps.All(map[string][]byte{fmt.Sprint("row/", i): make([]byte, 100)})); err != nil {
			t.Fatal(err)
		}
	}
	closeState(t, s)
	ledger, _ = filepath.Glob(filepath.Join(dir, ledgerFolder, "*.sst"))
	if len(ledger) == 0 {
		t.Fatal("there are no tables")
	}
	return ledger
}

// Whatever becomes of a table, the ledger says that it cannot be read.
func TestDamagedTables(t *testing.T) {
	flip := func(b []byte, at int) []byte { b[at] ^= 0xff; return b }
	for _, tt := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"overwritten", func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) }},
		{"overwritten with small numbers", func(b []byte) []byte { return bytes.Repeat([]byte{0, 0, 0, 1}, len(b)/4) }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"cut", func(b []byte) []byte { return b[:len(b)/2] }},
		{"cut by a byte", func(b []byte) []byte { return b[:len(b)-1] }},
		{"a byte longer", func(b []byte) []byte { return append(b, 0) }},
		{"three bytes", func(b []byte) []byte { return b[:3] }},
		{"empty", func([]byte) []byte { return nil }},
		{"gone", nil},
		{"its checksum's length", func(b []byte) []byte { return flip(b, len(b)-1) }},
		{"its checksum", func(b []byte) []byte { return flip(b, len(b)-5) }},
		{"its index", func(b []byte) []byte { return flip(b, len(b)-30) }},
		{"its last block's checksum", func(b []byte) []byte { return flip(b, indexOf(b)-5) }},
		{"all its blocks", func(b []byte) []byte {
			i := indexOf(b)
			return append(bytes.Repeat([]byte{0, 0, 0, 1}, i/4+1)[:i], b[i:]...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			ledger := makeTables(t, dir)
			damageTable(t, ledger[0], tt.damage)
			_, err := Open(dir, Options{Free: plenty, Ballast: -1})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(ledger[0])) {
				t.Errorf("opening the ledger: %v, want %v and the table's name", err, ErrCorrupt)
			}
		})
	}
}

// indexOf returns where the index of a table begins.
func indexOf(table []byte) int {
	rest, _, _ := cutChecksum(table)
	return len(rest) - 4 - int(binary.BigEndian.Uint32(rest[len(rest)-4:]))
}

func damageTable(t *testing.T, name string, damage func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(name)
	switch {
	case err != nil:
	case damage == nil:
		err = os.Remove(name)
	default:
		err = os.WriteFile(name, damage(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A table that was being made when the process was killed is in no manifest. It harms nobody.
func TestUnfinishedTable(t *testing.T) {
	dir := t.TempDir()
	ledger := makeTables(t, dir)
	if err := os.WriteFile(filepath.Join(filepath.Dir(ledger[0]), "000999.sst"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openState(t, dir, Options{})
	if _, ok, err := s.Read("row/1"); !ok || err != nil {
		t.Errorf("a row is there: %t, %v", ok, err)
	}
}

// Without its manifest, all tables of a database would be removed.
func TestTablesWithoutManifest(t *testing.T) {
	dir := t.TempDir()
	ledger := makeTables(t, dir)
	if err := os.Remove(filepath.Join(dir, ledgerFolder, badger.ManifestFilename)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{Free: plenty, Ballast: -1}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want %v", err, ErrCorrupt)
	}
	if _, err := os.Stat(ledger[0]); err != nil {
		t.Errorf("a table is gone: %v", err)
	}
}

func FuzzCheckTable(f *testing.F) {
	dir := f.TempDir()
	s := openState(f, dir, Options{})
	if err := s.Write(maps.All(map[string][]byte{"row": {1}})); err != nil {
		f.Fatal(err)
	}
	closeState(f, s)
	ledger, err := filepath.Glob(filepath.Join(dir, ledgerFolder, "*.sst"))
	if err != nil || len(ledger) == 0 {
		f.Fatalf("there are tables %q, %v", ledger, err)
	}
	whole, err := os.ReadFile(ledger[0])
	if err != nil {
		f.Fatal(err)
	}
	if err := checkTable(bytes.NewReader(whole), int64(len(whole))); err != nil {
		f.Fatalf("a sound table: %v", err)
	}
	f.Add(whole)
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Add([]byte{0, 0, 0, 8, 0x10, 1, 0, 0, 0, 2})
	f.Add([]byte("rows\x00\x00\x00\x04\x10\xff\xff\xff\xff\xff\x00\x00\x00\x06"))
	f.Fuzz(func(t *testing.T, table []byte) {
		err := checkTable(bytes.NewReader(table), int64(len(table)))
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("got %v", err)
		}
	})
}
