package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(struct {
					Version string `json:"version"`
					ABI     int    `json:"abi"`
					Go      string `json:"go"`
				}{version, abi.Version, runtime.Version()})
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "sallyport %s (policy ABI %d, %s)\n", version, abi.Version, runtime.Version())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
