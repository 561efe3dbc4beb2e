// Package plugins holds the built-in policies: guests that are compiled by the build and embedded in the binary. Its
// one job is to hand out their bytes; they are ordinary policies and are loaded like any other.
//
// It imports nothing but the standard library. Only cmd/sallyport imports it, and tests that run guests. The guests'
// sources, in the folders beside this file, are Go modules of their own.
package plugins

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// dist holds what the build made. Its .gitignore is committed, so that the package compiles before that.
//
//go:embed all:dist
var dist embed.FS

// The errors of Builtin and JavaScript.
var (
	// ErrNotBuilt says that the binary was compiled before its policies were.
	ErrNotBuilt = errors.New("this binary was built without its built-in modules: build with make build")
	// ErrUnknown says that Sallyport has no built-in policy of the name.
	ErrUnknown = errors.New("there is no such built-in policy")
)

// Names returns the names of the built-in policies, as they stand after "builtin:" in policies.yaml.
func Names() []string { return []string{"default"} }

// JavaScript returns the module that runs policies in plain JavaScript. It is no policy by itself: without a script it
// has no opinion. The caller owns the slice.
func JavaScript() ([]byte, error) { return read("javascript") }

// Builtin returns the WebAssembly module of a built-in policy. The caller owns the slice.
func Builtin(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("%w: %q is none of %s", ErrUnknown, name, strings.Join(Names(), ", "))
	}
	return read(name)
}

// read returns what the build made under a name.
func read(name string) ([]byte, error) {
	wasm, err := dist.ReadFile("dist/" + name + ".wasm")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	return wasm, err
}
