package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/project"
	"github.com/sallyport-dev/sallyport/record"
)

func newPluginBuild() *cobra.Command {
	var o project.Options
	var revision string
	var asJSON bool
	c := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Compile a policy, with its manifest in it",
		Long: "Compile the policy of a project and put manifest.yaml and cases.yaml into it, so that one .wasm file is the whole\n" +
			"plugin. The same sources and the same toolchain always give the same file.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Toolchain != "" && o.Wasm == "" {
				return errors.New("--toolchain says what compiled the module of --wasm, and there is none")
			}
			if c.Flags().Changed("revision") {
				o.Revision = &revision
			}
			built, err := buildProject(c, place(args), o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(struct {
					File     string `json:"file"`
					SHA256   string `json:"sha256"`
					Size     int    `json:"size_bytes"`
					Manifest any    `json:"manifest"`
				}{built.Path, built.Digest(), len(built.Wasm), built.Manifest})
			}
			for _, remark := range built.Report.Remarks {
				fmt.Fprintf(c.ErrOrStderr(), "note: it %s\n", remark)
			}
			file := shortest(built.Path)
			_, err = fmt.Fprintf(c.OutOrStdout(), "built %s, %s %s, %s bytes\nsha256 %s\n\nIts line for policies.yaml, under policies:\n  %s\n",
				file, built.Manifest.Name, built.Manifest.Version, record.Grouped(int64(len(built.Wasm))), built.Digest(), built.Manifest.Entry(built.Path))
			return err
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Out, "out", "o", "", "the `file` to write (default NAME.wasm in the project's folder)")
	f.StringVar(&o.Wasm, "wasm", "", "a module that something else compiled, in place of compiling: it gets the manifest alone")
	f.StringVar(&o.Toolchain, "toolchain", "", "what compiled the module of --wasm, with its `version`")
	f.StringVar(&revision, "revision", "", "the source's revision (default what git says)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// shortest is a path from where the command runs, if that is shorter.
func shortest(path string) string {
	folder, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(folder, path)
	if err != nil || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}
