package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/state"
)

// control is how a command reaches keys and records: through the admin API while a gateway runs, in the data folder
// while none does.
type control struct {
	admin.Keys
	admin.Records
	where string // that the answers come from, for errors
	close func() error
}

// openControl finds out whether a gateway runs.
func openControl(ctx context.Context, file string) (*control, error) {
	c, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	client := admin.NewClient(c.Admin.Listen, c.Admin.Token)
	err = client.Running(ctx)
	if err == nil {
		return &control{client, client, c.Admin.Listen, func() error { return nil }}, nil
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return nil, fmt.Errorf("asking the gateway at %s: %w", c.Admin.Listen, err)
	}
	s, err := state.Open(c.Data, state.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("no gateway answers at %s; opening the data folder %s: %w", c.Admin.Listen, c.Data, err)
	}
	keys, err := newKeyring(s, func() []config.Key { return c.Keys })
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &control{keys, records{s}, c.Data, s.Close}, nil
}
