package record

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type zeros struct{}

func (zeros) Uint64() uint64 { return 0 }

type ones struct{}

func (ones) Uint64() uint64 { return ^uint64(0) }

func TestNewID(t *testing.T) {
	tests := []struct {
		name   string
		ms     int64
		random rand.Source
		want   string
	}{
		{"the worked example", 1, zeros{}, "req_00000000010000000000000000"},
		{"all random bits", 0, ones{}, "req_0000000000zzzzzzzzzzzzzzzz"},
		{"the last millisecond", 1<<48 - 1, ones{}, "req_7zzzzzzzzzzzzzzzzzzzzzzzzz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(NewID(nil, time.UnixMilli(tt.ms), tt.random))
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if at, ok := IDTime(got); !ok || at.UnixMilli() != tt.ms {
				t.Errorf("IDTime = %v, %t, want %d ms", at, ok, tt.ms)
			}
		})
	}
}

func TestIDsSortByTime(t *testing.T) {
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	var ids []string
	for i := range 1000 {
		ids = append(ids, string(NewID(nil, start.Add(time.Duration(i)*time.Millisecond), Random{})))
	}
	if !slices.IsSorted(ids) {
		t.Error("ids of later milliseconds sort before earlier ones")
	}
	if n := len(slices.Compact(ids)); n != 1000 {
		t.Errorf("%d of 1000 ids differ", n)
	}
}

func TestIDTimeRefuses(t *testing.T) {
	for _, id := range []string{
		"", "req_", "req_0000000001000000000000000", "req_000000000100000000000000000",
		"rec_00000000010000000000000000", "req_80000000010000000000000000",
		"req_0000000001000000000000000u", "req_0000000001000000000000000A", "req_0000000001000000000000000/",
	} {
		if at, ok := IDTime(id); ok {
			t.Errorf("IDTime(%q) = %v, want none", id, at)
		}
	}
}

func FuzzIDTime(f *testing.F) {
	f.Add("req_00000000010000000000000000")
	f.Add("req_8000000001000000000000000u")
	f.Fuzz(func(t *testing.T, id string) {
		at, ok := IDTime(id)
		if !ok {
			return
		}
		again := NewID(nil, at, zeros{})
		if string(again[:len(idPrefix)+idTime]) != id[:len(idPrefix)+idTime] {
			t.Fatalf("%s holds the time of %s", id, again)
		}
	})
}

func TestNewIDAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, IDLength)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { buf = NewID(buf[:0], now, Random{}) }); n != 0 {
		t.Errorf("NewID allocates %v times, want 0", n)
	}
}

func BenchmarkNewID(b *testing.B) {
	buf := make([]byte, 0, IDLength)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		buf = NewID(buf[:0], now, Random{})
	}
}
