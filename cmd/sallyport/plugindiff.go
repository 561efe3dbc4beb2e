package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/lock"
)

func newPluginDiff() *cobra.Command {
	return shops(&cobra.Command{
		Use:   "diff FILE|REF FILE|REF",
		Short: "Tell what is different between two versions of a policy",
		Long: "Tell what is different between two versions of a policy, without running them: hooks, imports, grants, limits, size,\n" +
			"contract, signer. What to look at first is marked with an exclamation mark.",
		Args: cobra.ExactArgs(2),
	}, func(s *shopping) error {
		var both [2]*lock.Version
		for i := range both {
			var err error
			if both[i], err = s.look(s.args[i]); err != nil {
				return err
			}
		}
		changes := lock.Diff(both[0], both[1])
		if len(changes) > 0 {
			return lock.WriteChanges(s.OutOrStdout(), changes)
		}
		text := "nothing that can be seen without running them is different"
		if both[0].Wasm == both[1].Wasm {
			text = "both are the same to the byte"
		}
		_, err := fmt.Fprintln(s.OutOrStdout(), text)
		return err
	})
}

func newPluginTry() *cobra.Command {
	var replay replayFlags
	var place string
	c := shops(&cobra.Command{
		Use:   "try FILE|REF --replay TRACE",
		Short: "Tell what a shared policy would have decided",
		Long: "Ask a policy, which may be one that is shared, the questions of a decision trace, as plugin replay does. Nothing of the\n" +
			"gateway is touched, and the policy need not be signed or locked: it decides nothing.",
		Args: cobra.ExactArgs(1),
	}, func(s *shopping) error {
		v, err := s.look(s.args[0])
		if err != nil {
			return err
		}
		p, err := newPluginFrom(s.args[0], v.Content)
		if err != nil {
			return err
		}
		return replay.run(s.Command, p, place)
	})
	c.Flags().StringVar(&place, "replay", "", "a `trace`: a file, a folder of them, or a data folder")
	_ = c.MarkFlagRequired("replay") // it is there
	replay.add(c)
	return c
}

// inspected is a report with what only a shared plugin, or one that somebody signed, has.
type inspected struct {
	*inspect.Report
	Reference string `json:"reference,omitempty"`
	OCI       string `json:"oci_manifest,omitempty"`
	Signer    string `json:"signer"`
}

// writeOrigin says where a plugin is from and who signed it.
func writeOrigin(c *cobra.Command, i *inspected) error {
	fmt.Fprintln(c.OutOrStdout(), "\nOrigin")
	if i.OCI != "" {
		fmt.Fprintf(c.OutOrStdout(), "  reference   %s\n  manifest    %s\n", i.Reference, i.OCI)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "  signer      %s\n", i.Signer)
	return err
}
