package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

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

// unset stands for an environment variable that is not set.
const unset = "unset-variable-"

// loadForControl loads the configuration for a command that needs the admin listener and the data folder alone: a
// provider's key need not be in the environment of whoever lists keys.
func loadForControl(file string) (*config.Snapshot, error) {
	found, err := config.Find(file)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(found, func(name string) (string, bool) {
		if value, ok := os.LookupEnv(name); ok {
			return value, true
		}
		return unset + name, true
	})
	if err != nil {
		return config.Load(found, os.LookupEnv) // the problems as they are
	}
	if name, missing := strings.CutPrefix(c.Admin.Token, unset); missing {
		return nil, fmt.Errorf("%s: admin.token: the environment variable %s is not set", found, name)
	}
	return c, nil
}

// openControl finds out whether a gateway runs.
func openControl(ctx context.Context, file string) (*control, error) {
	c, err := loadForControl(file)
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
