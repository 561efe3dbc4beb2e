package main

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/record"
)

// align says how the cells of a column stand under each other.
type align uint8

const (
	left  align = iota
	right       // as counts are
	point       // at the decimal point, as amounts are
)

// Marks of a column's name that say how it is aligned. They are not printed.
const (
	rightMark = ">"
	pointMark = "."
)

const columnGap = "  "

// table is rows in columns as wide as their widest cell, for people at a terminal.
type table struct {
	aligns []align
	rows   [][]string
}

// newTable returns a table with these names on top. One that begins with ">" is of a column of counts, one with "."
// of amounts.
func newTable(names ...string) *table {
	t := &table{}
	head := make([]string, len(names))
	for i, name := range names {
		how := left
		if plain, ok := strings.CutPrefix(name, rightMark); ok {
			name, how = plain, right
		} else if plain, ok := strings.CutPrefix(name, pointMark); ok {
			name, how = plain, point
		}
		head[i] = name
		t.aligns = append(t.aligns, how)
	}
	t.rows = [][]string{head}
	return t
}

// row adds a row. Characters that a terminal would obey are replaced.
func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = record.Printable(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// write writes the table, without white space at the ends of lines.
func (t *table) write(out io.Writer) error {
	for i, how := range t.aligns {
		if how == point {
			t.alignPoints(i)
		}
	}
	widths := make([]int, len(t.aligns))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString(columnGap)
			}
			line.WriteString(pad(cell, widths[i], t.aligns[i]))
		}
		text.WriteString(strings.TrimRight(line.String(), " "))
		text.WriteByte('\n')
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// alignPoints fills the cells of a column up behind, so that their points stand under each other when their ends do.
func (t *table) alignPoints(column int) {
	behind := 0
	for _, row := range t.rows[1:] {
		behind = max(behind, afterPoint(row[column]))
	}
	for _, row := range t.rows[1:] {
		row[column] += strings.Repeat(" ", behind-afterPoint(row[column]))
	}
}

// afterPoint counts the characters of a cell from its decimal point on.
func afterPoint(cell string) int {
	if i := strings.LastIndexByte(cell, '.'); i >= 0 {
		return len(cell) - i
	}
	return 0
}

func pad(cell string, width int, how align) string {
	blanks := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
	if how == left {
		return cell + blanks
	}
	return blanks + cell
}

// dash stands for what is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
