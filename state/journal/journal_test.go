package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// segment is the content of the segment with this number.
func segment(number uint64) []byte {
	return bytes.Repeat([]byte(strconv.FormatUint(number, 10)+" "), int(number%50)+1)
}

func opened(t testing.TB, dir string, fileSize int64) *Journal {
	t.Helper()
	j, err := open(dir, fileSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// holds checks that the journal has exactly the segments from first to last.
func holds(t testing.TB, j *Journal, first, last uint64) {
	t.Helper()
	next := first
	err := j.Segments(context.Background(), 0, func(number uint64, got []byte) error {
		if number != next || !bytes.Equal(got, segment(number)) {
			return fmt.Errorf("segment %d, want %d, holds %q", number, next, got)
		}
		next++
		return nil
	})
	if err != nil || next != last+1 || j.Last() != last {
		t.Fatalf("read up to %d, last is %d, want %d: %v", next-1, j.Last(), last, err)
	}
}

func fill(t testing.TB, j *Journal, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := j.Append(n, segment(n), n%7 == 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentsAreReadAsTheyWereWritten(t *testing.T) {
	dir := t.TempDir()
	j := opened(t, dir, 1000)
	fill(t, j, 1, 200)
	holds(t, j, 1, 200)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = opened(t, dir, 1000)
	holds(t, j, 1, 200)
	fill(t, j, 201, 220)
	holds(t, j, 1, 220)
	from := uint64(0)
	err := j.Segments(t.Context(), 150, func(number uint64, _ []byte) error {
		from = number
		return io.EOF
	})
	if from != 150 || !errors.Is(err, io.EOF) {
		t.Errorf("reading from 150 began at %d: %v", from, err)
	}
}

func TestDropGivesSpaceBack(t *testing.T) {
	j := opened(t, t.TempDir(), 1000)
	fill(t, j, 1, 200)
	before := j.Size()
	if err := j.Drop(150); err != nil {
		t.Fatal(err)
	}
	if first := j.First(); first > 150 || first < 130 || j.Size() > before/2 {
		t.Errorf("the first is %d; %d of %d bytes are left", first, j.Size(), before)
	}
	holds(t, j, j.First(), 200)
	if err := j.Drop(1000); err != nil || j.Last() != 200 {
		t.Errorf("dropping all: %v, last is %d", err, j.Last())
	}
	fill(t, j, 201, 201)
}

func TestAppendRefuses(t *testing.T) {
	j := opened(t, t.TempDir(), FileSize)
	fill(t, j, 1, 3)
	for _, number := range []uint64{0, 3, 5} {
		if err := j.Append(number, []byte("x"), false); !errors.Is(err, ErrNumber) {
			t.Errorf("segment %d after 3: %v", number, err)
		}
	}
	if err := j.Append(4, nil, false); err == nil {
		t.Error("an empty segment was taken")
	}
	if err := j.Append(4, make([]byte, MaxSegment+1), false); err == nil {
		t.Error("an oversized segment was taken")
	}
	holds(t, j, 1, 3)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(4, []byte("x"), false); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A crash may leave any part of the last record, also as zeros. It is cut off; everything before it is there.
func TestUnfinishedEndIsCutOff(t *testing.T) {
	parent, tries := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		tries++
		dir := filepath.Join(parent, strconv.Itoa(tries))
		j, err := open(dir, FileSize)
		if err != nil {
			t.Fatal(err)
		}
		var whole int64
		last := rapid.Uint64Range(1, 30).Draw(t, "segments")
		for n := uint64(1); n <= last; n++ {
			whole = j.Size()
			if err := j.Append(n, segment(n), false); err != nil {
				t.Fatal(err)
			}
		}
		end := j.Size()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		keep := rapid.Int64Range(whole, end-1).Draw(t, "bytes left")
		path := j.path(1)
		if err := os.Truncate(path, keep); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "zeros") {
			// The size was written, the data was not.
			if err := errors.Join(os.Truncate(path, whole), os.Truncate(path, end)); err != nil {
				t.Fatal(err)
			}
		}
		j, err = open(dir, FileSize)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if j.Last() != last-1 || j.Size() != whole {
			t.Fatalf("last is %d of %d, %d bytes, want %d", j.Last(), last, j.Size(), whole)
		}
		if err := j.Append(last, segment(last), false); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDamageInTheMiddleIsAnError(t *testing.T) {
	for _, fileSize := range []int64{1000, FileSize} { // in an older file, and in the last one
		dir := t.TempDir()
		j := opened(t, dir, fileSize)
		fill(t, j, 1, 100)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(j.path(1))
		if err != nil {
			t.Fatal(err)
		}
		data[300] ^= 1
		if err := os.WriteFile(j.path(1), data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err = open(dir, fileSize)
		if err == nil {
			err = j.Segments(t.Context(), 0, func(uint64, []byte) error { return nil })
			_ = j.Close()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("files of %d bytes: %v, want %v", fileSize, err, ErrCorrupt)
		}
	}
}

// A write that fails leaves the journal as it was, and the next one works.
func TestFailedWriteLeavesNothing(t *testing.T) {
	j := opened(t, t.TempDir(), FileSize)
	fill(t, j, 1, 3)
	good := j.tail
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here: ", err)
	}
	j.tail = full
	if err := j.Append(4, segment(4), false); err == nil {
		t.Error("a write to a full disk succeeded")
	}
	_ = full.Close()
	j.tail = good
	fill(t, j, 4, 6)
	holds(t, j, 1, 6)
}

const childFolder = "SALLYPORT_JOURNAL_CHILD"

// TestMain makes the test binary the process that is killed, if it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		appendForEver(dir)
	}
	os.Exit(m.Run())
}

// appendForEver tells each number once it is acknowledged.
func appendForEver(dir string) {
	j, err := open(dir, 50_000)
	if err != nil {
		panic(err)
	}
	for n := j.Last() + 1; ; n++ {
		if err := j.Append(n, segment(n), false); err != nil {
			panic(err)
		}
		if _, err := fmt.Fprintln(os.Stdout, n); err != nil {
			panic(err)
		}
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	dir := t.TempDir()
	for range kills {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), childFolder+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		told := make([]byte, 1000+rand.IntN(50_000)) // as long as it takes to read so much
		if _, err := io.ReadFull(out, told); err != nil {
			t.Fatal(err)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(out)
		_ = child.Wait()
		lines := strings.Split(string(append(told, rest...)), "\n")
		acknowledged, err := strconv.ParseUint(lines[len(lines)-2], 10, 64) // the last line may be cut
		if err != nil {
			t.Fatal(err)
		}
		j, err := open(dir, 50_000)
		if err != nil {
			t.Fatal(err)
		}
		if j.Last() < acknowledged {
			t.Fatalf("segment %d was acknowledged, the journal ends at %d", acknowledged, j.Last())
		}
		holds(t, j, 1, j.Last())
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0}, 40))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d%s", 1, suffix)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := open(dir, FileSize)
		if err != nil {
			return
		}
		defer j.Close()
		if err := j.Segments(t.Context(), 0, func(uint64, []byte) error { return nil }); err != nil {
			t.Errorf("what was opened cannot be read: %v", err)
		}
		if err := j.Append(j.Last()+1, []byte("x"), false); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j := opened(b, b.TempDir(), FileSize)
	content := make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Append(j.Last()+1, content, false); err != nil {
			b.Fatal(err)
		}
	}
}
