package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newPluginInspect() *cobra.Command {
	var asJSON bool
	c := shops(&cobra.Command{
		Use:   "inspect FILE|REF",
		Short: "Tell what a policy is and wants, without running it",
		Args:  cobra.ExactArgs(1),
	}, func(s *shopping) error {
		v, err := s.look(s.args[0])
		if err != nil {
			return err
		}
		if v.Report == nil {
			return fmt.Errorf("%s is a script, which says all there is to say", s.args[0])
		}
		all := inspected{v.Report, v.Reference, v.Manifest, s.signerText(v)}
		if asJSON {
			return json.NewEncoder(s.OutOrStdout()).Encode(all)
		}
		if err := v.Report.Write(s.OutOrStdout(), v.Reference); err != nil {
			return err
		}
		return writeOrigin(s.Command, &all)
	})
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
