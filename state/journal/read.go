package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Segments calls f for every segment with a number from from on, up to the one that is the last as it is called, in
// order. The bytes are f's only during the call. It ends with f's error, or ctx's.
func (j *Journal) Segments(ctx context.Context, from uint64, f func(number uint64, segment []byte) error) error {
	last := j.last.Load()
	j.mu.Lock()
	files := append([]file(nil), j.files...)
	j.mu.Unlock()
	for i, file := range files {
		if i+1 < len(files) && files[i+1].first <= from || file.first > last {
			continue
		}
		if err := j.read(ctx, file.first, from, last, f); err != nil {
			return err
		}
	}
	return nil
}

// read calls f for the segments of one file. A file that was dropped meanwhile has none.
func (j *Journal) read(ctx context.Context, first, from, last uint64, f func(uint64, []byte) error) error {
	in, err := os.Open(j.path(first))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	defer in.Close()
	r := bufio.NewReaderSize(in, 256<<10)
	var buf []byte
	for number := first; number <= last; number++ {
		if buf, err = next(r, buf, number); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: segment %d of %s: %w", ErrCorrupt, number, j.path(first), err)
		}
		if number < from {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(number, buf[headerSize:]); err != nil {
			return err
		}
	}
	return nil
}

// next reads one record into buf. io.EOF means that the file ends before it.
func next(r *bufio.Reader, buf []byte, number uint64) ([]byte, error) {
	head, err := r.Peek(headerSize)
	if len(head) == 0 && errors.Is(err, io.EOF) {
		return buf, io.EOF
	} else if err != nil {
		return buf, io.ErrUnexpectedEOF
	}
	length := int(binary.LittleEndian.Uint32(head))
	if length > MaxSegment {
		return buf, errRecord
	}
	if cap(buf) < headerSize+length {
		buf = make([]byte, headerSize+length)
	}
	buf = buf[:headerSize+length]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf, io.ErrUnexpectedEOF
	}
	_, _, err = record(buf, number)
	return buf, err
}

// Drop removes the segments before number before, as far as they fill whole files. The file that is appended to stays.
func (j *Journal) Drop(before uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.files) > 1 && j.files[1].first <= before {
		if err := os.Remove(j.path(j.files[0].first)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dropping old segments: %w", err)
		}
		j.files = j.files[1:]
	}
	return nil
}

// First returns the number of the oldest segment that is still there; one above Last if there is none.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.files[0].first
}

// Size returns how many bytes the files have.
func (j *Journal) Size() (bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		bytes += f.size
	}
	return bytes
}
