package journal

import (
	"errors"
	"fmt"
	"os"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// Create makes a journal in a folder that has none, whose first segment will have the number first: one that is
// restored goes on counting where it was.
func Create(dir string, first uint64) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the journal's folder: %w", err)
	}
	switch firsts, err := durable.Numbered(dir, suffix); {
	case err != nil:
		return nil, fmt.Errorf("listing the journal: %w", err)
	case len(firsts) > 0:
		return nil, fmt.Errorf("making a journal in %s: %w", dir, os.ErrExist)
	case first == 0:
		return nil, errors.New("the numbers of a journal's segments begin at 1")
	}
	j := &Journal{dir: dir, fileSize: FileSize}
	if err := j.begin(first); err != nil {
		return nil, err
	}
	return j, nil
}
