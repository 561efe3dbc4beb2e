package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/sallyport-dev/sallyport/record"
)

// ErrNotRunning is what a Client answers where no gateway listens.
var ErrNotRunning = errors.New("no gateway is running there")

// ErrToken is what a Client answers where a gateway listens that does not take its token: another one, perhaps.
var ErrToken = errors.New("the gateway that answers there does not take this configuration's admin token; is it another one?")

// Client speaks to the admin API of a running gateway. It implements Keys, Teams, Books, Backups,
// Records and Chains.
type Client struct {
	base    string
	token   string
	http    *http.Client
	streams *http.Client // for answers that take as long as they take
}

// clientTimeout bounds one request of a Client, except for those that stream.
const clientTimeout = 10 * time.Second

// NewClient returns a client of the API on this host:port.
func NewClient(address, token string) *Client {
	return &Client{base: "http://" + address, token: token, http: &http.Client{Timeout: clientTimeout}, streams: &http.Client{}}
}

// Running reports whether a gateway answers there: nil, or ErrNotRunning.
func (c *Client) Running(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/health", nil, nil)
}

// Find implements Records.
func (c *Client) Find(ctx context.Context, id string) (record.Record, error) {
	var raw json.RawMessage
	if err := c.do(ctx, http.MethodGet, "/admin/v1/requests/"+url.PathEscape(id), nil, &raw); err != nil {
		return record.Record{}, err
	}
	return record.Parse(raw)
}

// Recent implements Records.
func (c *Client) Recent(ctx context.Context, limit int, before string) ([]record.Record, error) {
	var list recordList
	query := url.Values{"limit": {strconv.Itoa(limit)}, "before": {before}}
	if err := c.do(ctx, http.MethodGet, "/admin/v1/requests?"+query.Encode(), nil, &list); err != nil {
		return nil, err
	}
	records := make([]record.Record, 0, len(list.Requests))
	for _, raw := range list.Requests {
		r, err := record.Parse(raw)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// do sends one request and decodes the answer. An error that the API states comes back as it was worded.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	answer, err := c.send(ctx, c.http, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	return decodeAnswer(answer, into)
}

// send sends one request and returns the body of an answer that is no error.
func (c *Client) send(ctx context.Context, by *http.Client, method, path string, body any) (io.ReadCloser, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := by.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	} else if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the admin API's answer: %w", err)
	}
	return nil, failure(resp.StatusCode, answer)
}

// decodeAnswer decodes a whole answer; nil discards it.
func decodeAnswer(answer io.Reader, into any) error {
	text, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the admin API's answer: %w", err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// maxAnswer bounds an answer of the API that is held in memory: a thousand records of the largest kind.
const maxAnswer = 64 << 20

// failure is the error that an answer states.
func failure(status int, answer []byte) error {
	var p problem
	if err := json.Unmarshal(answer, &p); err != nil || p.Error.Message == "" {
		return fmt.Errorf("the admin API answered %d", status)
	}
	if status == http.StatusUnauthorized {
		return ErrToken
	}
	if status == http.StatusNotFound {
		return notFound(p.Error.Message)
	}
	return errors.New(p.Error.Message)
}

// notFound is ErrNotFound in the API's words.
type notFound string

func (n notFound) Error() string { return string(n) }

// Is makes errors.Is find ErrNotFound.
func (notFound) Is(target error) bool { return target == ErrNotFound }

var (
	_ Keys    = (*Client)(nil)
	_ Teams   = (*Client)(nil)
	_ Books   = (*Client)(nil)
	_ Backups = (*Client)(nil)
	_ Records = (*Client)(nil)
)
