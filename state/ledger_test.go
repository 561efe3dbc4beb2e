package state

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/state/journal"
)

// A process that appends, and writes books and usage up to that, is killed again and again: what it had acknowledged is
// there, in order, and whole.
func TestAppendSurvivesKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 20 processes")
	}
	dir := t.TempDir()
	var acknowledged uint64
	for round := range 20 {
		cmd, said := child(t, "append", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for until := acknowledged + 1 + rand.Uint64N(100<<min(round, 5)); lines.Scan(); {
			if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				acknowledged = n
			}
			if acknowledged == until {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || said.Len() > 0 {
			t.Fatalf("round %d: the process ended by itself: %v, %s", round, err, said)
		}
		acknowledged = checkSegments(t, dir, acknowledged)
	}
	t.Logf("%d segments", acknowledged)
}

// checkSegments returns the number of the last segment, which is at least what was acknowledged.
func checkSegments(t *testing.T, dir string, acknowledged uint64) uint64 {
	t.Helper()
	s := openState(t, dir, Options{})
	defer closeState(t, s)
	var last uint64
	err := s.Segments(context.Background(), 1, func(number uint64, segment []byte) error {
		if last++; number != last || len(segment) != 8*(1+int(number*37%500)) {
			return fmt.Errorf("segment %d of %d bytes after %d", number, len(segment), last-1)
		}
		for i := 0; i < len(segment); i += 8 {
			if binary.LittleEndian.Uint64(segment[i:]) != number {
				return fmt.Errorf("segment %d is torn", number)
			}
		}
		return nil
	})
	if err != nil || last < acknowledged {
		t.Fatalf("%d segments, %v, but %d were acknowledged", last, err, acknowledged)
	}
	for _, key := range []string{"first", "last"} {
		value, _, err := s.ReadBook(key)
		if n, _ := strconv.ParseUint(string(value), 10, 64); err != nil || n < acknowledged || n > last {
			t.Fatalf("the books say %d, and %d of %d segments were acknowledged: %v", n, acknowledged, last, err)
		}
	}
	upTo := s.UsageUpTo(usedDay)
	var want []string // nothing, if the process had no time for a first addition
	if upTo > 0 {
		want = append(want, fmt.Sprintf("%s all label of all [%d] %d", usedDay, upTo/useEvery, upTo))
	}
	if upTo > last || upTo+useEvery < acknowledged || !slices.Equal(used(t, s), want) {
		t.Fatalf("%s are used, want %s; %d segments were acknowledged", used(t, s), want, acknowledged)
	}
	return last
}

// The day of the usage that the child adds to, and of how many segments it adds one.
const (
	usedDay  = "2026-11-21"
	useEvery = 50
)

func TestLedgerMethodsHeedTheEnd(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	closeState(t, s)
	calls := map[string]error{
		"Append":     s.Append(1, []byte("x"), false),
		"WriteBooks": s.WriteBooks(maps.All(map[string][]byte{"x": {1}})),
		"ScanBooks":  s.ScanBooks(context.Background(), "", "", func(string, []byte) error { return nil }),
		"AddUsage":   s.AddUsage(usedDay, 1, sumsOf(map[string]int64{"a": 1})),
		"Usage":      s.Usage(context.Background(), "", "", func(string, string, string, []int64) error { return nil }),

		"Write":  s.Write(maps.All(map[string][]byte{"x": {1}})),
		"Drop":   s.Drop(context.Background(), 1),
		"Scan":   s.Scan(context.Background(), "", "", func(string, []byte) error { return nil }),
		"Backup": s.Backup(context.Background(), new(strings.Builder)),
	}
	_, _, calls["Read"] = s.Read("x")
	_, _, calls["ReadBook"] = s.ReadBook("x")
	for name, err := range calls {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want %v", name, err, ErrClosed)
		}
	}
}

// Dropping gives the space back, file by file.
func TestDropGivesTheSpaceBack(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	segment := make([]byte, 1<<20)
	const files = 4
	var last uint64
	for s.journal.Size() < files*journal.FileSize {
		last++
		if err := s.Append(last, segment, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drop(context.Background(), last); err != nil {
		t.Fatal(err)
	}
	if size := s.journal.Size(); size > journal.FileSize+2<<20 {
		t.Errorf("%d MiB are left of %d", size>>20, files*journal.FileSize>>20)
	}
}

// appendForever appends segments and says so, until it is killed.
func appendForever(dir string) error {
	s, err := Open(dir, Options{Free: plenty, Ballast: -1})
	if err != nil {
		return err
	}
	last, err := s.LastSegment()
	if n := last / useEvery * useEvery; err == nil && n > s.UsageUpTo(usedDay) { // what the one before had no time for
		err = s.AddUsage(usedDay, n, sumsOf(map[string]int64{"all": 1}))
	}
	for number := last + 1; err == nil; number++ {
		segment := slices.Repeat(binary.LittleEndian.AppendUint64(nil, number), 1+int(number*37%500))
		err = s.Append(number, segment, false)
		if err == nil {
			err = s.WriteBooks(func(yield func(string, []byte) bool) {
				value := strconv.AppendUint(nil, number, 10)
				_ = yield("first", value) && yield(fmt.Sprint("row/", number%100), make([]byte, number%1000)) && yield("last", value)
			})
		}
		if err == nil && number%useEvery == 0 {
			err = s.AddUsage(usedDay, number, sumsOf(map[string]int64{"all": 1}))
		}
		if err == nil && number%(3*useEvery) == 0 {
			err = s.usage.Merge(context.Background(), usedDay)
		}
		if err == nil {
			_, err = fmt.Fprintln(os.Stdout, number)
		}
	}
	return err
}
