package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/state"
)

// ledgerSettings are the ledger's settings in this configuration.
func ledgerSettings(c *config.Snapshot) ledger.Settings {
	return ledger.Settings{
		Sync: c.Ledger.Durability == config.Power, Unbudgeted: c.Ledger.OnFailure == config.Unbudgeted,
		Crash: ledger.Booking(c.Ledger.Crash), Retention: c.Ledger.Retention, Alerts: c.Alerts.At,
	}
}

// openLedger opens the ledger of a data folder that no gateway uses. What a crash left open is settled by that, as it
// would be by a gateway.
func openLedger(ctx context.Context, s *state.State, c *config.Snapshot) (*ledger.Ledger, error) {
	l, err := ledger.Open(ctx, ledger.Options{Store: s, Settings: ledgerSettings(c), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	return l, nil
}

var (
	_ admin.Ledger = (*ledger.Ledger)(nil)
	_ ledger.Store = (*state.State)(nil)
)
