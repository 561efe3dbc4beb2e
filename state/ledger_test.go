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

// A process that appends is killed, again and again: what it had acknowledged is there, in order, and whole.
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
		for until := acknowledged + 1 + rand.Uint64N(3000); lines.Scan(); {
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
	return last
}

func TestLedgerMethodsHeedTheEnd(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	closeState(t, s)
	calls := map[string]error{
		"Append": s.Append(1, []byte("x"), false),
		"Write":  s.Write(maps.All(map[string][]byte{"x": {1}})),
		"Drop":   s.Drop(context.Background(), 1),
		"Scan":   s.Scan(context.Background(), "", "", func(string, []byte) error { return nil }),
		"Backup": s.Backup(context.Background(), new(strings.Builder)),
	}
	_, _, calls["Read"] = s.Read("x")
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
	for number := last + 1; err == nil; number++ {
		segment := slices.Repeat(binary.LittleEndian.AppendUint64(nil, number), 1+int(number*37%500))
		if err = s.Append(number, segment, false); err == nil {
			_, err = fmt.Fprintln(os.Stdout, number)
		}
	}
	return err
}
