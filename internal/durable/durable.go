// Package durable writes files so that nobody ever sees half of one, and tells what a crash leaves behind from damage.
//
// It imports the standard library only. Whoever keeps files of his own uses it.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Write makes or replaces a file: whoever reads it meanwhile gets the old one or the new one, also after a power failure.
// It is written under another name beside it, which begins with temporary, and removed after an error. The new one has
// the mode perm, before the umask.
func Write(path, temporary string, perm os.FileMode, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.OpenFile(filepath.Join(dir, temporary+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if failed := SyncFolder(dir); failed != nil { // it is there, and there is nothing to remove
		return fmt.Errorf("%s is written, and may not survive a power failure: %w", path, failed)
	}
	return nil
}

// Content is what Write writes where all of it is there already.
func Content(content []byte) func(*os.File) error {
	return func(f *os.File) error {
		n, err := f.Write(content)
		if err == nil && n < len(content) {
			err = io.ErrShortWrite
		}
		return err
	}
}

// SyncFolder makes the names in a folder survive a power failure. Where the file system has no such thing, it is none of
// its errors.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// File is an open file as it was at one moment: what was appended since does not belong to it.
type File struct {
	Name string // below some folder
	*os.File
	Size int64 // bytes
}

// NumberedName is how a file is named by its number, with suffix behind it: names sort as their numbers do.
func NumberedName(number uint64, suffix string) string { return fmt.Sprintf("%020d%s", number, suffix) }

// Numbered returns the numbers of the files of a folder that are named so, in order. Others are passed over.
func Numbered(dir, suffix string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		number, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 10, 64)
		if err == nil && e.Name() == NumberedName(number, suffix) && e.Type().IsRegular() {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Torn reports whether what does not read as a record, at the end of a file that is appended to, can be one that was being
// written: it reaches to the end of the file, by the length that it claims (0: it claims none), or it is all zeros, which
// is how a file system fills what it did not write. Anything else is damage.
func Torn(data []byte, claimed int) bool {
	return claimed > 0 && claimed >= len(data) || !slices.ContainsFunc(data, func(b byte) bool { return b != 0 })
}
