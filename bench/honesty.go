package main

import (
	"errors"
	"fmt"
	"time"
)

// honest is one gateway's account of what it did, beside what the load tools got from it.
type honest struct {
	Gateway string           `json:"gateway"`
	Answers int64            `json:"answers"`     // that the load tools read to their end
	CutOff  int64            `json:"at_most_cut"` // requests that may have been under way when a tool stopped
	Hooks   map[string]int64 `json:"hooks"`
	Records int64            `json:"records"`
	Dropped int64            `json:"dropped"`
	Ledger  int64            `json:"ledger"`
}

// check asks the gateways that run for their accounts, compares them with the load, and ends the gateways.
func (b *bench) check() (err error) {
	for _, g := range b.gateways {
		if !g.checked {
			err = errors.Join(err, b.checkOne(g))
		}
	}
	return err
}

func (b *bench) checkOne(g *gateway) error {
	g.checked = true
	c, err := g.counts()
	for tries := 0; err == nil && c.Ledger != c.Records && tries < 50; tries++ { // the last are settled
		<-time.After(100 * time.Millisecond)
		c, err = g.counts()
	}
	if err != nil {
		return fmt.Errorf("asking %s what it did: %w", g.name, err)
	}
	h := honest{g.name, g.answers, g.cutOff, c.Hooks, c.Records, c.Dropped, c.Ledger}
	b.accounts = append(b.accounts, h)
	return h.problem(1 + g.setup.passing)
}

// problem says what does not add up. A request that was under way when a load tool stopped is in the gateway's accounts
// and not in the tool's. Each request asks each policy at authenticate and choose_step once, and at price_response
// twice: what it may cost, and what it did cost.
func (h *honest) problem(asked int) (err error) {
	bad := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("%s: "+format, append([]any{h.Gateway}, args...)...))
	}
	if h.Records < h.Answers || h.Records > h.Answers+h.CutOff {
		bad("%d records of %d answers, and at most %d that were cut off", h.Records, h.Answers, h.CutOff)
	}
	if h.Ledger != h.Records {
		bad("%d attempts in the ledger, %d records", h.Ledger, h.Records)
	}
	for hook, times := range map[string]int64{"authenticate": 1, "choose_step": 1, "price_response": 2} {
		want := h.Records * int64(asked) * times
		if got := h.Hooks[hook]; got > want || got < h.Answers*int64(asked)*times {
			bad("%d calls of %s, want %d", got, hook, want)
		}
	}
	return err
}
