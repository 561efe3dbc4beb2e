package sums

import (
	"fmt"
	"iter"
	"path/filepath"
	"testing"
)

const benchRows = 100_000

// many are rows such as the ledger has: a key, a team and a model, and eight numbers.
func many(from, step int) []Row {
	rows := make([]Row, benchRows)
	for i := range rows {
		n := from + i*step
		rows[i] = Row{
			Key:     fmt.Sprintf("key_01jd2m3n4p5q6r7s%08d\x00team_%04d\x00gpt-5-mini", n, n%1000),
			Label:   "sk-…abcd",
			Numbers: []int64{1, 0, int64(n%5000) + 100, int64(n % 900), 0, 12_345_678 + int64(n), 0, 850},
		}
	}
	return rows
}

func values(rows []Row) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for i := range rows {
			if !yield(rows[i]) {
				return
			}
		}
	}
}

// perRow reports what one of so many rows costs.
func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{10, benchRows} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := opened(b, b.TempDir(), mostParts)
			rows := many(0, 1)[:n]
			upTo := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				upTo++
				if err := s.Add(monday, upTo, values(rows)); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, n)
		})
	}
}

// sixteen adds 16 parts, of the same keys or of different ones.
func sixteen(b *testing.B, same bool) *Sums {
	s := opened(b, b.TempDir(), mostParts)
	for i := range 16 {
		rows := many(0, 1)
		if !same {
			rows = many(i, 16)
		}
		if err := s.Add(monday, uint64(i+1), values(rows)); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func BenchmarkRead(b *testing.B) {
	for _, same := range []bool{true, false} {
		b.Run(fmt.Sprintf("same=%t", same), func(b *testing.B) {
			s := sixteen(b, same)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Read(b.Context(), "", "", func(string, *Row) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, 16*benchRows)
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, same := range []bool{true, false} {
		b.Run(fmt.Sprintf("same=%t", same), func(b *testing.B) {
			s := sixteen(b, same)
			parts, files, err := s.openParts(monday, func(parts []part) []part { return parts })
			if err != nil {
				b.Fatal(err)
			}
			defer closeAll(files)
			dir := b.TempDir()
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range files {
					if _, err := f.Seek(0, 0); err != nil {
						b.Fatal(err)
					}
				}
				w := newWriter(dir, part{day: monday, first: 1, last: parts[len(parts)-1].last})
				if err := s.writeMerged(b.Context(), w, files); err != nil {
					b.Fatal(err)
				}
				if err := w.finish(); err != nil {
					b.Fatal(filepath.Base(w.path), err)
				}
			}
			perRow(b, 16*benchRows)
		})
	}
}
