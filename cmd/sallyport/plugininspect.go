package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newPluginInspect() *cobra.Command {
	var flags storeFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect FILE|REF",
		Short: "Tell what a policy is and wants, without running it",
		Args:  cobra.ExactArgs(1),
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
			if v.Report == nil {
				return fmt.Errorf("%s is a script, which says all there is to say", args[0])
			}
			all := inspected{v.Report, v.Reference, v.Manifest, signerText(v, len(trustOf(snapshot).Trust))}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(all)
			}
			if err := v.Report.Write(c.OutOrStdout(), v.Reference); err != nil {
				return err
			}
			return writeOrigin(c, &all)
		},
	}
	flags.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
