// Command sallyport is the gateway and its command line. This package wires: it is the only one that knows all the
// others, and joins what each of them declares to what another provides.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // budgets and prices name time zones, and not every image has them

	"github.com/sallyport-dev/sallyport/config"
	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, explainError(err))
		os.Exit(1)
	}
}

// newRoot returns the root command with all the others.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "sallyport",
		Short:         "A gateway between applications and LLM providers whose policies are WebAssembly",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(), newInit(), newValidate(), newKey(), newTeam(), newUsage(), newChain(), newLedger(),
		newBackup(), newRestore(), newExplain(), newDemoProvider(), newBench(), newVersion(), newPlugin(), newCompile())
	return root
}

// explainError puts an error as a person wants to read it: one line, or a list where there are many problems.
func explainError(err error) string {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return fmt.Sprintf("sallyport: %d problem(s) in the configuration\n%v", len(problems), problems)
	}
	return "sallyport: " + err.Error()
}

// addConfigFlag adds --config, which every command has that needs the configuration.
func addConfigFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "", "the configuration `file` (default ./policies.yaml, then /etc/sallyport/policies.yaml)")
}

// loadConfig finds and loads the configuration.
func loadConfig(file string) (*config.Snapshot, error) {
	found, err := config.Find(file)
	if err != nil {
		return nil, err
	}
	return config.Load(found, os.LookupEnv)
}

// loadSources loads the configuration for commands that work on where policies come from: whoever locks them need not have the
// providers' credentials.
func loadSources(file string) (*config.Snapshot, error) {
	found, err := config.Find(file)
	if err != nil {
		return nil, err
	}
	return config.LoadSources(found, os.LookupEnv)
}
