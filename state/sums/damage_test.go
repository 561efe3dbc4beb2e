package sums

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// A write that fails, at whatever point, changes nothing, and what is written after it counts once.
func TestFailedWritesChangeNothing(t *testing.T) {
	added, merged := part{monday, 3, 3, 0}.name(), part{monday, 1, 2, 0}.name()
	full := func(name string) func(*Sums) error {
		return func(s *Sums) error { return os.Symlink("/dev/full", filepath.Join(s.dir, name+temporarySuffix)) }
	}
	taken := func(name string) func(*Sums) error {
		return func(s *Sums) error { return os.Mkdir(filepath.Join(s.dir, name), 0o700) }
	}
	unsynced := func(s *Sums) error {
		s.syncFolder = func(string) error { return syscall.EIO }
		return nil
	}
	add3 := func(t *testing.T, s *Sums) error { return s.Add(monday, 3, rows("a a 5")) }
	merge := func(t *testing.T, s *Sums) error { return s.Merge(t.Context(), thursday) }
	for _, x := range []struct {
		name   string
		hinder func(*Sums) error
		try    func(*testing.T, *Sums) error
		want   error
	}{
		{"add, the disk is full", full(added), add3, syscall.ENOSPC},
		{"add, no rename", taken(added), add3, fs.ErrExist},
		{"add, the folder is not synced", unsynced, add3, syscall.EIO},
		{"merge, the disk is full", full(merged), merge, syscall.ENOSPC},
		{"merge, no rename", taken(merged), merge, fs.ErrExist},
		{"merge, the folder is not synced", unsynced, merge, syscall.EIO},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := opened(t, t.TempDir(), 1)
			add(t, s, monday, 1, "a a 1")
			add(t, s, monday, 2, "a a 1")
			before := files(t, s.dir)
			if err := x.hinder(s); err != nil {
				t.Fatal(err)
			}
			if err := x.try(t, s); !errors.Is(err, x.want) {
				t.Errorf("%v, want %v", err, x.want)
			}
			holds(t, s, monday+" a a 2")
			if s.UpTo(monday) != 2 {
				t.Errorf("the last is %d", s.UpTo(monday))
			}
			_ = os.Remove(filepath.Join(s.dir, added)) // the folders that were in the way
			_ = os.Remove(filepath.Join(s.dir, merged))
			if after := files(t, s.dir); !slices.Equal(after, before) {
				t.Errorf("the files are %q, were %q", after, before)
			}
			s.syncFolder = durable.SyncFolder
			add(t, s, monday, 4, "a a 10")
			holds(t, s, monday+" a a 12")
			if err := s.Merge(t.Context(), thursday); err != nil {
				t.Error(err)
			}
			holds(t, opened(t, s.dir, 1), monday+" a a 12")
		})
	}
}

// A part of an addition that has failed, but is there, would count when the folder is opened again: nothing is added next
// to it.
func TestNothingIsAddedNextToAStray(t *testing.T) {
	s := opened(t, t.TempDir(), 1)
	add(t, s, monday, 1, "a a 1")
	stray := filepath.Join(s.dir, part{monday, 2, 2, 0}.name())
	s.syncFolder = func(string) error { // what cannot be removed: a folder that is not empty
		return errors.Join(os.Remove(stray), os.MkdirAll(filepath.Join(stray, "x"), 0o700), syscall.EIO)
	}
	if err := s.Add(monday, 2, rows("a a 1")); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	s.syncFolder = durable.SyncFolder
	for range 2 {
		if err := s.Add(monday, 3, rows("a a 1", "b b 1")); !errors.Is(err, syscall.ENOTEMPTY) {
			t.Errorf("added next to a stray: %v", err)
		}
		if err := s.Merge(t.Context(), thursday); !errors.Is(err, syscall.ENOTEMPTY) {
			t.Errorf("merged next to a stray: %v", err)
		}
	}
	holds(t, s, monday+" a a 1")
	if err := os.Remove(filepath.Join(stray, "x")); err != nil {
		t.Fatal(err)
	}
	add(t, s, monday, 3, "a a 1", "b b 1")
	holds(t, opened(t, s.dir, 1), monday+" a a 2", monday+" b b 1")
}

func TestTheFolderIsRemoved(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "sums"), 16)
	add(t, s, monday, 1, "a a 1")
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(monday, 2, rows("a a 1")); !errors.Is(err, fs.ErrNotExist) || s.UpTo(monday) != 1 {
		t.Errorf("the last is %d: %v", s.UpTo(monday), err)
	}
	if _, err := read(s, "", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read what is gone: %v", err)
	}
	if _, err := s.Snapshot(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copied what is gone: %v", err)
	}
	if err := os.WriteFile(s.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); err == nil {
		t.Error("a file was opened")
	}
}

// What merges left behind that were killed: temporary files, and parts that are replaced.
func TestKilledMerge(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 16)
	old := map[string][]byte{}
	for n := range uint64(4) {
		add(t, s, monday, n+1, "a a 1", "b b 1")
		name := part{monday, n + 1, n + 1, 0}.name()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		old[name], old[strings.Replace(name, monday, tuesday, 1)+temporarySuffix] = content, content[:20]
	}
	merge(t, s, thursday)
	add(t, s, monday, 7, "a a 1")
	old[part{monday, 2, 3, 0}.name()] = []byte("an earlier merge")
	others := []string{
		"x.sums", "2026-07-13.1-1.sums", "2026-99-13.00000000000000000002-00000000000000000002.sums", "notes.tmp",
		"2026-07-13.00000000000000000002-00000000000000000001.sums", "2026-07-13.00000000000000000000-00000000000000000001.sums",
		"2026-07-13.+0000000000000000002-00000000000000000002.sums", "2026-07-13.00000000000000000009-00000000000000000009.SUMS",
	}
	for _, name := range others {
		old[name] = []byte("not ours")
	}
	for name, content := range old {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = opened(t, dir, 16)
	holds(t, s, monday+" a a 5", monday+" b b 4")
	want := append(slices.Clone(others), part{monday, 1, 4, 0}.name(), part{monday, 7, 7, 0}.name())
	slices.Sort(want)
	if names := files(t, dir); !slices.Equal(names, want) {
		t.Errorf("the files are %q, want %q", names, want)
	}
	if err := os.WriteFile(filepath.Join(dir, part{monday, 4, 5, 0}.name()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("parts that overlap: %v", err)
	}
}

// damaged checks that a part with this content is found damaged by who reads it, and that a merge leaves all as it is.
func damaged(t *testing.T, s *Sums, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(s, "", ""); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(path)) {
		t.Fatalf("%q was read: %v", content, err)
	}
	before := files(t, s.dir)
	if err := s.Merge(t.Context(), thursday); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%q was merged: %v", content, err)
	}
	if after := files(t, s.dir); !slices.Equal(after, before) {
		t.Fatalf("after %q the files are %q", content, after)
	}
}

func TestDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 16)
	add(t, s, monday, 1, "a one 1 2 300", "b one 1 2 3", "b\x00 two -9223372036854775808")
	add(t, s, monday, 2, "b two 5")
	path := filepath.Join(dir, part{monday, 1, 1, 0}.name())
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sound {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			content := slices.Clone(sound)
			content[i] ^= flip
			damaged(t, s, path, content)
		}
		damaged(t, s, path, sound[:i])
		damaged(t, s, path, slices.Insert(slices.Clone(sound), i, 0))
		damaged(t, s, path, slices.Delete(slices.Clone(sound), i, i+1))
	}
	damaged(t, s, path, append(slices.Clone(sound), 0))
	damaged(t, s, path, append(slices.Clone(sound), sound...))
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, s, tuesday, 1, "a a 1")
	add(t, s, tuesday, 2, "a a 1")
	merge(t, s, thursday)
	holds(t, s, monday+" a one 1 2 300", monday+" b two 6 2 3", monday+" b\x00 two -9223372036854775808", tuesday+" a a 2")
}

// withFooter makes a file of rows that are not checked.
func withFooter(body []byte, rows uint64) []byte {
	content := binary.LittleEndian.AppendUint64(append([]byte(magic), body...), rows)
	return binary.LittleEndian.AppendUint32(content, crc32.Checksum(content, table))
}

// A sound checksum is not enough: rows must be in order, as many as there should be, and not too long.
func TestRowsAreChecked(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 16)
	add(t, s, monday, 1, "k  1 -1")
	add(t, s, monday, 2, "k  1")
	path := filepath.Join(dir, part{monday, 1, 1, 0}.name())
	content, err := os.ReadFile(path)
	if want := withFooter([]byte("\x01k\x00\x02\x02\x01"), 1); err != nil || string(content) != string(want) {
		t.Fatalf("%q, want %q: %v", content, want, err)
	}
	huge := strings.Repeat("\xff", 9) + "\x01"
	for _, x := range []struct {
		body string
		rows uint64
	}{
		{"\x01b\x00\x00\x01a\x00\x00", 2}, {"\x01a\x00\x00\x01a\x00\x00", 2}, {"\x00\x00\x00\x00\x00\x00", 2},
		{"\x01a\x00\x00", 2}, {"", 1}, {"\x01a\x00", 1}, {"\x01a\x00\x01", 1}, {"\x01", 1}, {"\x80", 1}, {"\x01a\x00\x01\x80", 1},
		{"\x81\x80\x04" + strings.Repeat("k", MaxText+1) + "\x00\x00", 1},
		{"\x00\x00\x81\x08" + strings.Repeat("\x02", MaxNumbers+1), 1},
		{huge, 1}, {"\x01a" + huge, 1}, {"\x01a\x00" + huge, 1},
		{"\x00\x00\x01\xff" + huge, 1}, {strings.Repeat("\xff", 11), 1}, {"\xff\xff\x03" + strings.Repeat("k", readSize), 1},
	} {
		damaged(t, s, path, withFooter([]byte(x.body), x.rows))
	}
}

// A good day is merged although another one is damaged.
func TestMergeGoesOnBehindDamage(t *testing.T) {
	s := opened(t, t.TempDir(), 16)
	for _, day := range []string{monday, tuesday} {
		add(t, s, day, 1, "a a 1")
		add(t, s, day, 2, "a a 1")
	}
	if err := os.WriteFile(filepath.Join(s.dir, part{monday, 2, 2, 0}.name()), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Merge(t.Context(), thursday); !errors.Is(err, ErrCorrupt) || len(files(t, s.dir)) != 3 {
		t.Errorf("the files are %q: %v", files(t, s.dir), err)
	}
	if got, err := read(s, tuesday, ""); err != nil || len(got) != 1 || got[0] != tuesday+" a a 2" {
		t.Errorf("read %q: %v", got, err)
	}
}

func FuzzPart(f *testing.F) {
	f.Add([]byte("\x01k\x00\x02\x02\x01"), uint64(1))
	f.Add([]byte("\x01a\x01x\x00\x01b\x00\x01\x80\x01"), uint64(2))
	f.Add([]byte("\xff\xff\x03k"), uint64(1))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, body []byte, rows uint64) {
		dir := t.TempDir()
		name := part{monday, 1, 1, 0}.name()
		if err := os.WriteFile(filepath.Join(dir, name), withFooter(body, rows), 0o600); err != nil {
			t.Fatal(err)
		}
		s := opened(t, dir, 16)
		var got []Row
		err := s.Read(t.Context(), "", "", func(_ string, r *Row) error {
			got = append(got, Row{r.Key, r.Label, slices.Clone(r.Numbers)})
			return nil
		})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if uint64(len(got)) != rows {
			t.Fatalf("%d rows, not %d", len(got), rows)
		}
		if err := s.Add(tuesday, 1, slices.Values(got)); err != nil {
			t.Fatalf("what was read cannot be added: %v", err)
		}
	})
}
