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
	"github.com/spf13/cobra"
)

// control is how a command reaches keys, teams, money and records: through the admin API while a gateway runs, in the
// data folder while none does.
type control struct {
	admin.Keys
	admin.Teams
	admin.Records
	admin.Backups
	books func(context.Context) (admin.Books, error) // opens the ledger where no gateway has it open
	where string                                     // that the answers come from, for errors
	close []func() error                             // in order
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
		books := func(context.Context) (admin.Books, error) { return client, nil }
		return &control{Keys: client, Teams: client, Records: client, Backups: client, books: books, where: c.Admin.Listen}, nil
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return nil, fmt.Errorf("asking the gateway at %s: %w", c.Admin.Listen, err)
	}
	s, err := state.Open(c.Data, stateOptions(c, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("no gateway answers at %s; %w", c.Admin.Listen, err)
	}
	keys, err := newKeyring(s, func() *config.Snapshot { return c })
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	ctl := &control{Keys: keys, Teams: keys, Records: records{s}, Backups: s, where: c.Data, close: []func() error{s.Close}}
	ctl.books = func(ctx context.Context) (admin.Books, error) {
		l, err := openLedger(ctx, s, c)
		if err != nil {
			return nil, err
		}
		ctl.close = append([]func() error{l.Close}, ctl.close...)
		return admin.NewBooks(l, keys, keys), nil
	}
	return ctl, nil
}

// withControl runs do with a control that it closes.
func withControl(c *cobra.Command, file string, do func(*control) error) error {
	ctl, err := openControl(c.Context(), file)
	if err != nil {
		return err
	}
	if err = do(ctl); err != nil {
		err = fmt.Errorf("%s: %w", ctl.where, err)
	}
	for _, part := range ctl.close {
		err = errors.Join(err, part())
	}
	return err
}

// withBooks runs do with the books of a control.
func withBooks(c *cobra.Command, file string, do func(*control, admin.Books) error) error {
	return withControl(c, file, func(ctl *control) error {
		books, err := ctl.books(c.Context())
		if err != nil {
			return err
		}
		return do(ctl, books)
	})
}
