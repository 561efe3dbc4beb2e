package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/ledger"
)

// testBooks is a shelf with a key, two teams above it, and some attempts.
func testBooks(t *testing.T) *shelf {
	t.Helper()
	budget := func(dollars int64, p abi.Period) []abi.Budget {
		return []abi.Budget{{Amount: abi.NanoUSD(dollars * 1_000_000_000), Period: p, Location: time.UTC}}
	}
	at := time.Date(2026, 11, 21, 8, 15, 30, 500_000_000, time.UTC)
	entry := func(n int, e ledger.Entry) ledger.Entry {
		e.ID, e.Attempt, e.Time = fmt.Sprintf("req_%d", n), 1, at.Add(time.Duration(n)*time.Minute)
		e.KeyID, e.Key, e.Team, e.Model, e.Provider, e.ProviderModel = "key_1", "ci", "research", "coding", "deepseek", "v4"
		return e
	}
	return &shelf{
		keys: []identity.Key{{ID: "key_1", Name: "ci", Team: "research", Budgets: budget(5, abi.PerDay)}},
		teams: []identity.Team{
			{Team: abi.Team{Name: "research", Parent: "all", Budgets: budget(50, abi.PerMonth)}},
			{Team: abi.Team{Name: "all", Parent: "gone", Budgets: budget(500, abi.InTotal)}},
		},
		entries: []ledger.Entry{
			entry(0, ledger.Entry{State: ledger.StateSettled, Basis: ledger.Authoritative, Reserved: 9000, Cost: 4100,
				Usage: abi.Usage{abi.Input: 12, abi.Output: 7, abi.Requests: 1}, Settled: at.Add(time.Second)}),
			entry(1, ledger.Entry{State: ledger.StateSettled, Basis: ledger.Interrupted, Flags: ledger.Overrun | ledger.Unpriced,
				Reserved: 9000, Cost: 9001, Settled: at.Add(2 * time.Minute)}),
			entry(2, ledger.Entry{Reserved: 9000}),
		},
		totals: []ledger.Total{
			{Day: "2026-10-31", KeyID: "key_1", Key: "ci", Team: "research", Model: "coding", Attempts: 1, Cost: 1},
			{Day: "2026-11-20", KeyID: "key_1", Key: "ci", Team: "research", Model: "coding", Attempts: 2, Usage: abi.Usage{5, 6}, Cost: 10},
			{Day: "2026-11-20", KeyID: "key_1", Key: "ci", Team: "research", Model: "cheap", Attempts: 3, Usage: abi.Usage{7, 8}, Cost: 20},
			{Day: "2026-11-21", KeyID: "key_1", Key: "ci", Team: "research", Model: "coding", Attempts: 4, Cost: 30},
			{Day: "2026-11-21", KeyID: "key_2", Key: "laptop", Team: "other", Model: "coding", Attempts: 5, Cost: 40},
		},
	}
}

func TestUsage(t *testing.T) {
	facts := []struct {
		query UsageQuery
		want  []string // day team key model attempts cost
	}{
		{UsageQuery{}, []string{"|||||15|101"}},
		{UsageQuery{By: []string{ByTeam}}, []string{"|other||||5|40", "|research||||10|61"}},
		{UsageQuery{By: []string{ByModel, ByDay}, From: "2026-11-01"}, []string{
			"2026-11-20||||cheap|3|20", "2026-11-20||||coding|2|10", "2026-11-21||||coding|9|70"}},
		{UsageQuery{By: []string{ByKey}, To: "2026-11-20"}, []string{"||key_1|ci||6|31"}},
		{UsageQuery{By: []string{ByKey}, Key: "laptop"}, []string{"||key_2|laptop||5|40"}},
		{UsageQuery{Key: "key_1", Model: "coding", Team: "research"}, []string{"|||||7|41"}},
		{UsageQuery{Team: "nobody"}, nil},
	}
	books := NewBooks(testBooks(t), nil, nil)
	for _, f := range facts {
		totals, err := books.Usage(t.Context(), f.query)
		if err != nil {
			t.Errorf("%+v: %v", f.query, err)
		}
		var got []string
		for _, x := range totals {
			got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s|%d|%d", x.Day, x.Team, x.KeyID, x.Key, x.Model, x.Attempts, x.Cost))
		}
		if !slices.Equal(got, f.want) {
			t.Errorf("%+v:\ngot  %q\nwant %q", f.query, got, f.want)
		}
	}
}

// endless is a ledger of more keys than an answer holds.
type endless struct{ *shelf }

func (endless) Totals(_ context.Context, _, _ string, f func(*ledger.Total) error) error {
	for i := range maxGroups + 1 {
		if err := f(&ledger.Total{KeyID: fmt.Sprint(i), Attempts: 1}); err != nil {
			return err
		}
	}
	return nil
}

func TestUsageIsBounded(t *testing.T) {
	books := NewBooks(endless{&shelf{}}, nil, nil)
	if _, err := books.Usage(t.Context(), UsageQuery{By: []string{ByKey}}); !errors.Is(err, ErrQuery) {
		t.Errorf("by key: %v", err)
	}
	if totals, err := books.Usage(t.Context(), UsageQuery{}); err != nil || totals[0].Attempts != maxGroups+1 {
		t.Errorf("in one: %+v, %v", totals, err)
	}
}

// A key's budgets are its own and those of all teams above it, as far as they are there.
func TestBalancesOfAllLevels(t *testing.T) {
	s := testBooks(t)
	balances, err := NewBooks(s, s, s).KeyBalances(t.Context(), "ci")
	if err != nil || len(balances) != 3 {
		t.Fatalf("%+v, %v", balances, err)
	}
	var accounts []string
	for _, l := range s.levels {
		accounts = append(accounts, l.Account.String())
	}
	if want := []string{"key/key_1", "team/research", "team/all"}; !slices.Equal(accounts, want) {
		t.Errorf("got %q, want %q", accounts, want)
	}
}

func TestBalancesOfACircle(t *testing.T) {
	s := &shelf{teams: []identity.Team{{Team: abi.Team{Name: "a", Parent: "b"}}, {Team: abi.Team{Name: "b", Parent: "a"}}}}
	if _, err := NewBooks(s, s, s).TeamBalances(t.Context(), "a"); err != nil || len(s.levels) != MaxLevels {
		t.Errorf("%d levels, %v", len(s.levels), err)
	}
}

func TestExportGolden(t *testing.T) {
	want := map[string]string{
		JSONL: `{"request_id":"req_0","attempt":1,"time":"2026-11-21T08:15:30.5Z","settled":"2026-11-21T08:15:31.5Z","key":"ci","key_id":"key_1","team":"research","model":"coding","provider":"deepseek","provider_model":"v4","state":"settled","basis":"authoritative","flags":[],"reserved_nano_usd":9000,"cost_nano_usd":4100,"usage":{"input":12,"output":7,"requests":1}}
{"request_id":"req_1","attempt":1,"time":"2026-11-21T08:16:30.5Z","settled":"2026-11-21T08:17:30.5Z","key":"ci","key_id":"key_1","team":"research","model":"coding","provider":"deepseek","provider_model":"v4","state":"settled","basis":"interrupted","flags":["overrun","unpriced"],"reserved_nano_usd":9000,"cost_nano_usd":9001,"usage":{}}
{"request_id":"req_2","attempt":1,"time":"2026-11-21T08:17:30.5Z","key":"ci","key_id":"key_1","team":"research","model":"coding","provider":"deepseek","provider_model":"v4","state":"open","basis":"pending","flags":[],"reserved_nano_usd":9000,"cost_nano_usd":0,"usage":{}}
`,
		CSV: `request_id,attempt,time,settled,key,key_id,team,model,provider,provider_model,state,basis,flags,reserved_nano_usd,cost_nano_usd,usage_input,usage_output,usage_cache_read,usage_cache_write_5m,usage_cache_write_1h,usage_reasoning,usage_audio_input,usage_audio_output,usage_image,usage_requests,usage_cache_read_audio,usage_image_output
req_0,1,2026-11-21T08:15:30.5Z,2026-11-21T08:15:31.5Z,ci,key_1,research,coding,deepseek,v4,settled,authoritative,,9000,4100,12,7,0,0,0,0,0,0,0,1,0,0
req_1,1,2026-11-21T08:16:30.5Z,2026-11-21T08:17:30.5Z,ci,key_1,research,coding,deepseek,v4,settled,interrupted,overrun unpriced,9000,9001,0,0,0,0,0,0,0,0,0,0,0,0
req_2,1,2026-11-21T08:17:30.5Z,,ci,key_1,research,coding,deepseek,v4,open,pending,,9000,0,0,0,0,0,0,0,0,0,0,0,0,0
`}
	h := Handler(options(testBooks(t), testToken))
	for format, text := range want {
		w := request(t, h, "GET", "/admin/v1/ledger/export?format="+format, testToken, "")
		if w.Body.String() != text {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", format, w.Body, text)
		}
		if disposition := w.Header().Get("Content-Disposition"); !strings.Contains(disposition, "sallyport-ledger."+format) {
			t.Errorf("%s: Content-Disposition %q", format, disposition)
		}
	}
}

// Days are included as a whole, times are not.
func TestExportSpan(t *testing.T) {
	h := Handler(options(testBooks(t), testToken))
	for query, want := range map[string]int{
		"": 3, "?from=2026-11-21&to=2026-11-21": 3, "?to=2026-11-20": 0, "?from=2026-11-22": 0,
		"?from=2026-11-21T08:16:30.5Z": 2, "?to=2026-11-21T08:16:30.5Z": 1,
	} {
		w := request(t, h, "GET", "/admin/v1/ledger/export"+query, testToken, "")
		if got := strings.Count(w.Body.String(), "\n"); w.Code != 200 || got != want {
			t.Errorf("%s: %d, %d attempts, want %d", query, w.Code, got, want)
		}
	}
}

// What is written can be read again, whatever names hold.
func TestExportComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		e := ledger.Entry{
			ID: text.Draw(t, "id"), Attempt: rapid.IntRange(1, 9).Draw(t, "attempt"),
			Time: time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "time")).UTC(),
			Key:  text.Draw(t, "key"), KeyID: text.Draw(t, "keyID"), Team: text.Draw(t, "team"), Model: text.Draw(t, "model"),
			State: ledger.State(rapid.IntRange(0, 1).Draw(t, "state")), Basis: ledger.Basis(rapid.IntRange(0, 6).Draw(t, "basis")),
			Flags: ledger.Flags(rapid.IntRange(0, 3).Draw(t, "flags")), Cost: abi.NanoUSD(rapid.Int64().Draw(t, "cost")),
			Reserved: abi.NanoUSD(rapid.Int64().Draw(t, "reserved")),
		}
		for d := range e.Usage {
			e.Usage[d] = rapid.Int64().Draw(t, "usage")
		}
		var buf bytes.Buffer
		w, err := NewEntryWriter(&buf, JSONL)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(&e), w.Flush()); err != nil {
			t.Fatal(err)
		}
		var got ledger.Entry
		if err := ReadEntries(&buf, func(e *ledger.Entry) error { got = *e; return nil }); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("got\n%+v, %v, want\n%+v", got, err, e)
		}
	})
}

func TestReadEntriesRefuses(t *testing.T) {
	for _, line := range []string{
		`{"state":"lost","basis":"pending"}`, `{"state":"open","basis":"guessed"}`, `{"state":"open","basis":"pending","flags":["odd"]}`,
		`{"state":"open","basis":"pending","usage":{"smell":1}}`, `{"state":"open"`,
	} {
		if err := ReadEntries(strings.NewReader(line), func(*ledger.Entry) error { return nil }); err == nil {
			t.Errorf("%s was taken", line)
		}
	}
}

func TestInert(t *testing.T) {
	for cell, want := range map[string]string{"": "", "ci": "ci", "=1+1": "'=1+1", "@x": "'@x", "-1": "'-1", "a=b": "a=b"} {
		if got := Inert(cell); got != want {
			t.Errorf("%q: got %q, want %q", cell, got, want)
		}
	}
}
