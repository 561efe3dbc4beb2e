package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/ledger"
)

// Export implements Books. How much of an attempt's reservation was for its input is not in the API, and therefore 0.
func (c *Client) Export(ctx context.Context, from, to time.Time, f func(*ledger.Entry) error) error {
	query := url.Values{"format": {JSONL}}
	setTime(query, "from", from)
	setTime(query, "to", to)
	answer, err := c.send(ctx, c.streams, http.MethodGet, "/admin/v1/ledger/export?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	return ReadEntries(answer, f)
}

func setTime(query url.Values, name string, t time.Time) {
	if !t.IsZero() {
		query.Set(name, t.Format(time.RFC3339Nano))
	}
}

// Usage implements Books.
func (c *Client) Usage(ctx context.Context, q UsageQuery) ([]ledger.Total, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"from": q.From, "to": q.To, "team": q.Team, "key": q.Key, "model": q.Model, "by": strings.Join(q.By, ","),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	answer, err := c.send(ctx, c.streams, http.MethodGet, "/admin/v1/usage?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	var list totalList
	if err := decodeAnswer(answer, &list); err != nil {
		return nil, err
	}
	totals := make([]ledger.Total, 0, len(list.Usage))
	for i := range list.Usage {
		total, err := list.Usage[i].total()
		if err != nil {
			return nil, err
		}
		totals = append(totals, total)
	}
	return totals, nil
}

// KeyBalances implements Books.
func (c *Client) KeyBalances(ctx context.Context, idOrName string) ([]ledger.Balance, error) {
	return c.balances(ctx, keyPath(idOrName, "/usage"))
}

// TeamBalances implements Books.
func (c *Client) TeamBalances(ctx context.Context, name string) ([]ledger.Balance, error) {
	return c.balances(ctx, teamPath(name, "/usage"))
}

func (c *Client) balances(ctx context.Context, path string) ([]ledger.Balance, error) {
	var list balanceList
	if err := c.do(ctx, http.MethodGet, path, nil, &list); err != nil {
		return nil, err
	}
	balances := make([]ledger.Balance, 0, len(list.Budgets))
	for i := range list.Budgets {
		balances = append(balances, list.Budgets[i].balance())
	}
	return balances, nil
}

// Verify implements Books.
func (c *Client) Verify(ctx context.Context) (ledger.Verification, error) {
	answer, err := c.send(ctx, c.streams, http.MethodPost, "/admin/v1/ledger/verify", nil)
	if err != nil {
		return ledger.Verification{}, err
	}
	defer answer.Close()
	var v Verification
	if err := decodeAnswer(answer, &v); err != nil {
		return ledger.Verification{}, err
	}
	return v.verification(), nil
}

// Backup implements Backups.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	answer, err := c.send(ctx, c.streams, http.MethodGet, "/admin/v1/backup", nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	if _, err := io.Copy(w, answer); err != nil {
		return fmt.Errorf("receiving the backup: %w", err)
	}
	return nil
}
