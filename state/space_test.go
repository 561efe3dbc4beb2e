package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// testDisk is a disk that a test fills and breaks.
type testDisk struct {
	bytes atomic.Uint64
	fault atomic.Pointer[stop]
	mute  atomic.Pointer[stop] // it does not even answer
}

func (d *testDisk) free(string) (uint64, error) {
	if s := d.mute.Load(); s != nil {
		return 0, s.err
	}
	return d.bytes.Load(), nil
}

func (d *testDisk) probe(string) error {
	if s := d.fault.Load(); s != nil {
		return s.err
	}
	return nil
}

func (d *testDisk) options() Options {
	return Options{Free: d.free, probe: d.probe, total: func(string) (uint64, error) { return 1 << 40, nil }, Ballast: -1}
}

func newDisk(free uint64) *testDisk {
	d := new(testDisk)
	d.bytes.Store(free)
	return d
}

func TestSpaceWatch(t *testing.T) {
	readOnly, full := fmt.Errorf("%w: %w", ErrReadOnly, unix.EROFS), fmt.Errorf("%w: %w", ErrDiskFull, unix.ENOSPC)
	log, lines := logged()
	d := newDisk(10_000)
	w := &spaceWatch{log: log, free: d.free, probe: d.probe, bounds: bounds{log: 800, ledger: 400}}
	said := 0
	tests := []struct {
		name        string
		free        uint64
		fault, mute error
		log, ledger error
		says        string // each part in a line of its own, in this order
	}{
		{"plenty", 10_000, nil, nil, nil, nil, ""},
		{"at the log's bound", 800, nil, nil, nil, nil, ""},
		{"below it", 799, nil, nil, ErrDiskFull, nil, "ERROR nearly full request log"},
		{"still below it", 500, nil, nil, ErrDiskFull, nil, ""},
		{"below the ledger's bound", 399, nil, nil, ErrDiskFull, ErrDiskFull, "ERROR nearly full ledger"},
		{"back at the ledger's bound is not enough", 449, nil, nil, ErrDiskFull, ErrDiskFull, ""},
		{"an eighth above it is", 450, nil, nil, ErrDiskFull, nil, "INFO space again ledger"},
		{"below the log's", 899, nil, nil, ErrDiskFull, nil, ""},
		{"no answer changes nothing", 900, nil, errors.New("stale handle"), ErrDiskFull, nil, "WARN stale handle"},
		{"an eighth above the log's", 900, nil, nil, nil, nil, "INFO space again request log"},
		{"no answer changes nothing either way", 0, nil, errors.New("stale handle"), nil, nil, "WARN stale handle"},
		{"read-only", 10_000, readOnly, nil, ErrReadOnly, ErrReadOnly, "ERROR cannot be written request log\nERROR cannot be written ledger"},
		{"still read-only", 10_000, readOnly, nil, ErrReadOnly, ErrReadOnly, ""},
		{"read-only and full", 0, readOnly, nil, ErrReadOnly, ErrReadOnly, ""},
		{"full", 0, nil, nil, ErrDiskFull, ErrDiskFull, "ERROR nearly full request log\nERROR nearly full ledger"},
		{"sound", 10_000, nil, nil, nil, nil, "INFO space again request log\nINFO space again ledger"},
		{"full for us, if not by the figures", 10_000, full, nil, ErrDiskFull, ErrDiskFull, "ERROR nearly full request log\nERROR nearly full ledger"},
	}
	for _, tt := range tests {
		d.bytes.Store(tt.free)
		d.fault.Store(nil)
		d.mute.Store(nil)
		if tt.fault != nil {
			d.fault.Store(&stop{tt.fault})
		}
		if tt.mute != nil {
			d.mute.Store(&stop{tt.mute})
		}
		w.check(true)
		if log, ledger := w.requests.err(), w.ledger.err(); !errors.Is(log, tt.log) || !errors.Is(ledger, tt.ledger) {
			t.Errorf("%s: the log may not write because of %v, the ledger of %v, want %v and %v", tt.name, log, ledger, tt.log, tt.ledger)
		}
		all := lines.String()
		checkSays(t, tt.name, all[said:], tt.says)
		said = len(all)
	}
}

// What the databases may write by themselves raises the bounds.
func TestMergingNeedsSpace(t *testing.T) {
	log, _ := logged()
	d := newDisk(10_000)
	var merging uint64
	w := &spaceWatch{log: log, free: d.free, probe: d.probe, bounds: bounds{log: 800, ledger: 400}, merging: func() uint64 { return merging }}
	for _, tt := range []struct {
		merging     uint64
		log, ledger error
	}{{0, nil, nil}, {8000, nil, nil}, {8001, ErrDiskFull, nil}, {10_001, ErrDiskFull, ErrDiskFull}} {
		merging = tt.merging
		w.requests.stop.Store(nil)
		w.ledger.stop.Store(nil)
		w.check(true)
		if log, ledger := w.requests.err(), w.ledger.err(); !errors.Is(log, tt.log) || !errors.Is(ledger, tt.ledger) {
			t.Errorf("merging %d: %v and %v, want %v and %v", merging, log, ledger, tt.log, tt.ledger)
		}
	}
	s := openState(t, t.TempDir(), Options{})
	empty := s.ledger.mergeNeed()
	rows := func(yield func(string, []byte) bool) {
		for i := range 200_000 {
			if !yield(fmt.Sprint("row/", i), make([]byte, 100)) {
				return
			}
		}
	}
	if err := s.Write(rows); err != nil {
		t.Fatal(err)
	}
	if full := s.ledger.mergeNeed(); empty < 2*largeTable || full < empty+largeTable/2 {
		t.Errorf("an empty ledger needs %d MiB, one of 25 MiB %d", empty>>20, full>>20)
	}
}

func checkSays(t *testing.T, name, lines, want string) {
	t.Helper()
	said := strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
	wanted := strings.Split(want, "\n")
	if len(said) != len(wanted) {
		t.Errorf("%s: it says %q, want %q", name, said, wanted)
		return
	}
	for i := range wanted {
		for word := range strings.FieldsSeq(wanted[i]) {
			if !strings.Contains(said[i], word) {
				t.Errorf("%s: it says %q, want %q", name, said[i], wanted[i])
			}
		}
	}
}

func TestBounds(t *testing.T) {
	defaults := Options{}.withDefaults()
	tests := []struct {
		name  string
		opts  Options
		total uint64
		want  bounds
	}{
		{"a large disk", defaults, 1 << 40, bounds{512 << 20, 256 << 20, 64 << 20, 64 << 20, 8 << 20}},
		{"four times the largest", defaults, 2 << 30, bounds{512 << 20, 256 << 20, 64 << 20, 64 << 20, 8 << 20}},
		{"half of that", defaults, 1 << 30, bounds{256 << 20, 128 << 20, 32 << 20, 32 << 20, 4 << 20}},
		{"a small volume", defaults, 256 << 20, bounds{64 << 20, 32 << 20, 8 << 20, 8 << 20, 1 << 20}},
		{"a tiny one", defaults, 32 << 20, bounds{8 << 20, 4 << 20, 1 << 20, 1 << 20, 1 << 20}},
		{"small bounds on it", Options{MinFree: 8 << 20, MinFreeLedger: 4 << 20, Ballast: -1}, 32 << 20, bounds{8 << 20, 4 << 20, 64 << 20, 0, 8 << 20}},
		{"a ledger that stops before the log", Options{MinFree: 1 << 20, MinFreeLedger: 64 << 20, Ballast: 8 << 20}, 128 << 20, bounds{512 << 10, 32 << 20, 32 << 20, 4 << 20, 4 << 20}},
	}
	for _, tt := range tests {
		if got := boundsOf(&tt.opts, tt.total); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// What every change of keys, teams and money answers on a disk that must not, or cannot, be written.
func TestLedgerStopsAndRecovers(t *testing.T) {
	ctx := context.Background()
	d := newDisk(1 << 40)
	s := openState(t, t.TempDir(), d.options())
	digest := storeKey(t, s, "ci")
	number := uint64(0)
	attempt := 0
	calls := map[string]func() error{
		"Append": func() error {
			err := s.Append(number+1, []byte("x"), true)
			if err == nil {
				number++
			}
			return err
		},
		"Write":      func() error { return s.Write(maps.All(map[string][]byte{"x": {1}})) },
		"WriteBooks": func() error { return s.WriteBooks(maps.All(map[string][]byte{"x": {1}})) },
		"AddUsage": func() error {
			return s.AddUsage("2026-11-21", uint64(attempt+1), sumsOf(map[string]int64{"a": 1}))
		},
		"ChangeKey": func() error { return second(s.ChangeKey(ctx, "ci", setState(abi.KeyActive))) },
		"RotateKey": func() error {
			next := digestOf(t, fmt.Sprint("secret", attempt))
			return second(s.RotateKey(ctx, "ci", &next, setState(abi.KeyActive)))
		},
		"CreateKey": func() error {
			key, digest := keyNamed(t, fmt.Sprint("key", attempt))
			return s.CreateKey(ctx, key, &digest)
		},
		"CreateTeam": func() error {
			return s.CreateTeam(ctx, identity.Team{Team: abi.Team{Name: fmt.Sprint("team", attempt)}})
		},
		"ChangeTeam": func() error {
			return second(s.ChangeTeam(ctx, "team0", func(*identity.Team) error { return nil }))
		},
	}
	for _, tt := range []struct {
		name  string
		free  uint64
		fault error
		want  error
	}{
		{"sound", 1 << 40, nil, nil},
		{"nearly full", 300 << 20, nil, nil},
		{"full", 255 << 20, nil, ErrDiskFull},
		{"with space again", 300 << 20, nil, nil},
		{"read-only", 1 << 40, ErrReadOnly, ErrReadOnly},
		{"writable again", 1 << 40, nil, nil},
	} {
		d.bytes.Store(tt.free)
		d.fault.Store(&stop{tt.fault})
		s.space.check(true)
		for _, name := range []string{"Append", "Write", "WriteBooks", "AddUsage", "ChangeKey", "RotateKey", "CreateKey", "CreateTeam", "ChangeTeam"} {
			if err := calls[name](); !errors.Is(err, tt.want) {
				t.Errorf("%s: %s returns %v, want %v", tt.name, name, err, tt.want)
			}
		}
		attempt++
		if _, ledger := s.Health(); !errors.Is(ledger, tt.want) {
			t.Errorf("%s: the ledger's health is %v, want %v", tt.name, ledger, tt.want)
		}
		if id, ok := s.Lookup(&digest); !ok || id.Name != "ci" {
			t.Errorf("%s: the key is found as %+v, %t", tt.name, id, ok)
		}
		if _, ok := s.Team("team0"); !ok {
			t.Errorf("%s: the team is gone", tt.name)
		}
	}
	if last, err := s.LastSegment(); err != nil || last != number {
		t.Errorf("the last segment is %d, %v, want %d", last, err, number)
	}
}

// A disk that filled since it was last asked is noticed before the commit, not after it.
func TestCommitsAskTheDisk(t *testing.T) {
	d := newDisk(1 << 40)
	s := openState(t, t.TempDir(), d.options())
	s.space.mu.Lock() // the ticks wait
	d.bytes.Store(1 << 20)
	refused := make(chan error)
	go func() { refused <- s.Write(maps.All(map[string][]byte{"x": {1}})) }()
	s.space.mu.Unlock()
	if err := <-refused; !errors.Is(err, ErrDiskFull) {
		t.Errorf("got %v, want %v", err, ErrDiskFull)
	}
	d.bytes.Store(1 << 40)
}

func TestBallast(t *testing.T) {
	dir := t.TempDir()
	ballast := filepath.Join(dir, ballastFile)
	d := newDisk(1 << 40)
	opts := d.options()
	opts.Ballast = 2 << 20
	s := openState(t, dir, opts)
	laid := func(want bool) {
		t.Helper()
		var stat unix.Stat_t
		err := unix.Stat(ballast, &stat)
		if want != (err == nil) || err == nil && (stat.Size != 2<<20 || stat.Blocks*512 < 2<<20) {
			t.Errorf("the ballast has %d bytes, %d allocated, %v; want it: %t", stat.Size, stat.Blocks*512, err, want)
		}
	}
	laid(true)
	closeState(t, s)
	laid(true)

	// Opening: the ballast is what is missing.
	full := d.options()
	full.Ballast = 2 << 20
	full.Free = func(string) (uint64, error) {
		if _, err := os.Stat(ballast); err == nil {
			return spaceToOpen - 1<<20, nil
		}
		return spaceToOpen + 1<<20, nil
	}
	s = openState(t, dir, full)
	laid(false)
	s.space.check(true)
	laid(false) // there is no room for it
	if _, ledger := s.Health(); !errors.Is(ledger, ErrDiskFull) {
		t.Errorf("the ledger's health is %v", ledger)
	}
	closeState(t, s)

	// Closing: the same.
	var filled atomic.Bool
	opts.Free = func(folder string) (uint64, error) {
		if !filled.Load() {
			return d.free(folder)
		}
		if _, err := os.Stat(ballast); err == nil {
			return 0, nil
		}
		return spaceToOpen, nil
	}
	s = openState(t, dir, opts)
	laid(true)
	filled.Store(true)
	closeState(t, s)
	laid(false)
}

func TestLayBallast(t *testing.T) {
	w := &spaceWatch{folder: t.TempDir(), bounds: bounds{ballast: 3 << 20}}
	for range 2 {
		if err := w.layBallast(); err != nil {
			t.Fatal(err)
		}
	}
	w.bounds.ballast = 5 << 20 // another size was configured
	if err := w.layBallast(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(w.ballastFile()); err != nil || info.Size() != 5<<20 {
		t.Errorf("got %v, %v", info, err)
	}
	w.folder = filepath.Join(w.folder, "missing")
	if err := w.layBallast(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A read-only disk is not closed upon: Badger would try to write until it can. What was acknowledged is there.
func TestCloseOnAReadOnlyDisk(t *testing.T) {
	cmd, said := child(t, "close read-only", t.TempDir())
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

func closeReadOnly(dir string) error {
	d := newDisk(1 << 40)
	s, err := Open(dir, d.options())
	if err != nil {
		return err
	}
	if err := s.Append(1, []byte("x"), false); err != nil {
		return err
	}
	d.fault.Store(&stop{ErrReadOnly})
	closing := make(chan error)
	go func() { closing <- s.Close() }()
	select {
	case err = <-closing:
	case <-time.After(patience):
		return errors.New("closing hangs")
	}
	if !errors.Is(err, ErrReadOnly) {
		return fmt.Errorf("closing: %w", err)
	}
	if _, err := Open(dir, d.options()); !errors.Is(err, ErrLocked) {
		return fmt.Errorf("opening again in the same process: %w", err)
	}
	return nil
}

// A ballast that cannot be laid is told once, and again after it could.
func TestBallastIsMissedOnce(t *testing.T) {
	log, lines := logged()
	d := newDisk(1 << 40)
	w := &spaceWatch{log: log, folder: filepath.Join(t.TempDir(), "data"), free: d.free, probe: d.probe, bounds: bounds{ballast: 4096}}
	for round := range 2 {
		for range 3 {
			w.check(false)
		}
		if n := strings.Count(lines.String(), "laying the ballast file failed"); n != round+1 {
			t.Errorf("round %d: it is told %d times", round, n)
		}
		if err := os.Mkdir(w.folder, 0o700); err != nil {
			t.Fatal(err)
		}
		w.check(false)
		if err := os.RemoveAll(w.folder); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that does not answer is told once, too.
func TestMuteDiskIsToldOnce(t *testing.T) {
	log, lines := logged()
	d := newDisk(1 << 40)
	w := &spaceWatch{log: log, free: d.free, probe: d.probe}
	for round := range 2 {
		d.mute.Store(&stop{errors.New("stale handle")})
		for range 3 {
			w.check(false)
		}
		if n := strings.Count(lines.String(), "stale handle"); n != round+1 {
			t.Errorf("round %d: it is told %d times", round, n)
		}
		d.mute.Store(nil)
		w.check(false)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := probeWrite(dir); err != nil {
			t.Error(err)
		}
	}
	if err := probeWrite(filepath.Join(dir, "missing")); !errors.Is(err, ErrReadOnly) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestFileSystemIsAsked(t *testing.T) {
	for name, ask := range map[string]func(string) (uint64, error){"free": freeSpace, "total": totalSpace} {
		if n, err := ask(t.TempDir()); err != nil || n == 0 {
			t.Errorf("%s: got %d, %v", name, n, err)
		}
		if _, err := ask(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want %v", name, err, os.ErrNotExist)
		}
	}
}

func TestSpaceWatchInParallel(t *testing.T) {
	d := newDisk(1 << 40)
	log, _ := logged()
	w := &spaceWatch{log: log, free: d.free, probe: d.probe, bounds: bounds{log: 800, ledger: 400}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				d.bytes.Store(uint64(i%2) * 1000)
				w.check(i%3 == 0)
				_ = w.admit(&w.ledger, 10)
				_ = w.admit(&w.requests, 10)
			}
		})
	}
	wg.Wait()
	d.bytes.Store(1000)
	w.check(true)
	if err := w.admit(&w.ledger, 1); err != nil {
		t.Errorf("with space: %v", err)
	}
}

func BenchmarkAdmit(b *testing.B) {
	s := openState(b, b.TempDir(), Options{Free: freeSpace})
	b.ReportAllocs()
	for b.Loop() {
		if err := s.space.admit(&s.space.ledger, 1); err != nil {
			b.Fatal(err)
		}
	}
}
