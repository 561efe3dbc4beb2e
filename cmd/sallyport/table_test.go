package main

import (
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/record"
)

func TestTable(t *testing.T) {
	table := newTable("NAME", ">COUNT", ".COST", "NOTE")
	table.row("a", record.Grouped(1), "$1.50", "")
	table.row("größer", record.Grouped(-1234567), "-$10.000000001", "x\x1b[31m\u202ey")
	table.row("", record.Grouped(999), "$0", "z")
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
