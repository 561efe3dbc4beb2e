package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	table := newTable("NAME", ">COUNT", ".COST", "NOTE")
	table.row("a", count(1), "$1.50", "")
	table.row("größer", count(-1234567), "-$10.000000001", "x\x1b[31m\u202ey")
	table.row("", count(999), "$0", "z")
	var out strings.Builder
	if err := table.write(&out); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"NAME         COUNT            COST  NOTE\n" +
		"a                1    $1.50\n" +
		"größer  -1,234,567  -$10.000000001  x�[31m�y\n" +
		"               999    $0            z\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
