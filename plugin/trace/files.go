package trace

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Folder is where traces are within the data folder.
const Folder = "traces"

// suffix ends the names of segments, which are numbers.
const suffix = ".jsonl"

// segment is one file of a folder of traces.
type segment struct {
	number uint64
	size   int64
	path   string
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, suffix))
}

// segments returns the segments of a folder, the oldest first. Other files are none of ours.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.ParseUint(name, 10, 63)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // it was removed meanwhile, or is no file
		}
		all = append(all, segment{number, info.Size(), filepath.Join(dir, e.Name())})
	}
	slices.SortFunc(all, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}
