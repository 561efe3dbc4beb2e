package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/runtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything traces all there is.
func everything(maxSize int64) Settings { return Settings{Share: 1_000_000, MaxSize: maxSize} }

// numbered is a decision that says which one it is.
func numbered(n int) *runtime.Decision {
	d := decisionAt(abi.PriceResponse)
	d.Policy = fmt.Sprint(n)
	return d
}

func readAll(t *testing.T, place string) (policies []string, torn int) {
	t.Helper()
	r, err := Open(place)
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return policies, r.Torn()
		}
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, d.Policy)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, Folder)
	for part := range 2 { // the second writer goes on behind the first one
		w := NewWriter(dir, everything(1<<30), slog.New(slog.DiscardHandler))
		for n := range 100 {
			w.Trace(numbered(100*part + n))
		}
		w.Close()
		if f := w.Figures(); f != (Figures{Written: 100}) {
			t.Errorf("%+v", f)
		}
	}
	for _, place := range []string{data, dir} {
		got, torn := readAll(t, place)
		if len(got) != 200 || got[0] != "0" || got[199] != "199" || torn != 0 {
			t.Errorf("%s: %d decisions, %d torn", place, len(got), torn)
		}
	}
	if got, _ := readAll(t, filepath.Join(dir, "00000002.jsonl")); len(got) != 100 || got[0] != "100" {
		t.Errorf("one file: %d decisions", len(got))
	}
	info, err := os.Stat(filepath.Join(dir, "00000001.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestTheOldestGoesFirst(t *testing.T) {
	dir := t.TempDir()
	const most = 256 << 10
	synctest.Test(t, func(t *testing.T) {
		w := NewWriter(dir, everything(most), slog.New(slog.DiscardHandler))
		for n := range 1000 {
			w.Trace(numbered(n))
			if n%100 == 99 { // nothing is dropped: the queue is waited for
				synctest.Wait()
			}
		}
		w.Close()
	})
	all, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, s := range all {
		total += s.size
	}
	got, _ := readAll(t, dir)
	if total > most || total < most/2 || len(all) < 4 || got[len(got)-1] != "999" {
		t.Errorf("%d bytes in %d segments; the last decision is %s", total, len(all), got[len(got)-1])
	}
}

// A line that was not written to its end is passed over; one that was and makes no sense is told with its place.
func TestTornLines(t *testing.T) {
	dir := t.TempDir()
	line, err := appendLine(nil, numbered(1))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("00000001.jsonl", append(bytes.Clone(line), line[:len(line)/2]...))
	write("00000002.jsonl", line)
	write("notes.txt", []byte("not ours"))
	if got, torn := readAll(t, dir); len(got) != 2 || torn != 1 {
		t.Errorf("%d decisions, %d torn", len(got), torn)
	}
	write("00000002.jsonl", append(bytes.Clone(line), "nonsense\n"...))
	r, err := Open(dir)
	for err == nil {
		_, err = r.Next()
	}
	if !strings.Contains(err.Error(), "00000002.jsonl:2: ") {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	write("00000003.jsonl", bytes.Repeat([]byte("x"), maxLine+1))
	if r, err = Open(filepath.Join(dir, "00000003.jsonl")); err == nil {
		if _, err = r.Next(); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Error(err)
		}
		_ = r.Close()
	}
}

func TestPlacesWithoutATrace(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What cannot be written is dropped, told once, and tried again after a while.
func TestADiskThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		dir := t.TempDir()
		s := everything(1 << 20)
		s.MinFree = 1 << 62
		w := NewWriter(dir, s, slog.New(slog.NewTextHandler(&log, nil)))
		for range 10 {
			w.Trace(numbered(0))
		}
		synctest.Wait()
		if f := w.Figures(); f != (Figures{Dropped: 10}) || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%+v: %s", f, log.String())
		}
		w.Set(everything(1 << 20))
		w.Trace(numbered(1))
		synctest.Wait()
		if f := w.Figures(); f.Dropped != 11 {
			t.Errorf("%+v: it was tried again at once", f)
		}
		testutil.Pass(retryAfter)
		w.Trace(numbered(2))
		synctest.Wait()
		if got, _ := readAll(t, dir); len(got) != 1 || got[0] != "2" {
			t.Errorf("%v", got)
		}
		w.Close()
	})
}

// Who decides never waits for the disk.
func TestAQueueThatIsFull(t *testing.T) {
	w := &Writer{queue: make(chan *[]byte, 4)}
	w.Set(everything(1 << 20))
	for n := range 10 {
		w.Trace(numbered(n))
	}
	if f := w.Figures(); f.Dropped != 6 {
		t.Errorf("%+v", f)
	}
	w.queued.Store(maxQueuedBytes + 1)
	w.Trace(numbered(0))
	if f := w.Figures(); f.Dropped != 7 {
		t.Errorf("%+v", f)
	}
}

func TestAShareOfTheRequests(t *testing.T) {
	w := &Writer{}
	for share, want := range map[int]int{0: 0, -1: 0, 10_000: 1000, 500_000: 50_000, 1_000_000: 100_000} {
		w.Set(Settings{Share: share})
		wanted := 0
		for n := range 100_000 {
			id := fmt.Appendf(nil, "req_%d", n)
			first, second := w.Wants(id), w.Wants(id)
			if first {
				wanted++
			}
			if first != second {
				t.Fatal("one request is both")
			}
		}
		if wanted < want-want/10 || wanted > want+want/10 {
			t.Errorf("a share of %d millionths: %d of 100000", share, wanted)
		}
	}
	w.Set(Settings{})
	id := []byte("req_1")
	if n := testing.AllocsPerRun(100, func() { w.Wants(id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTrace(b *testing.B) {
	w := NewWriter(b.TempDir(), everything(8<<20), slog.New(slog.DiscardHandler))
	defer w.Close()
	d := numbered(1)
	b.ReportAllocs()
	for b.Loop() {
		w.Trace(d)
	}
}
