package record

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the pages of testdata/explain")

const pageMark = "-- page --\n"

// Each file holds a record as JSON and, below the mark, its page.
func TestExplain(t *testing.T) {
	files, err := filepath.Glob("testdata/explain/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(golden), pageMark)
			if !found {
				t.Fatalf("no line %q", pageMark)
			}
			r, err := Parse([]byte(input))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := Explain(&got, &r); err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(input+pageMark+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func TestExplainReportsTheWritersError(t *testing.T) {
	pr, pw := io.Pipe()
	pr.CloseWithError(io.ErrClosedPipe)
	if err := Explain(pw, &Record{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestSpan(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0 µs"},
		{0, "0 µs"},
		{50 * time.Nanosecond, "0.05 µs"},
		{840 * time.Microsecond, "840 µs"},
		{999_960 * time.Nanosecond, "1 ms"},
		{3_254 * time.Microsecond, "3.25 ms"},
		{999_960 * time.Microsecond, "1 s"},
		{12_849 * time.Millisecond, "12.8 s"},
		{59_990 * time.Millisecond, "1m0s"},
		{125 * time.Second, "2m5s"},
		{15 * time.Minute, "15m0s"},
	}
	for _, tt := range tests {
		if got := span(tt.d); got != tt.want {
			t.Errorf("span(%d) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567"} {
		if got := Grouped(n); got != want {
			t.Errorf("Grouped(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	tests := []struct {
		start, took, whole time.Duration
		want               string
	}{
		{0, 30, 30, strings.Repeat("━", 30)},
		{0, 0, 30, "━" + strings.Repeat("·", 29)},
		{10, 10, 30, strings.Repeat("·", 10) + strings.Repeat("━", 10) + strings.Repeat("·", 10)},
		{30, 5, 30, strings.Repeat("·", 29) + "━"},
		{90, 90, 30, strings.Repeat("·", 29) + "━"},
		{0, 1, 0, ""},
	}
	for _, tt := range tests {
		if got := bar(tt.start, tt.took, tt.whole); got != tt.want {
			t.Errorf("bar(%d, %d, %d) = %q, want %q", tt.start, tt.took, tt.whole, got, tt.want)
		}
	}
}
