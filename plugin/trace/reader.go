package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sallyport-dev/sallyport/runtime"
)

// maxLine is how long a line may be that is read, in bytes.
const maxLine = 8 << 20

// ErrNone says that there is no trace at a place.
var ErrNone = errors.New("there is no trace")

// Reader reads the decisions of a trace in the order in which they were written.
type Reader struct {
	files []string // that are not open yet
	name  string   // of the one that is
	file  *os.File
	lines *bufio.Reader
	line  int
	torn  int
}

// Open opens a trace: a file of one, a folder of them, or a data folder that has one. What is written later is not read.
func Open(place string) (*Reader, error) {
	info, err := os.Stat(place)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return &Reader{files: []string{place}}, nil
	}
	for _, dir := range []string{place, filepath.Join(place, Folder)} {
		all, err := segments(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if len(all) > 0 {
			r := &Reader{}
			for _, s := range all {
				r.files = append(r.files, s.path)
			}
			return r, nil
		}
	}
	return nil, fmt.Errorf("%s: %w: it has neither files of one nor a folder %s with them", place, ErrNone, Folder)
}

// Next returns the next decision, io.EOF after the last one. The last line of a file may be torn, because the gateway was
// killed when it wrote it or is about to write the rest: that is passed over.
func (r *Reader) Next() (*runtime.Decision, error) {
	for {
		if r.file == nil {
			if err := r.open(); err != nil {
				return nil, err
			}
		}
		line, err := r.readLine()
		switch {
		case errors.Is(err, io.EOF):
			if len(line) > 0 {
				r.torn++
			}
			if err := r.Close(); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, fmt.Errorf("%s:%d: %w", r.name, r.line, err)
		}
		d, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", r.name, r.line, err)
		}
		return d, nil
	}
}

// open opens the next file. One that is gone was the oldest, and there is no room for it any more.
func (r *Reader) open() error {
	for len(r.files) > 0 {
		name := r.files[0]
		r.files = r.files[1:]
		file, err := os.Open(filepath.Clean(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		r.name, r.file, r.line = name, file, 0
		r.lines = bufio.NewReaderSize(file, 64<<10)
		return nil
	}
	return io.EOF
}

// readLine returns a line; what there is of it if the file ends before the line does.
func (r *Reader) readLine() (line []byte, err error) {
	r.line++
	for {
		part, err := r.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		}
	}
}

// Torn returns how many lines were passed over because their ends are missing.
func (r *Reader) Torn() int { return r.torn }

// Close closes what is open.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
