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

// compiler makes the process that compiles a policy: this program once more, which can be killed.
func compiler(ctx context.Context) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.CommandContext(ctx, self, compileCommand)
}
