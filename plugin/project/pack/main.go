// Command pack puts the sources of the SDKs into the archive that package project embeds: what `sallyport plugin init`
// writes beside a policy. The build runs it. The same sources always give the same archive.
//
// It imports nothing of ours, and nobody imports it.
package main

import (
	"archive/zip"
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

func main() {
	sdk := flag.String("sdk", "sdk", "the `folder` of the SDKs")
	out := flag.String("out", "plugin/project/dist/sdk.zip", "the archive to write")
	flag.Parse()
	if err := run(*sdk, *out); err != nil {
		fmt.Fprintln(os.Stderr, "packing the SDKs:", err)
		os.Exit(1)
	}
}

func run(sdk, out string) error {
	archive, err := pack(os.DirFS(sdk))
	if err != nil {
		return err
	}
	return os.WriteFile(out, archive, 0o600)
}

// packed are the folders of the SDKs that policies are built with.
var packed = []string{"go", "rust", "c", "assemblyscript", "javascript"}

// epoch is the time of every file: the sources decide what the archive is, and nothing else.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// pack puts the SDKs of a folder into an archive. An SDK that is not there is left out.
func pack(sdk fs.FS) ([]byte, error) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, folder := range packed {
		if _, err := fs.Stat(sdk, folder); err != nil {
			continue
		}
		err := fs.WalkDir(sdk, folder, func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && !entered(file):
				return fs.SkipDir
			case d.IsDir() || !wanted(file):
				return nil
			}
			return add(z, sdk, file)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

// entered reports whether a folder holds what a policy is built from.
func entered(folder string) bool {
	switch path.Base(folder) {
	case "node_modules", "target", "testdata", "conformance", "build", "out":
		return false
	}
	return true
}

// wanted reports whether a file is part of an SDK: tests of the SDK itself are not.
func wanted(file string) bool {
	switch path.Ext(file) {
	case ".go":
		return !strings.HasSuffix(file, "_test.go")
	case ".rs", ".ts", ".h", ".mod", ".toml", ".md":
		return true
	}
	return false
}

func add(z *zip.Writer, sdk fs.FS, file string) error {
	content, err := fs.ReadFile(sdk, file)
	if err != nil {
		return err
	}
	w, err := z.CreateHeader(&zip.FileHeader{Name: file, Method: zip.Deflate, Modified: epoch})
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}
