package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// shelfChains are the chains of a shelf.
func shelfChains() []Chain {
	until := time.Unix(1_800_000_005, 0).UTC()
	return []Chain{
		{Name: "coding", Strategy: "sticky", Steps: []ChainStep{{
			Model: "a", Provider: "a/b", ProviderModel: "x/y", Priority: 1, Weight: 50, Concurrent: 4, State: "full",
			Credentials: []Credential{
				{Number: 1, State: "healthy", Since: time.Unix(1_800_000_000, 0).UTC(), LatencyMS: 80, Active: 4, Requests: 20},
				{
					Number: 2, State: "parked", Since: time.Unix(1_800_000_000, 0).UTC(), Until: &until, Requests: 9, Failures: 2,
					Consecutive: 1, LastError: "rate_limited",
				},
			},
		}}},
		{Name: "alone", Alias: true, Strategy: "weighted", Steps: []ChainStep{{
			Model: "alone", Provider: "local", ProviderModel: "m", State: "healthy", Available: true,
			Credentials: []Credential{{State: "healthy", Since: time.Unix(1_800_000_000, 0).UTC()}},
		}}},
	}
}

func (s *shelf) Chains(context.Context) ([]Chain, error) { return shelfChains(), s.broken }

func (s *shelf) Drain(_ context.Context, provider, model string) error {
	return s.byHand("drain", provider, model)
}

func (s *shelf) Restore(_ context.Context, provider, model string) error {
	return s.byHand("restore", provider, model)
}

func (s *shelf) byHand(what, provider, model string) error {
	if provider == "nobody" {
		return fmt.Errorf("provider %q: %w", provider, ErrNotFound)
	}
	if model == "in conflict" {
		return fmt.Errorf("%w: all of it is drained", ErrConflict)
	}
	s.hands = append(s.hands, what+" "+provider+" "+model)
	return nil
}

func TestClientHandlesChains(t *testing.T) {
	s, ctx := &shelf{}, t.Context()
	c := serveShelf(t, s)
	if got, err := c.Chains(ctx); err != nil || !reflect.DeepEqual(got, shelfChains()) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := errors.Join(c.Drain(ctx, "a/b", "x/y"), c.Restore(ctx, "a/b", "")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"drain a/b x/y", "restore a/b "}; !reflect.DeepEqual(s.hands, want) {
		t.Errorf("done were %q, want %q", s.hands, want)
	}
	if err := c.Drain(ctx, "nobody", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown provider: %v", err)
	}
	s.broken = errors.New("broken")
	if _, err := c.Chains(ctx); err == nil {
		t.Error("no error of what is broken")
	}
}

func TestBadHands(t *testing.T) {
	h := Handler(options(&shelf{}, testToken))
	facts := []struct {
		path, body string
		status     int
		code       string
	}{
		{"/admin/v1/providers/nobody/drain", `{}`, 404, "not_found"},
		{"/admin/v1/providers/nobody/restore", ``, 404, "not_found"},
		{"/admin/v1/providers/p/restore", `{"model":"in conflict"}`, 409, "conflict"},
		{"/admin/v1/providers/p/drain", `{"models":"m"}`, 400, "invalid_json"},
		{"/admin/v1/providers/p/drain", `{"model":`, 400, "invalid_json"},
	}
	for _, f := range facts {
		w := request(t, h, http.MethodPost, f.path, testToken, f.body)
		if w.Code != f.status || !strings.Contains(w.Body.String(), f.code) {
			t.Errorf("%s %s: %d %s, want %d %s", f.path, f.body, w.Code, w.Body, f.status, f.code)
		}
	}
	// One chain asks it; of the others nothing is said.
	if w := request(t, h, http.MethodPost, "/admin/v1/providers/local/drain", testToken, ""); strings.Contains(w.Body.String(), "coding") {
		t.Errorf("a chain that does not ask the provider: %s", w.Body)
	}
}

func TestHealthMetrics(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	h := m.WatchHealth(func() HealthFigures {
		return HealthFigures{
			Places:  []PlaceFigures{{"a", "m", "healthy"}, {"a", "m", "parked"}, {"a", "m", "parked"}, {"b", "n", "open"}},
			Budgets: []BudgetFigures{{"a", 3, 2}, {"b", 0, 0}, {"a", 1, 5}},
		}
	})
	h.Changed("a", "m", "model", "parked")
	h.Changed("a", "m", "model", "parked")
	h.Changed("a", "", "provider", "open")
	text := exposed(t, m)
	for _, line := range []string{
		`sallyport_provider_state{model="m",provider="a",state="healthy"} 1`,
		`sallyport_provider_state{model="m",provider="a",state="parked"} 2`,
		`sallyport_provider_state{model="m",provider="a",state="open"} 0`,
		`sallyport_provider_state{model="n",provider="b",state="open"} 1`,
		`sallyport_provider_attempts_in_progress{provider="a"} 4`,
		`sallyport_provider_repeats_refused_total{provider="a"} 7`,
		`sallyport_provider_repeats_refused_total{provider="b"} 0`,
		`sallyport_provider_state_changes_total{model="m",provider="a",scope="model",state="parked"} 2`,
		`sallyport_provider_state_changes_total{model="none",provider="a",scope="provider",state="open"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing in\n%s", line, text)
		}
	}
}

// However many providers and models a configuration names, and however often it changes, the labels are bounded.
func TestHealthLabelsAreCapped(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	var figures HealthFigures
	h := m.WatchHealth(func() HealthFigures { return figures })
	for i := range 3 * maxPlaces {
		name := fmt.Sprintf("p%d", i)
		figures.Places = append(figures.Places, PlaceFigures{name, "m", "open"})
		figures.Budgets = append(figures.Budgets, BudgetFigures{name, 1, 1})
		h.Changed(name, "m", "model", "open")
	}
	w := httptest.NewRecorder()
	Handler(Options{Metrics: m}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	for series, want := range map[string]int{
		"sallyport_provider_state{": 6 * (maxPlaces + 1), "sallyport_provider_state_changes_total{": maxPlaces + 1,
		"sallyport_provider_attempts_in_progress{": maxPlaces + 1,
	} {
		if got := strings.Count(text, "\n"+series); got != want {
			t.Errorf("%d series of %s, want %d", got, series, want)
		}
	}
	if line := fmt.Sprintf(`sallyport_provider_state{model="other",provider="other",state="open"} %d`, 2*maxPlaces); !strings.Contains(text, line) {
		t.Errorf("%s is missing", line)
	}
}
