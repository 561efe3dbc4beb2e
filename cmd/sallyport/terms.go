package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/spf13/cobra"
)

// termsFlags are the flags of what keys and teams have in common. The same ones make and change.
type termsFlags struct {
	models  []string
	labels  []string
	budgets []string
	limits  abi.Limits
}

// noBudget is what --budget takes to take all budgets away.
const noBudget = "none"

func (t *termsFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&t.models, "model", nil, "a `model` that it may use, exact or as PREFIX*; can be repeated (default all)")
	f.StringSliceVar(&t.models, "models", nil, "the same as --model")
	_ = f.MarkHidden("models") // the flag exists
	f.StringArrayVar(&t.labels, "label", nil, "a label as `NAME=VALUE`; NAME- takes one away; can be repeated")
	f.StringArrayVar(&t.budgets, "budget", nil, "a `budget` in dollars per day, week or month or in total, such as 5/day or 50/month@Europe/Berlin; "+
		"can be repeated; "+noBudget+" takes all away")
	for l := range abi.NumLimits {
		f.Int64Var(&t.limits[l], limitFlag(l), 0, limitHelp[l]+" (0: no limit)")
	}
}

func limitFlag(l abi.Limit) string { return strings.ReplaceAll(l.String(), "_", "-") }

var limitHelp = [abi.NumLimits]string{
	abi.RequestsPerMinute: "requests per minute", abi.RequestsPerHour: "requests per hour", abi.RequestsPerDay: "requests per day",
	abi.TokensPerMinute: "tokens per minute", abi.TokensPerDay: "tokens per day",
	abi.InputTokensPerMinute: "input tokens per minute", abi.InputTokensPerDay: "input tokens per day",
	abi.OutputTokensPerMinute: "output tokens per minute", abi.OutputTokensPerDay: "output tokens per day",
	abi.Concurrent: "requests at one time", abi.MaxInputTokens: "input tokens of one request", abi.MaxOutputTokens: "output tokens of one request",
}

// change is what the flags that were given change.
func (t *termsFlags) change(c *cobra.Command) (change admin.TermsChange, err error) {
	if c.Flags().Changed("model") || c.Flags().Changed("models") {
		change.Models = admin.To(t.models)
	}
	if change.Labels, err = t.changeLabels(); err != nil {
		return change, err
	}
	if change.Budgets, err = t.changeBudgets(); err != nil {
		return change, err
	}
	limits := map[string]*int64{}
	for l := range abi.NumLimits {
		if !c.Flags().Changed(limitFlag(l)) {
			continue
		}
		limits[l.String()] = &t.limits[l]
		if t.limits[l] == 0 {
			limits[l.String()] = nil
		}
	}
	if len(limits) > 0 {
		change.Limits = admin.To(limits)
	}
	return change, nil
}

func (t *termsFlags) changeLabels() (change admin.Change[map[string]*string], err error) {
	if len(t.labels) == 0 {
		return change, nil
	}
	labels := map[string]*string{}
	for _, text := range t.labels {
		name, value, ok := strings.Cut(text, "=")
		if ok {
			labels[name] = &value
		} else if name, ok = strings.CutSuffix(text, "-"); ok {
			labels[name] = nil
		} else {
			return change, fmt.Errorf("--label %q is neither NAME=VALUE nor NAME-", text)
		}
	}
	return admin.To(labels), nil
}

func (t *termsFlags) changeBudgets() (change admin.Change[[]admin.Budget], err error) {
	switch {
	case len(t.budgets) == 0:
		return change, nil
	case slices.Equal(t.budgets, []string{noBudget}):
		return admin.Cleared[[]admin.Budget](), nil
	}
	var budgets []admin.Budget
	for _, text := range t.budgets {
		b, err := admin.ParseBudget(text)
		if err != nil {
			return change, fmt.Errorf("--budget: %w", err)
		}
		budgets = append(budgets, b)
	}
	return admin.To(budgets), nil
}

// changeText is what a flag with text changes, if it was given: no text clears.
func changeText(c *cobra.Command, flag, value string) (change admin.Change[string]) {
	switch {
	case !c.Flags().Changed(flag):
		return change
	case value == "":
		return admin.Cleared[string]()
	}
	return admin.To(value)
}

func modelsText(models []string) string {
	if len(models) == 0 {
		return "all"
	}
	return strings.Join(models, ", ")
}

func labelsText(labels map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+labels[name])
	}
	return strings.Join(all, ", ")
}

func limitsText(limits map[string]int64) string {
	var all []string
	for l := range abi.NumLimits {
		if n := limits[l.String()]; n != 0 {
			all = append(all, l.String()+" "+record.Grouped(n))
		}
	}
	return strings.Join(all, ", ")
}

func budgetsText(budgets []admin.Budget) string {
	var all []string
	for _, b := range budgets {
		text := "$" + b.USD + "/" + b.Per
		if b.Timezone != time.UTC.String() {
			text += "@" + b.Timezone
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// momentText writes a time for people.
func momentText(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// balanceTable is where budgets stand.
func balanceTable(balances []ledger.Balance) *table {
	t := newTable("ACCOUNT", "PER", ".LIMIT", ".SPENT", ".RESERVED", ".LEFT", "BEGINS ANEW")
	for i := range balances {
		b := &balances[i]
		per, anew := b.Period.String(), "never"
		if !b.End.IsZero() {
			location, err := time.LoadLocation(b.Zone)
			if err != nil {
				location = time.UTC
			}
			anew = b.End.In(location).Format("2006-01-02 15:04 MST")
		}
		t.row(b.Account.String(), per, b.Limit.String(), b.Spent.String(), b.Reserved.String(), b.Left().String(), anew)
	}
	return t
}
