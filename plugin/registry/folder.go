package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// temporary is how names of files begin that are being written. Nothing ever reads them.
const temporary = ".writing-"

// abandoned is how old such a file is when whoever wrote it is gone.
const abandoned = 24 * time.Hour

// folder keeps content by its digest in blobs/sha256, as OCI layouts do. Files appear whole or not at all, so that several
// processes may use one folder; what one of them writes is what the other would have written.
type folder struct{ path string }

func (f folder) blobs() string { return filepath.Join(f.path, "blobs", "sha256") }

// file is where content is. A digest is checked by who calls: it becomes part of a path.
func (f folder) file(digest string) (string, error) {
	if !IsDigest(digest) {
		return "", fmt.Errorf("%w: %q is no sha256 digest", ErrLayout, digest)
	}
	return filepath.Join(f.blobs(), strings.TrimPrefix(digest, "sha256:")), nil
}

// read returns content of at most limit bytes, after it has been held against its digest.
func (f folder) read(digest string, limit int64) ([]byte, error) {
	name, err := f.file(digest)
	if err != nil {
		return nil, err
	}
	content, err := readFile(name, limit)
	if err != nil {
		return nil, err
	}
	if actual := digestOf(content); actual != digest {
		return nil, fmt.Errorf("%w: the file of %s has %s", ErrDigest, digest, actual)
	}
	return content, nil
}

func readFile(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // a pipe would be waited for
		return nil, fmt.Errorf("%s is no file", name)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read", ErrTooLarge, name, info.Size(), limit)
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("%w: %s grew over %d bytes", ErrTooLarge, name, limit)
	}
	return content, err
}

// write keeps content that has this digest.
func (f folder) write(digest string, content []byte) error {
	name, err := f.file(digest)
	if err != nil {
		return err
	}
	if actual := digestOf(content); actual != digest {
		return fmt.Errorf("%w: %s is to be written as %s", ErrDigest, actual, digest)
	}
	return writeFile(name, content)
}

// writeFile makes or replaces a file, and its folder.
func writeFile(name string, content []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	sweep(dir, time.Now())
	return durable.Write(name, temporary, 0o644, durable.Content(content))
}

// sweep removes what writers that died have left.
func sweep(dir string, now time.Time) {
	left, _ := filepath.Glob(filepath.Join(dir, temporary+"*")) // only a wrong pattern is an error
	for _, name := range left {
		if info, err := os.Lstat(name); err == nil && now.Sub(info.ModTime()) > abandoned {
			_ = os.Remove(name) // another sweep may have been faster
		}
	}
}

// lock waits until no other process changes the folder's index. What it returns lets go.
func (f folder) lock() (unlock func(), err error) {
	if err := os.MkdirAll(f.path, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(f.path, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing lets go
		}
		if !errors.Is(err, unix.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
	}
}

// missing translates what the file system says of a file that is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
