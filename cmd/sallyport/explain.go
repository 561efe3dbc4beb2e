package main

import (
	"github.com/sallyport-dev/sallyport/record"
	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain REQUEST-ID",
		Short: "Tell what happened to a request",
		Long:  "Tell what happened to a request: who asked, which policy decided what, every attempt, tokens, cost and times.\nThe id is what the client got in x-sallyport-request-id.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, file, func(ctl *control) error {
				r, err := ctl.Find(c.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					_, err = c.OutOrStdout().Write(append(record.AppendJSON(nil, &r), '\n'))
					return err
				}
				return record.Explain(c.OutOrStdout(), &r)
			})
		},
	}
	addConfigFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
