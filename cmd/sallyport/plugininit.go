package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/project"
)

func newPluginInit() *cobra.Command {
	var lang, name string
	c := &cobra.Command{
		Use:   "init --lang LANGUAGE DIR",
		Short: "Write a new policy's project",
		Long: "Write a new policy's project: a source that works, a manifest, cases that test it, and the SDK. It needs no network.\n" +
			"The folder is made; one that has something in it is left as it is.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			written, err := project.Init(args[0], lang, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), `wrote %s to %[2]s, and the SDK to %[2]s/%[3]s

Next:
  sallyport plugin build %[2]s   compiles it, and prints the line for policies.yaml
  sallyport plugin test %[2]s    asks the cases of cases.yaml
`, strings.Join(written, ", "), args[0], project.SDKFolder)
			return err
		},
	}
	c.Flags().StringVar(&lang, "lang", "", "the `language`: "+strings.Join(project.Languages(), ", "))
	c.Flags().StringVar(&name, "name", "", "the policy's `name` (default the folder's)")
	_ = c.MarkFlagRequired("lang") // it is there
	return c
}
