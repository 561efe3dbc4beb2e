package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/state/journal"
)

// filledState has something of everything: keys, a team, the pepper, segments of which the first were dropped, rows.
func filledState(t *testing.T, dir string) *State {
	t.Helper()
	ctx := context.Background()
	s := openState(t, dir, Options{})
	storeKey(t, s, "ci")
	rotateKey(t, s, "new", time.Unix(1_800_000_000, 0).UTC(), time.Hour)
	if err := s.CreateTeam(ctx, fullTeam()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pepper(); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(40) {
		if err := s.Append(n+1, segmentOf(n+1), false); err != nil {
			t.Fatal(err)
		}
	}
	rows := map[string][]byte{"empty": {}}
	for i := range 1000 {
		rows[fmt.Sprint("row/", i)] = bytes.Repeat([]byte{byte(i)}, i)
	}
	if err := errors.Join(s.Write(maps.All(rows)), s.WriteBooks(maps.All(rows))); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(3) {
		for _, day := range []string{"2026-11-20", "2026-11-21"} {
			if err := s.AddUsage(day, n+1, sumsOf(map[string]int64{"a": int64(n), "b": 1})); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Record(exchange(time.Now()))
	return s
}

// sumsOf gives sums of one number each.
func sumsOf(sums map[string]int64) func(yield func(key, label string, numbers []int64) bool) {
	return func(yield func(key, label string, numbers []int64) bool) {
		for _, key := range slices.Sorted(maps.Keys(sums)) {
			if !yield(key, "label of "+key, []int64{sums[key]}) {
				return
			}
		}
	}
}

// used is all usage.
func used(t interface{ Error(...any) }, s *State) (all []string) {
	err := s.Usage(context.Background(), "", "", func(day, key, label string, numbers []int64) error {
		all = append(all, fmt.Sprint(day, " ", key, " ", label, " ", numbers, " ", s.UsageUpTo(day)))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// compareStates tells whether two states have the same, by all that can be asked of them.
func compareStates(t *testing.T, got, want *State) {
	t.Helper()
	ctx := context.Background()
	for what, ask := range map[string]func(*State) any{
		"keys":   func(s *State) any { keys, err := s.Keys(ctx, identity.Query{}); return []any{keys, err} },
		"teams":  func(s *State) any { teams, err := s.Teams(ctx, identity.Query{}); return []any{teams, err} },
		"pepper": func(s *State) any { pepper, err := s.Pepper(); return []any{pepper, err} },
		"rows":   func(s *State) any { return scanned(t, s, "", "") },
		"books":  func(s *State) any { return scanned(t, ledgerBooks{s}, "", "") },
		"usage":  func(s *State) any { return used(t, s) },
		"last":   func(s *State) any { last, err := s.LastSegment(); return []any{last, err} },
		"segments": func(s *State) any {
			all := make(map[uint64]string)
			err := s.Segments(ctx, 0, func(n uint64, segment []byte) error { all[n] = string(segment); return nil })
			return []any{all, err}
		},
	} {
		if g, w := ask(got), ask(want); !reflect.DeepEqual(g, w) {
			t.Errorf("%s differ: %.500v, want %.500v", what, g, w)
		}
	}
	for _, secret := range []string{"ci", "new"} {
		digest := digestOf(t, secret)
		g, found := got.Lookup(&digest)
		w, _ := want.Lookup(&digest)
		if !found || !reflect.DeepEqual(g, w) {
			t.Errorf("%q belongs to %+v, want %+v", secret, g, w)
		}
	}
}

func backupOf(t *testing.T, s *State) []byte {
	t.Helper()
	var stream bytes.Buffer
	if err := s.Backup(context.Background(), &stream); err != nil {
		t.Fatal(err)
	}
	return stream.Bytes()
}

func restoreOptions() Options { return Options{Free: plenty} }

func TestBackupAndRestore(t *testing.T) {
	s := filledState(t, t.TempDir())
	stream := backupOf(t, s)
	dir := filepath.Join(t.TempDir(), "new")
	if err := Restore(context.Background(), dir, bytes.NewReader(stream), restoreOptions()); err != nil {
		t.Fatal(err)
	}
	restored := openState(t, dir, Options{})
	compareStates(t, restored, s)
	if records, err := restored.Recent(context.Background(), 10, ""); err != nil || len(records) != 0 {
		t.Errorf("the request log was restored, too: %+v, %v", records, err)
	}
	if err := restored.Append(41, segmentOf(41), true); err != nil {
		t.Errorf("the journal does not go on: %v", err)
	}
	// But for its time, the backup of what was restored is the same.
	again := backupOf(t, filledAgain(t, stream))
	for _, b := range [][]byte{again, stream} {
		clear(b[len(backupMagic)+1:][:8])
	}
	if !bytes.Equal(again[:len(again)-sha256.Size], stream[:len(stream)-sha256.Size]) {
		t.Error("the backup of what was restored is another one")
	}
}

func filledAgain(t *testing.T, stream []byte) *State {
	t.Helper()
	dir := t.TempDir()
	if err := Restore(context.Background(), dir, bytes.NewReader(stream), restoreOptions()); err != nil {
		t.Fatal(err)
	}
	return openState(t, dir, Options{})
}

// A journal that was dropped in part, or that never had a segment, goes on with the number that it had.
func TestRestoredJournalGoesOn(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	empty := filledAgain(t, backupOf(t, s))
	if err := empty.Append(1, []byte("x"), false); err != nil {
		t.Error(err)
	}
	stream := backupOf(t, s)
	binary.BigEndian.PutUint64(stream[len(backupMagic)+9:], 77) // of a journal whose segments are all gone
	sum := sha256.Sum256(stream[:len(stream)-sha256.Size])
	copy(stream[len(stream)-sha256.Size:], sum[:])
	dropped := filledAgain(t, stream)
	if last, err := dropped.LastSegment(); err != nil || last != 76 {
		t.Errorf("the last segment is %d, %v, want 76", last, err)
	}
	if err := dropped.Append(77, []byte("x"), false); err != nil {
		t.Error(err)
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	s := filledState(t, t.TempDir())
	whole := backupOf(t, s)
	flip := func(at int) []byte {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x40
		return damaged
	}
	tests := map[string][]byte{
		"nothing":                 nil,
		"another file":            []byte(strings.Repeat("no backup ", 100)),
		"another magic":           flip(0),
		"a later version":         flip(len(backupMagic)),
		"the time":                flip(len(backupMagic) + 3),
		"the first segment":       flip(len(backupMagic) + 16),
		"a row":                   flip(200),
		"a segment":               flip(len(whole) / 2),
		"a file of books":         flip(len(whole) - 2000),
		"a file of usage":         flip(len(whole) - 100),
		"the counts":              flip(len(whole) - sha256.Size - 1),
		"the checksum":            flip(len(whole) - 1),
		"something behind":        append(bytes.Clone(whole), 0),
		"cut in the header":       whole[:10],
		"cut in the rows":         whole[:5000],
		"cut in the segments":     whole[:len(whole)/2],
		"cut in the files":        whole[:len(whole)-5000],
		"cut before the checksum": whole[:len(whole)-sha256.Size],
		"cut by one byte":         whole[:len(whole)-1],
	}
	for name, stream := range tests {
		t.Run(name, func(t *testing.T) {
			isNew, empty := filepath.Join(t.TempDir(), "a", "b"), t.TempDir()
			for _, dir := range []string{isNew, empty} {
				err := Restore(context.Background(), dir, bytes.NewReader(stream), restoreOptions())
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("got %v, want %v", err, ErrCorrupt)
				}
			}
			if _, err := os.Stat(isNew); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the new folder is left: %v", err)
			}
			if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	s := filledState(t, t.TempDir())
	stream := backupOf(t, s)
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	full := Options{Free: func(string) (uint64, error) { return 1 << 20, nil }}
	broken := errors.New("gone")
	tests := []struct {
		name string
		ctx  context.Context
		dir  string
		r    io.Reader
		opts Options
		want error
		left int
	}{
		{"a folder with something in it", t.Context(), used, bytes.NewReader(stream), restoreOptions(), ErrExists, 1},
		{"the folder of a gateway that runs", t.Context(), s.space.folder, bytes.NewReader(stream), restoreOptions(), ErrExists, -1},
		{"a full disk", t.Context(), t.TempDir(), bytes.NewReader(stream), full, ErrDiskFull, 0},
		{"when it is canceled", canceled, t.TempDir(), bytes.NewReader(stream), restoreOptions(), context.Canceled, 0},
		{"a reader that fails", t.Context(), t.TempDir(), io.MultiReader(bytes.NewReader(stream[:3000]), failing{broken}), restoreOptions(), broken, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Restore(tt.ctx, tt.dir, tt.r, tt.opts); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if left, err := os.ReadDir(tt.dir); err != nil || tt.left >= 0 && len(left) != tt.left {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	// What a restoring left that was killed is no obstacle.
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, restoringFolder, "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), dir, bytes.NewReader(stream), restoreOptions()); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestBackupTellsErrors(t *testing.T) {
	s := filledState(t, t.TempDir())
	broken := errors.New("gone")
	if err := s.Backup(context.Background(), failing{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Backup(canceled, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if n := s.backups.Load(); n != 0 {
		t.Errorf("%d backups are still being made", n)
	}
}

// watched tells when the first byte is written.
type watched struct {
	io.Writer
	begun chan struct{}
	once  sync.Once
}

func (w *watched) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.begun) })
	return w.Writer.Write(b)
}

// A backup begins before the rows of a Write or after them, even if they take several transactions.
func TestBackupSeesNoHalfOfAWrite(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	var stream bytes.Buffer
	w := &watched{Writer: &stream, begun: make(chan struct{})}
	made := make(chan error, 1)
	const rows = 60_000
	err := s.Write(func(yield func(string, []byte) bool) {
		for i := range rows {
			if i == rows/2 { // some transactions are committed by now
				go func() { made <- s.Backup(context.Background(), w) }()
				waitsOrBegins(s, w.begun)
			}
			if !yield(fmt.Sprint("row/", i), make([]byte, 100)) {
				return
			}
		}
	})
	if err = errors.Join(err, <-made); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = filledAgain(t, stream.Bytes()).Scan(context.Background(), "", "", func(string, []byte) error { n++; return nil })
	if err != nil || n != rows {
		t.Errorf("the backup has %d rows of %d, %v", n, rows, err)
	}
}

// waitsOrBegins returns when a backup waits for its moment, or has begun.
func waitsOrBegins(s *State, begun <-chan struct{}) {
	for s.moment.TryRLock() { // which fails while somebody waits to lock it
		s.moment.RUnlock()
		select {
		case <-begun:
			return
		default:
			runtime.Gosched()
		}
	}
}

// What a backup has still to read is not dropped.
func TestBackupKeepsTheJournal(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	s := openState(t, t.TempDir(), Options{})
	segment := make([]byte, 1<<20)
	var last uint64
	for s.journal.Size() < 3*journal.FileSize { // the first is open already, the last is never dropped
		last++
		if err := s.Append(last, segment, false); err != nil {
			t.Fatal(err)
		}
	}
	out, in := io.Pipe()
	made := make(chan error, 1)
	go func() { made <- errors.Join(s.Backup(context.Background(), in), in.Close()) }()
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(context.Background(), last); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
	if err := s.Drop(context.Background(), last); err != nil || s.journal.First() == 1 {
		t.Errorf("afterwards nothing is dropped: %v", err)
	}
}

// One goroutine appends segment n and then writes a row that says n; another drops what the row covers. A backup that is
// made meanwhile has the segments from the row's number on, and none that is more than one ahead.
func TestBackupIsOfOneMoment(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Append(n, make([]byte, 300_000), false); err != nil {
				t.Error(err)
				return
			}
			rows := map[string][]byte{"a": binary.BigEndian.AppendUint64(nil, n), "z": binary.BigEndian.AppendUint64(nil, n)}
			if err := errors.Join(s.WriteBooks(maps.All(rows)), s.Drop(context.Background(), n)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 10 {
		restored := filledAgain(t, backupOf(t, s))
		var row [2]uint64
		for i, key := range []string{"a", "z"} {
			value, ok, err := restored.ReadBook(key)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				row[i] = binary.BigEndian.Uint64(value)
			}
		}
		last, err := restored.LastSegment()
		if err != nil || row[0] != row[1] || last < row[0] || last > row[0]+1 {
			t.Errorf("the rows say %d, the last segment is %d, %v", row, last, err)
		}
		if first := restored.journal.First(); first > row[0]+1 {
			t.Errorf("the rows say %d, the first segment is %d", row[0], first)
		}
		closeState(t, restored)
	}
	close(stop)
	wg.Wait()
}

// Whatever a stream holds: there is a folder that opens, or there is nothing.
func FuzzRestore(f *testing.F) {
	dir := f.TempDir()
	s := openState(f, dir, Options{})
	if err := s.CreateTeam(context.Background(), identity.Team{Team: abi.Team{Name: "a"}}); err != nil {
		f.Fatal(err)
	}
	if err := s.Append(1, []byte("segment"), false); err != nil {
		f.Fatal(err)
	}
	var stream bytes.Buffer
	if err := s.Backup(context.Background(), &stream); err != nil {
		f.Fatal(err)
	}
	closeState(f, s)
	f.Add(stream.Bytes(), false)
	f.Add(stream.Bytes()[:60], true)
	f.Add([]byte(backupMagic+"\x01"), true)
	f.Fuzz(func(t *testing.T, stream []byte, sum bool) {
		if sum { // so that damage is not always found by the checksum
			hash := sha256.Sum256(stream)
			stream = append(slices.Clip(stream), hash[:]...)
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := Restore(context.Background(), dir, bytes.NewReader(stream), restoreOptions()); err != nil {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("something is left: %v", err)
			}
			return
		}
		switch s, err := Open(dir, Options{Free: plenty, Ballast: -1}); {
		case err == nil:
			closeState(t, s)
		case !errors.Is(err, ErrCorrupt): // it is as damaged as what the backup was made of
			t.Fatal(err)
		}
	})
}
