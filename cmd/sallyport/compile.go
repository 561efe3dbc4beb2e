package main

import (
	"context"
	"os"
	"os/exec"

	"github.com/sallyport-dev/sallyport/runtime"
	"github.com/spf13/cobra"
)

// compileCommand is the command that compiles one policy. The gateway runs it; people have no use for it.
const compileCommand = "compile-policy"

func newCompile() *cobra.Command {
	return &cobra.Command{
		Use:    compileCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runtime.CompileChild(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

// self is this very program, also after its file was replaced by another version, whose compiler would fill the
// cache with what this one cannot use.
const self = "/proc/self/exe"

// compiler makes the process that compiles a policy: this program once more, which can be killed.
func compiler(ctx context.Context) *exec.Cmd {
	path := self
	if _, err := os.Stat(path); err != nil {
		path = os.Args[0] // not Linux
	}
	return exec.CommandContext(ctx, path, compileCommand)
}
