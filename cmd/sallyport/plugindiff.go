package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/lock"
)

func newPluginDiff() *cobra.Command {
	var flags storeFlags
	c := &cobra.Command{
		Use:   "diff FILE|REF FILE|REF",
		Short: "Tell what is different between two versions of a policy",
		Long: "Tell what is different between two versions of a policy, without running them: hooks, imports, grants, limits, size,\n" +
			"contract, signer. What to look at first is marked with an exclamation mark.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			store, snapshot, err := flags.open(c)
			if err != nil {
				return err
			}
			defer store.Close()
			var both [2]*lock.Version
			for i := range both {
				if both[i], err = lookAt(c.Context(), store, trustOf(snapshot), args[i]); err != nil {
					return err
				}
			}
			changes := lock.Diff(both[0], both[1])
			if len(changes) > 0 {
				return lock.WriteChanges(c.OutOrStdout(), changes)
			}
			text := "nothing that can be seen without running them is different"
			if both[0].Wasm == both[1].Wasm {
				text = "both are the same to the byte"
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	flags.add(c)
	return c
}

func newPluginTry() *cobra.Command {
	var flags storeFlags
	var replay replayFlags
	var place string
	c := &cobra.Command{
		Use:   "try FILE|REF --replay TRACE",
		Short: "Tell what a shared policy would have decided",
		Long: "Ask a policy, which may be one that is shared, the questions of a decision trace, as plugin replay does. Nothing of the\n" +
			"gateway is touched, and the policy need not be signed or locked: it decides nothing.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, snapshot, err := flags.open(c)
			if err != nil {
				return err
			}
			defer store.Close()
			v, err := lookAt(c.Context(), store, trustOf(snapshot), args[0])
			if err != nil {
				return err
			}
			p, err := newPluginFrom(args[0], v.Content)
			if err != nil {
				return err
			}
			s, err := newSecondLook(c.Context(), p, place, &replay)
			if err != nil {
				return err
			}
			if err = errors.Join(s.askAll(c.Context()), s.replay.Close(c.Context())); err != nil {
				return err
			}
			if replay.asJSON {
				return s.writeJSON(c.OutOrStdout())
			}
			return s.write(c.OutOrStdout())
		},
	}
	flags.add(c)
	f := c.Flags()
	f.StringVar(&place, "replay", "", "a `trace`: a file, a folder of them, or a data folder")
	_ = c.MarkFlagRequired("replay") // it is there
	f.StringVar(&replay.policy, "policy", "", "the `name` of the policy whose decisions are asked about (default: the plugin's, or the only one)")
	f.StringArrayVar(&replay.hooks, "hook", nil, "only decisions at this `hook`; may be given several times")
	f.StringVar(&replay.with, "with", "", "a `file` with the policy's configuration, in YAML or JSON")
	f.IntVar(&replay.show, "show", 20, "how many of the decisions that differ are shown")
	f.BoolVar(&replay.asJSON, "json", false, "print JSON")
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
