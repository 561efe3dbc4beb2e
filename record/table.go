package record

import (
	"strings"
	"time"
	"unicode/utf8"
)

// A cell that begins with one of these marks is not aligned on the left. Cleaned text never holds them.
const (
	alignRight = "\x01" // on the right
	alignPoint = "\x02" // on the decimal point, as money is
)

const columnGap = "  "

// table writes rows in columns as wide as their widest cell, indented and without white space at the end of a line.
// The last cell of a row may be as long as it likes.
func (p *page) table(rows [][]string) {
	var width, point [8]int // no table here has more columns
	for _, row := range rows {
		for i, cell := range row {
			if text, ok := strings.CutPrefix(cell, alignPoint); ok {
				point[i] = max(point[i], strings.IndexByte(text, '.'))
			}
			if i < len(row)-1 || strings.HasPrefix(cell, alignRight) {
				width[i] = max(width[i], utf8.RuneCountInString(strings.TrimPrefix(cell, alignRight)))
			}
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(columnGap)
			line.WriteString(pad(cell, width[i], point[i]))
		}
		p.WriteString(strings.TrimRight(line.String(), " "))
		p.WriteByte('\n')
	}
}

// pad fills a cell up with blanks to the width of its column.
func pad(cell string, width, point int) string {
	if text, ok := strings.CutPrefix(cell, alignPoint); ok {
		cell = strings.Repeat(" ", point-strings.IndexByte(text, '.')) + text
	}
	text, right := strings.CutPrefix(cell, alignRight)
	blanks := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if right {
		return blanks + text
	}
	return text + blanks
}

// barLength is the length of the time line, in characters.
const barLength = 30

// bar draws the time from start, for a duration, on a line that stands for the whole exchange.
func bar(start, took, whole time.Duration) string {
	if whole <= 0 {
		return ""
	}
	at := func(d time.Duration) int {
		return int(min(max(float64(d)/float64(whole), 0), 1) * barLength)
	}
	from := min(at(start), barLength-1)
	length := max(at(start+took)-from, 1)
	return strings.Repeat("·", from) + strings.Repeat("━", length) + strings.Repeat("·", barLength-from-length)
}
