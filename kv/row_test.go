package kv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"
)

func TestRows(t *testing.T) {
	w := &window{part: 300, last: 5, used: 3}
	w.counts[0], w.counts[16] = 1, 2
	for _, test := range []struct {
		name string
		e    entry
		want string
	}{
		{"the example", entry{kind: plain, version: 300, value: []byte("hi"), size: 2}, "0101ac02006869"},
		{"empty", entry{kind: plain, version: 1}, "01010100"},
		{"counter", entry{kind: counter, version: 1, expires: 2, number: -3}, "0102010205"},
		{"window", entry{kind: sliding, version: 1, expires: 2, window: w}, "01030102ac02050100000000000000000000000000000002"},
	} {
		row := test.e.appendRow(nil)
		if got := hex.EncodeToString(row); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		var e entry
		if err := e.parse(row); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if !bytes.Equal(e.appendRow(nil), row) || e.window != nil && *e.window != *w {
			t.Errorf("%s: read back it is %+v", test.name, e)
		}
	}
}

// FuzzRow reads whatever bytes as a row. Either that is refused, or what it says can be written, and used.
func FuzzRow(f *testing.F) {
	for _, seed := range []string{
		"", "01", "0101ac02006869", "01010100", "0102010205", "01030102ac02050100000000000000000000000000000002",
		"020101006869", "0100010000", "0104010000", "0102010205ff", "0101ffffffffffffffffff0100", "01020180",
		"010301020005010000000000000000000000000000000002", "01030102ac0205ffffffffffffffff7fffffffffffffffff7f000000000000000000000000000000",
	} {
		row, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		var e, again entry
		if e.parse(row) != nil {
			return
		}
		written := e.appendRow(nil)
		if err := again.parse(written); err != nil || !bytes.Equal(again.appendRow(nil), written) {
			t.Fatalf("%x was read, and written as %x; that reads %v, %+v", row, written, err, again)
		}
		d, c := newDisk(), newClock()
		d.rows["kv/p/k"] = row
		n := only(t, quiet(d, c))
		checked(t, n)
		text(n, "k")
		n.Incr([]byte("k"), 1, 0, 10, 0)
		for _, length := range []time.Duration{1, time.Minute, MaxWindow} {
			if _, used, reset, _ := n.WindowAdd([]byte("k"), 1, 10, length); used < 0 || reset < 0 {
				t.Fatalf("%x: %d used, reset %d", row, used, reset)
			}
		}
		checked(t, n)
		flushed(t, n)
	})
}

func TestRowsThatMakeNoSense(t *testing.T) {
	for _, test := range []struct{ name, row string }{
		{"nothing", ""},
		{"another version", "0201010068"},
		{"no kind", "01000100"},
		{"an unknown kind", "01040100"},
		{"ends in its version", "0101ff"},
		{"ends before it expires", "010101"},
		{"expires before 1970", "010101ffffffffffffffffff01"},
		{"a counter without a number", "01020100"},
		{"a counter and more", "010201000505"},
		{"a window without parts", "010301020005010000000000000000000000000000000002"},
		{"a window of years", "01030102ffffffffffffffff3f05010000000000000000000000000000000002"},
		{"a window that ends early", "01030102ac0205010000"},
		{"a window with too much used", "01030102ac0205ffffffffffffffff7fffffffffffffffff7f000000000000000000000000000000"},
	} {
		row, err := hex.DecodeString(test.row)
		if err != nil {
			t.Fatal(err)
		}
		var e entry
		if err := e.parse(row); err == nil {
			t.Errorf("%s: read as %+v", test.name, e)
		} else if test.name != "another version" && test.name != "nothing" && !errors.Is(err, errRow) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
