// Command gen writes what follows from the contract: the constants of the SDKs and the tables of SPEC.md. Its one job
// is that the contract is described once, in package abi, and never drifts from what guests' authors read.
//
// It imports abi, reads that package's source for the names and comments of its constants, and nothing imports it.
// Run it with go generate ./abi; a test fails when an output is stale.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes every output. dir is the folder of package abi, which is where go generate runs.
func run(dir string) error {
	c, err := readContract(dir)
	if err != nil {
		return fmt.Errorf("reading the contract: %w", err)
	}
	for _, o := range outputs() {
		path := filepath.Join(dir, o.path)
		old, err := os.ReadFile(path)
		if err != nil && (!o.whole || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
		text, err := o.render(c, old)
		if err != nil {
			return fmt.Errorf("writing %s: %w", o.path, err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
