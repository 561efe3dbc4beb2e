package config

import (
	"fmt"
	"maps"
	"slices"
)

// DidYouMean returns a hint at the known name that an unknown one is most likely a misspelling of, to be put behind a
// message; "" if none is near.
func DidYouMean(unknown string, known []string) string {
	best, nearest := "", min(max(2, len(unknown)/3+1), len(unknown)) // a word of which nothing is left is another word
	for _, name := range known {
		if d := distance(unknown, name); d < nearest {
			best, nearest = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance counts the characters that have to be inserted, removed, replaced or swapped with their neighbour to turn
// a into b (optimal string alignment).
func distance(a, b string) int {
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := above[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(above[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}

// known returns the keys of a map in order, for DidYouMean.
func known[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
