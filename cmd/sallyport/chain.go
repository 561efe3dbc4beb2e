package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/spf13/cobra"
)

func newChain() *cobra.Command {
	c := &cobra.Command{
		Use:   "chain",
		Short: "See how the steps of chains do, drain and restore providers",
		Long: "See how the steps of chains do, drain and restore providers: through the admin API of the running gateway, which alone\n" +
			"knows. What is drained stays so over changes of the configuration, but not over a restart.",
	}
	c.AddCommand(newChainStatus(), newChainDrain(), newChainRestore())
	return c
}

func newChainStatus() *cobra.Command {
	var out outputFlags
	c := &cobra.Command{
		Use:   "status [CHAIN]",
		Short: "Show which steps may be asked now, and how they do",
		Long: "Show which steps may be asked now, and how they do: a line for each step and credential of its provider, of this chain\n" +
			"or alias, or of all. LATENCY is that of the first content: it rises at once and falls slowly. ACTIVE are the attempts\n" +
			"under way at that provider and model, whatever chain they are of.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withRunning(c, out.config, func(chains admin.Chains) error {
				all, err := chains.Chains(c.Context())
				if err != nil {
					return err
				}
				if len(args) > 0 {
					all = slices.DeleteFunc(all, func(chain admin.Chain) bool { return chain.Name != args[0] })
					if len(all) == 0 {
						return fmt.Errorf("there is no chain or alias %q", args[0])
					}
				}
				return showChains(c.OutOrStdout(), all, out.json)
			})
		},
	}
	out.add(c)
	return c
}

func newChainDrain() *cobra.Command {
	return newChainHand("drain PROVIDER [MODEL]", "Take a provider, or one model of it, out until it is restored",
		"Take a provider, or one model of it, out until it is restored or the gateway ends: no attempt begins there, and those\n"+
			"under way go on. MODEL is the provider's name of it. The steps that ask the provider are shown as they are then.",
		func(chains admin.Chains) hand { return chains.Drain })
}

func newChainRestore() *cobra.Command {
	return newChainHand("restore PROVIDER [MODEL]", "Let a provider, or one model of it, in again",
		"Let a provider in again, whether it was drained or failed: its circuits are closed, and it is no longer parked. With\n"+
			"MODEL that is so for this model alone; a refused credential and a provider that cannot be reached stay what they are.",
		func(chains admin.Chains) hand { return chains.Restore })
}

// hand is a change by hand.
type hand = func(ctx context.Context, provider, model string) error

// newChainHand returns a command that makes a change by hand, and shows what came of it.
func newChainHand(use, short, long string, pick func(admin.Chains) hand) *cobra.Command {
	var out outputFlags
	c := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			provider, model := args[0], ""
			if len(args) > 1 {
				model = args[1]
			}
			return withRunning(c, out.config, func(chains admin.Chains) error {
				if err := pick(chains)(c.Context(), provider, model); err != nil {
					return err
				}
				all, err := chains.Chains(c.Context())
				if err != nil {
					return err
				}
				return showChains(c.OutOrStdout(), asking(all, provider, model), out.json)
			})
		},
	}
	out.add(c)
	return c
}

// asking returns the steps that ask a provider, or one model of it, in their chains.
func asking(all []admin.Chain, provider, model string) []admin.Chain {
	var chains []admin.Chain
	for _, chain := range all {
		chain.Steps = slices.DeleteFunc(slices.Clone(chain.Steps), func(s admin.ChainStep) bool {
			return s.Provider != provider || model != "" && s.ProviderModel != model
		})
		if len(chain.Steps) > 0 {
			chains = append(chains, chain)
		}
	}
	return chains
}

// withRunning runs do with the chains of the gateway that runs with this configuration.
func withRunning(c *cobra.Command, file string, do func(admin.Chains) error) error {
	snapshot, err := loadForControl(file)
	if err != nil {
		return err
	}
	where := snapshot.Admin.Listen
	client := admin.NewClient(where, snapshot.Admin.Token)
	err = client.Running(c.Context())
	if errors.Is(err, admin.ErrNotRunning) {
		return fmt.Errorf("no gateway is running at %s: only a running one knows how its providers do", where)
	} else if err != nil {
		return fmt.Errorf("asking the gateway at %s: %w", where, err)
	}
	if err := do(client); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func showChains(out io.Writer, chains []admin.Chain, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(chains)
	}
	return printChains(out, chains, time.Now())
}

// printChains prints a line for each step and credential.
func printChains(out io.Writer, chains []admin.Chain, now time.Time) error {
	t := newTable("CHAIN", "STEP", "PROVIDER", "MODEL", ">CREDENTIAL", "STATE", ">UNTIL", ">LATENCY", ">ACTIVE")
	for i := range chains {
		for s := range chains[i].Steps {
			step := &chains[i].Steps[s]
			for c := range step.Credentials {
				t.row(append([]string{chains[i].Name, step.Model, step.Provider, step.ProviderModel}, credentialCells(step, c, now)...)...)
			}
		}
	}
	return t.write(out)
}

// stateFull and stateHealthy are names of states that this table looks at.
const (
	stateFull    = "full"
	stateHealthy = "healthy"
)

func credentialCells(step *admin.ChainStep, i int, now time.Time) []string {
	c := &step.Credentials[i]
	number, state, until, latency := "", c.State, "", ""
	if c.Number > 0 {
		number = strconv.Itoa(c.Number)
	}
	if step.State == stateFull && state == stateHealthy {
		state = stateFull
	}
	if c.Until != nil {
		// Rounded up: what is not over yet has some of its time left.
		until = "in " + max(c.Until.Sub(now)+time.Second-1, time.Second).Truncate(time.Second).String()
	}
	if c.LatencyMS > 0 {
		latency = (time.Duration(c.LatencyMS) * time.Millisecond).String()
	}
	return []string{dash(number), state, dash(until), dash(latency), strconv.Itoa(c.Active)}
}
