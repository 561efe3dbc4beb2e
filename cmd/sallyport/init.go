package main

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// starter is the configuration that init writes.
//
//go:embed starter.yaml
var starter string

func newInit() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a first policies.yaml",
		Long:  "Write a first policies.yaml, with a provider to fill in and a fresh admin token. An existing file is left alone.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := writeStarter(file); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), `wrote %[1]s

Next:
  export OPENAI_API_KEY=…                        the provider's key
  sallyport validate --config %[1]s
  sallyport key create --config %[1]s --name me  prints the key once
  sallyport serve --config %[1]s
`, file)
			return err
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "policies.yaml", "the `file` to write")
	return c
}

// writeStarter writes the starter for its owner alone, since it holds the admin token.
func writeStarter(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Clean(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: it was left as it is", file)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.ReplaceAll(starter, "ADMIN_TOKEN", "admin_"+rand.Text()))
	return errors.Join(err, f.Close())
}
