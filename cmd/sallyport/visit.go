package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

// outputFlags are the flags of every command that reaches a gateway or its data folder.
type outputFlags struct {
	config string
	json   bool
}

func (o *outputFlags) add(c *cobra.Command) {
	addConfigFlag(c, &o.config)
	c.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// visit is a run of a command that reaches a gateway or its data folder.
type visit struct {
	*control
	*cobra.Command
	args []string
	json bool
}

// visiting makes a command of what it does on a visit.
func visiting(c *cobra.Command, do func(*visit) error) *cobra.Command {
	var out outputFlags
	out.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return withControl(c, out.config, func(ctl *control) error { return do(&visit{ctl, c, args, out.json}) })
	}
	return c
}

// show prints something as JSON, or as text writes it for people.
func (v *visit) show(shown any, text func(io.Writer) error) error {
	if v.json {
		return json.NewEncoder(v.OutOrStdout()).Encode(shown)
	}
	return text(v.OutOrStdout())
}
