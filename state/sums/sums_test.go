package sums

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func opened(t testing.TB, dir string, most int) *Sums {
	t.Helper()
	s, err := open(dir, most)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// row makes a row from "key label 1 2 3".
func row(text string) Row {
	var r Row
	fields := strings.Split(text, " ")
	r.Key, r.Label = fields[0], fields[1]
	for _, f := range fields[2:] {
		var n int64
		if _, err := fmt.Sscan(f, &n); err != nil {
			panic(err)
		}
		r.Numbers = append(r.Numbers, n)
	}
	return r
}

func rows(texts ...string) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for _, text := range texts {
			if !yield(row(text)) {
				return
			}
		}
	}
}

func add(t testing.TB, s *Sums, day string, upTo uint64, texts ...string) {
	t.Helper()
	if err := s.Add(day, upTo, rows(texts...)); err != nil {
		t.Fatal(err)
	}
}

func merge(t testing.TB, s *Sums, today string) {
	t.Helper()
	if err := s.Merge(t.Context(), today); err != nil {
		t.Fatal(err)
	}
}

// read returns what is there, as "day key label 1 2 3".
func read(s *Sums, from, to string) (texts []string, err error) {
	err = s.Read(context.Background(), from, to, func(day string, r *Row) error {
		text := day + " " + r.Key + " " + r.Label
		for _, n := range r.Numbers {
			text += fmt.Sprintf(" %d", n)
		}
		texts = append(texts, text)
		return nil
	})
	return texts, err
}

func holds(t testing.TB, s *Sums, want ...string) {
	t.Helper()
	if got, err := read(s, "", ""); err != nil || !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q: %v", got, want, err)
	}
}

// files returns the names of the files in a folder, in order.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

const (
	monday    = "2026-07-13"
	tuesday   = "2026-07-14"
	wednesday = "2026-07-15"
	thursday  = "2026-07-16"
)

func TestAdditionsAreAddedUp(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 16)
	add(t, s, tuesday, 7, "a one 1 2 3", "b\x00c x -4")
	add(t, s, monday, 3, "z z 1")
	add(t, s, tuesday, 9, "a two 10 20", "a\x00 new", "b\x00c  4 5")
	add(t, s, tuesday, 12, " empty 1")
	want := []string{
		monday + " z z 1",
		tuesday + "  empty 1", tuesday + " a two 11 22 3", tuesday + " a\x00 new", tuesday + " b\x00c  0 5",
	}
	holds(t, s, want...)
	merge(t, s, thursday)
	holds(t, s, want...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir, 16)
	holds(t, s, want...)
	if a, b, c := s.UpTo(monday), s.UpTo(tuesday), s.UpTo(wednesday); a != 3 || b != 12 || c != 0 {
		t.Errorf("the last additions are %d, %d, %d", a, b, c)
	}
	for _, x := range []struct {
		from, to string
		want     []string
	}{
		{"", monday, want[:1]}, {monday, monday, want[:1]}, {tuesday, "", want[1:]}, {monday, tuesday, want},
		{wednesday, "", nil}, {"", "2026-07-12", nil}, {tuesday, monday, nil},
	} {
		if got, err := read(s, x.from, x.to); err != nil || !slices.Equal(got, x.want) {
			t.Errorf("from %q to %q: read %q, want %q: %v", x.from, x.to, got, x.want, err)
		}
	}
}

func TestAnAdditionCountsOnce(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 16)
	add(t, s, monday, 5, "a a 1")
	add(t, s, monday, 5, "a a 1")
	add(t, s, monday, 4, "a a 1")
	add(t, s, monday, 0, "a a 1")
	add(t, s, monday, 6)
	if names := files(t, dir); len(names) != 1 || s.UpTo(monday) != 5 {
		t.Errorf("the last is %d, the files are %q", s.UpTo(monday), names)
	}
	s = opened(t, dir, 16)
	add(t, s, monday, 5, "a a 1")
	holds(t, s, monday+" a a 1")
	add(t, s, monday, math.MaxUint64, "a a 1")
	merge(t, s, thursday)
	s = opened(t, dir, 16)
	if s.UpTo(monday) != math.MaxUint64 {
		t.Errorf("the last is %d", s.UpTo(monday))
	}
	holds(t, s, monday+" a a 2")
}

func TestSumsStayAtTheBounds(t *testing.T) {
	s := opened(t, t.TempDir(), 16)
	add(t, s, monday, 1, "a a 9223372036854775807 -9223372036854775808 9223372036854775806 -9223372036854775808")
	add(t, s, monday, 2, "a a 1 -1 1 9223372036854775807")
	holds(t, s, monday+" a a 9223372036854775807 -9223372036854775808 9223372036854775807 -1")
	add(t, s, monday, 3, "a a 9223372036854775807 -9223372036854775808")
	merge(t, s, thursday)
	holds(t, s, monday+" a a 9223372036854775807 -9223372036854775808 9223372036854775807 -1")
}

func TestRowsOfAnySize(t *testing.T) {
	s := opened(t, t.TempDir(), 2)
	numbers := slices.Repeat([]int64{math.MinInt64}, MaxNumbers)
	want := map[string]int{}
	for upTo := range uint64(4) {
		rows := func(yield func(Row) bool) {
			for i := range 12 {
				key := fmt.Sprintf("%02d%s", i, strings.Repeat("k", (MaxText-2)*(i%4)/3))
				want[key] = MaxText * (i % 3) / 2
				if !yield(Row{key, strings.Repeat("l", want[key]), numbers[:MaxNumbers*(i%5)/4]}) {
					return
				}
			}
		}
		if err := s.Add(monday, upTo+1, rows); err != nil {
			t.Fatal(err)
		}
		merge(t, s, monday)
		i := 0
		err := s.Read(t.Context(), "", "", func(_ string, r *Row) error {
			if label, ok := want[r.Key]; !ok || len(r.Label) != label || len(r.Numbers) != MaxNumbers*(i%5)/4 {
				t.Errorf("row %d: a key of %d, a label of %d bytes, %d numbers", i, len(r.Key), len(r.Label), len(r.Numbers))
			}
			i++
			return nil
		})
		if err != nil || i != 12 {
			t.Errorf("%d rows: %v", i, err)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, 16)
	add(t, s, monday, 1, "a a 1")
	many := strings.Repeat("k", 2*writeSize/3)
	for name, r := range map[string][]Row{
		"descending":    {{Key: "b"}, {Key: "a"}},
		"twice":         {{Key: "b"}, {Key: "b"}},
		"twice nothing": {{}, {}},
		"late":          {{Key: many}, {Key: many + "1"}, {Key: many + "2"}, {Key: "a"}},
		"key":           {{Key: strings.Repeat("k", MaxText+1)}},
		"label":         {{Label: strings.Repeat("k", MaxText+1)}},
		"numbers":       {{Numbers: make([]int64, MaxNumbers+1)}},
	} {
		if err := s.Add(monday, 2, slices.Values(r)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for _, day := range []string{"", "2026-7-1", "2026-02-30", "../../passwd", "2026-07-13x", " 2026-07-13", "20260713"} {
		if err := s.Add(day, 2, rows("a a 1")); err == nil {
			t.Errorf("the day %q was taken", day)
		}
		if err := s.Merge(t.Context(), day); err == nil {
			t.Errorf("merging on the day %q", day)
		}
		if _, err := read(s, day, day); err == nil && day != "" {
			t.Errorf("the day %q was read", day)
		}
	}
	if names := files(t, dir); len(names) != 1 || s.UpTo(monday) != 1 {
		t.Errorf("the last is %d, the files are %q", s.UpTo(monday), names)
	}
	holds(t, s, monday+" a a 1")
	add(t, s, monday, 2, "a a 1")
	holds(t, s, monday+" a a 2")
}

// model is what the sums must be.
type model struct {
	dir  string
	s    *Sums
	most int
	upTo map[string]uint64
	days map[string]map[string]Row
}

var days = []string{monday, tuesday, wednesday, thursday}

func (m *model) add(t *rapid.T) {
	day := rapid.SampledFrom(days).Draw(t, "day")
	upTo := m.upTo[day] + rapid.Uint64Range(0, 3).Draw(t, "more")
	keys := rapid.SliceOfDistinct(rapid.StringMatching(`[ab\x00]{0,3}`), rapid.ID[string]).Draw(t, "keys")
	slices.Sort(keys)
	var batch []Row
	for _, key := range keys {
		batch = append(batch, Row{
			Key: key, Label: rapid.StringMatching(`[xy]?`).Draw(t, "label"),
			Numbers: rapid.SliceOfN(rapid.Int64Range(-1<<40, 1<<40), 0, 4).Draw(t, "numbers"),
		})
	}
	if err := m.s.Add(day, upTo, slices.Values(batch)); err != nil {
		t.Fatal(err)
	}
	if upTo == m.upTo[day] || len(batch) == 0 {
		return
	}
	m.upTo[day] = upTo
	if m.days[day] == nil {
		m.days[day] = map[string]Row{}
	}
	for _, r := range batch {
		sum := m.days[day][r.Key]
		sum.Key, sum.Label = r.Key, r.Label
		sum.Numbers = append(slices.Clone(sum.Numbers), make([]int64, max(0, len(r.Numbers)-len(sum.Numbers)))...)
		for i, n := range r.Numbers {
			sum.Numbers[i] += n
		}
		m.days[day][r.Key] = sum
	}
}

func (m *model) merge(t *rapid.T) {
	today := rapid.SampledFrom(days).Draw(t, "today")
	if err := m.s.Merge(t.Context(), today); err != nil {
		t.Fatal(err)
	}
	yesterday, _ := dayBefore(today)
	for day, parts := range m.s.days {
		if len(parts) > m.most || day < yesterday && len(parts) > 1 {
			t.Errorf("on %s, %s has %d parts", today, day, len(parts))
		}
	}
}

func (m *model) reopen(t *rapid.T) {
	err := m.s.Close()
	if err == nil {
		m.s, err = open(m.dir, m.most)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) check(t *rapid.T) {
	var want []string
	for _, day := range days {
		if m.s.UpTo(day) != m.upTo[day] {
			t.Fatalf("the last addition to %s is %d, want %d", day, m.s.UpTo(day), m.upTo[day])
		}
		for _, key := range slices.Sorted(maps.Keys(m.days[day])) {
			text := day + " " + key + " " + m.days[day][key].Label
			for _, n := range m.days[day][key].Numbers {
				text += fmt.Sprintf(" %d", n)
			}
			want = append(want, text)
		}
	}
	if got, err := read(m.s, "", ""); err != nil || !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q: %v", got, want, err)
	}
	var listed, there []string
	snapshot, err := m.s.Snapshot()
	for _, f := range snapshot {
		listed = append(listed, f.Name)
		f.Close()
	}
	entries, _ := os.ReadDir(m.dir)
	for _, e := range entries {
		there = append(there, e.Name())
	}
	if err != nil || !slices.Equal(listed, there) {
		t.Fatalf("listed are %q, there are %q: %v", listed, there, err)
	}
}

func TestSumsAreThoseOfAModel(test *testing.T) {
	rapid.Check(test, func(t *rapid.T) {
		dir := test.TempDir()
		m := &model{
			dir: dir, most: rapid.IntRange(1, 4).Draw(t, "most"),
			upTo: map[string]uint64{}, days: map[string]map[string]Row{},
		}
		var err error
		if m.s, err = open(dir, m.most); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"add": m.add, "add again": m.add, "add more": m.add, "merge": m.merge, "reopen": m.reopen, "": m.check,
		})
	})
}

func TestPartsToMerge(t *testing.T) {
	for _, x := range []struct {
		sizes string
		most  int
		want  int // how many of the newest
	}{
		{"", 1, 0}, {"5", 1, 0}, {"5 5", 1, 2}, {"100 1 1", 1, 3}, {"1 1 1", 3, 0}, {"1 1 1 1", 3, 4},
		{"100 1 1 1", 3, 3}, {"6 1 1 1", 3, 4}, {"7 1 1 1", 3, 3}, {"1 1 1 100", 3, 4}, {"1 1 100 1", 3, 4},
		{"1000 500 100 1", 3, 2}, {"300 200 100 1", 3, 4},
		{strings.Repeat("1 ", mostMerged+9), 16, mostMerged}, {strings.Repeat("1 ", mostMerged+9), 1, mostMerged},
	} {
		var parts []part
		for i, f := range strings.Fields(x.sizes) {
			p := part{first: uint64(i)}
			fmt.Sscan(f, &p.size)
			parts = append(parts, p)
		}
		if got := choose(parts, x.most); len(got) != x.want || len(got) > 0 && got[len(got)-1] != parts[len(parts)-1] {
			t.Errorf("%.30s of at most %d: %d are merged, want %d", x.sizes, x.most, len(got), x.want)
		}
	}
}

// The day before today is still being added to: it is merged only as far as it has too many parts.
func TestDaysThatAreMerged(t *testing.T) {
	s := opened(t, t.TempDir(), 2)
	for day, n := range map[string]uint64{monday: 2, tuesday: 2, wednesday: 3, thursday: 2} {
		for upTo := range n {
			add(t, s, day, upTo+1, "a a 1")
		}
	}
	for _, x := range []struct {
		today string
		want  [4]int
	}{
		{monday, [4]int{2, 2, 1, 2}}, {tuesday, [4]int{2, 2, 1, 2}}, {wednesday, [4]int{1, 2, 1, 2}},
		{thursday, [4]int{1, 1, 1, 2}}, {"2026-07-18", [4]int{1, 1, 1, 1}},
	} {
		merge(t, s, x.today)
		var got [4]int
		for i, day := range days {
			got[i] = len(s.days[day])
		}
		if got != x.want {
			t.Errorf("on %s: %v parts, want %v", x.today, got, x.want)
		}
	}
	holds(t, s, monday+" a a 2", tuesday+" a a 2", wednesday+" a a 3", thursday+" a a 2")
}

// A day to which equal parts are added costs each of their rows a few writes, and few files.
func TestMergingIsLogarithmic(t *testing.T) {
	var parts []part
	var written, added int64
	for i := range 3000 {
		parts = append(parts, part{first: uint64(i), size: 100})
		added += 100
		if taken := choose(parts, mostParts); len(taken) > 0 {
			sum := int64(0)
			for _, p := range taken {
				sum += p.size
			}
			written += sum
			parts = append(parts[:len(parts)-len(taken)], part{first: taken[0].first, size: sum})
		}
		if len(parts) > mostParts {
			t.Fatalf("%d parts", len(parts))
		}
	}
	if written > 8*added {
		t.Errorf("%d bytes were written again for %d", written, added)
	}
}

func TestBesideEachOther(t *testing.T) {
	s := opened(t, t.TempDir(), 2)
	s.syncFolder = func(string) error { return nil }
	const additions = 60
	var adders, others sync.WaitGroup
	done := make(chan struct{})
	for _, day := range []string{monday, wednesday, monday} { // two who add the same
		adders.Go(func() {
			for n := range uint64(additions) {
				if err := s.Add(day, n+1, rows("a a 1 -1", fmt.Sprintf("b%d b 1", n%3), "c c 1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	until := func(f func() error) {
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
			}
			if err := f(); err != nil {
				t.Error(err)
			}
		}
	}
	others.Go(func() { until(func() error { return s.Merge(t.Context(), wednesday) }) })
	others.Go(func() { until(func() error { return s.Merge(t.Context(), thursday) }) })
	others.Go(func() {
		until(func() error {
			files, err := s.Snapshot()
			for _, f := range files {
				err = errors.Join(err, f.Close())
			}
			return err
		})
	})
	others.Go(func() {
		last := map[string]int64{}
		until(func() error {
			return s.Read(t.Context(), "", "", func(day string, r *Row) error {
				if r.Key == "a" && (r.Numbers[0] < last[day] || r.Numbers[0] != -r.Numbers[1]) {
					t.Errorf("%s: %v after %d", day, r.Numbers, last[day])
				}
				if r.Key == "a" {
					last[day] = r.Numbers[0]
				}
				if r.Key == "c" && r.Numbers[0] != last[day] {
					t.Errorf("%s: half an addition: %d and %d", day, last[day], r.Numbers[0])
				}
				return nil
			})
		})
	})
	adders.Wait()
	close(done)
	others.Wait()
	var want []string
	for _, day := range []string{monday, wednesday} {
		want = append(want, day+" a a 60 -60", day+" b0 b 20", day+" b1 b 20", day+" b2 b 20", day+" c c 60")
	}
	holds(t, s, want...)
}

func TestReadSeesADayAsItWasBegun(t *testing.T) {
	s := opened(t, t.TempDir(), 1)
	add(t, s, monday, 1, "a a 1", "b b 1")
	add(t, s, monday, 2, "a a 1", "b b 1")
	add(t, s, tuesday, 1, "a a 1")
	var got []int64
	err := s.Read(t.Context(), "", "", func(_ string, r *Row) error {
		if len(got) == 0 {
			add(t, s, monday, 3, "a a 1", "b b 1")
			add(t, s, tuesday, 3, "a a 1")
			merge(t, s, thursday)
		}
		got = append(got, r.Numbers...)
		return nil
	})
	if want := []int64{2, 2, 2}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v, want %v: %v", got, want, err)
	}
}

func TestReadAndMergeEnd(t *testing.T) {
	s := opened(t, t.TempDir(), 16)
	for n := range uint64(2) {
		many := func(yield func(Row) bool) {
			for i := range 3 * checkRows {
				if !yield(Row{Key: fmt.Sprintf("%06d", i), Numbers: []int64{1}}) {
					return
				}
			}
		}
		if err := s.Add(monday, n+1, many); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	err := s.Read(t.Context(), "", "", func(string, *Row) error { calls++; return io.ErrNoProgress })
	if !errors.Is(err, io.ErrNoProgress) || calls != 1 {
		t.Errorf("%d calls, and %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	err = s.Read(ctx, "", "", func(string, *Row) error { calls++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || calls > checkRows {
		t.Errorf("after %d calls: %v", calls, err)
	}
	if err := s.Merge(ctx, thursday); !errors.Is(err, context.Canceled) || len(files(t, s.dir)) != 2 {
		t.Errorf("merging: %v; the files are %q", err, files(t, s.dir))
	}
	calls = 0
	err = s.Read(t.Context(), "", "", func(string, *Row) error { calls++; return s.Close() })
	if !errors.Is(err, ErrClosed) || calls > checkRows {
		t.Errorf("after %d calls: %v", calls, err)
	}
	_, snapshot := s.Snapshot()
	_, reading := read(s, "", "")
	_, nothing := read(s, thursday, "")
	for name, err := range map[string]error{
		"add": s.Add(monday, 9, rows("a a 1")), "merge": s.Merge(t.Context(), thursday), "snapshot": snapshot,
		"read": reading, "read nothing": nothing,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestSnapshotStaysAsItIs(t *testing.T) {
	s := opened(t, t.TempDir(), 16)
	add(t, s, tuesday, 5, "a a 1")
	add(t, s, monday, 2, "a a 1")
	add(t, s, monday, 11, "a a 2")
	parts, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	merge(t, s, thursday)
	add(t, s, tuesday, 6, "a a 1")
	copied, names := t.TempDir(), []string{}
	for _, f := range parts {
		content, err := io.ReadAll(f)
		if err != nil || int64(len(content)) != f.Size {
			t.Fatalf("%s: %d bytes, not %d: %v", f.Name, len(content), f.Size, err)
		}
		if err := os.WriteFile(filepath.Join(copied, f.Name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
		f.Close()
	}
	if len(names) != 3 || !slices.IsSorted(names) {
		t.Errorf("the names are %q", names)
	}
	holds(t, opened(t, copied, 16), monday+" a a 3", tuesday+" a a 1")
}
