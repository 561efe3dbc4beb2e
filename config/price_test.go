package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/prices"
)

const priceHead = "version: 1\nproviders: [{name: p, format: openai, base_url: 'https://example.org/v1'}]\nmodels: [{alias: m, provider: p, model: no-such-model"

// tariffOf loads the price of a model; nil if it has none.
func tariffOf(t *testing.T, price string) *prices.Tariff {
	t.Helper()
	return mustLoad(t, priceHead+price+"}]").Chains["m"].Steps[0].Tariff
}

func TestPriceFallbacks(t *testing.T) {
	row := func(price string) abi.PriceRow {
		return *tariffOf(t, ", price: {"+price+"}").Row(time.Now(), 0)
	}
	const dollar = 1_000_000_000
	for price, want := range map[string]abi.PriceRow{
		"input: 1, output: 2":                                   {1 * dollar, 2 * dollar, 1 * dollar, 1 * dollar, 1 * dollar, 2 * dollar, 1 * dollar, 2 * dollar, 0, 0, 1 * dollar, 2 * dollar},
		"input: 1, output: 2, cache_write: 3":                   {1 * dollar, 2 * dollar, 1 * dollar, 3 * dollar, 3 * dollar, 2 * dollar, 1 * dollar, 2 * dollar, 0, 0, 1 * dollar, 2 * dollar},
		"input: 1, output: 2, cache_write_1h: 4, cache_read: 0": {1 * dollar, 2 * dollar, 0, 1 * dollar, 4 * dollar, 2 * dollar, 1 * dollar, 2 * dollar, 0, 0, 0, 2 * dollar},
		"input: 1, output: 2, reasoning: 5, audio_input: 6, audio_output: 7, image: 8, request: 9, cache_read_audio: 10, image_output: 11": {
			1 * dollar, 2 * dollar, 1 * dollar, 1 * dollar, 1 * dollar, 5 * dollar, 6 * dollar, 7 * dollar, 8 * dollar, 9 * dollar, 10 * dollar, 11 * dollar,
		},
	} {
		if got := row(price); got != want {
			t.Errorf("%s\ngot  %v\nwant %v", price, got, want)
		}
	}
}

// What a price depends on: the day, the length of the prompt, the time of day.
func TestPrice(t *testing.T) {
	const tiers = `{input: 1, output: 10, tiers: [{above: 200000, input: 2}, {above: 400000, input: 3, output: 30}]}`
	const windows = `{input: 4, output: 40, windows: [
		{from: "16:30", to: "00:30", input: 2},
		{from: "08:00", to: "09:00", timezone: Europe/Berlin, days: [mon, sun], input: 1, output: 5, tiers: [{above: 1000, input: 3}]}]}`
	const dated = `[{input: 1, output: 10}, {from: 2026-03-01, input: 2, output: 20}, {from: "2026-06-01T12:00:00+02:00", input: 3, output: 30}]`
	for _, fact := range []struct {
		name, price, at string
		tokens          int64
		input, output   abi.NanoUSD
	}{
		{"a short prompt", tiers, "2026-01-01T00:00:00Z", 0, 1, 10},
		{"at the boundary", tiers, "2026-01-01T00:00:00Z", 200_000, 1, 10},
		{"above the first boundary", tiers, "2026-01-01T00:00:00Z", 200_001, 2, 10},
		{"above the second boundary", tiers, "2026-01-01T00:00:00Z", 400_001, 3, 30},
		{"before the window", windows, "2026-01-01T16:29:59Z", 0, 4, 40},
		{"in the window", windows, "2026-01-01T16:30:00Z", 0, 2, 40},
		{"past midnight", windows, "2026-01-02T00:29:59Z", 0, 2, 40},
		{"after the window", windows, "2026-01-02T00:30:00Z", 0, 4, 40},
		{"a Monday in Berlin, in winter", windows, "2026-01-05T07:00:00Z", 0, 1, 5},
		{"a Monday in Berlin, in summer", windows, "2026-07-06T06:00:00Z", 1001, 3, 5},
		{"a Tuesday in Berlin", windows, "2026-01-06T07:00:00Z", 0, 4, 40},
		{"the first price", dated, "2026-02-28T23:59:59Z", 0, 1, 10},
		{"the second price", dated, "2026-03-01T00:00:00Z", 0, 2, 20},
		{"the third price", dated, "2026-06-01T10:00:00Z", 0, 3, 30},
		{"a list of one price", "[{from: 2030-01-01, input: 7, output: 8}]", "2026-01-01T00:00:00Z", 0, 7, 8},
	} {
		at, err := time.Parse(time.RFC3339, fact.at)
		must(t, err)
		row := tariffOf(t, ", price: "+fact.price).Row(at, fact.tokens)
		const dollar = 1_000_000_000
		if row[abi.Input] != fact.input*dollar || row[abi.Output] != fact.output*dollar {
			t.Errorf("%s: %v", fact.name, *row)
		}
	}
}

func TestProblemOfPrice(t *testing.T) {
	for price, want := range map[string]string{
		"free": `: must be a mapping of prices, a list of them, or none`,
		"":     `: has no value: give it one, or take the field out`,
		"[]":   `: has no price: take the field out for the catalogue's, or write none`,
		"{input: 1, output: 1, windows: [" + strings.Repeat("{from: '08:00', to: '09:00', input: 1}, ", 17) + "]}": `: has 17 windows, at most 16 are possible`,
		"[none]":                `[0]: must be a mapping, not a single value`,
		"{input: 1}":            `.output: is missing`,
		"[{input: 1}]":          `[0].output: is missing`,
		"{inptu: 1, output: 1}": ".input: is missing\np.yaml:3: models[0].price: unknown field \"inptu\", did you mean \"input\"?",
		"{input: 1, output: 1, from: 2026-01-01}":                                                                  `.from: is for a list of prices, each with the day on which it begins`,
		"[{input: 1, output: 1}, {input: 1, output: 1}]":                                                           `[1].from: is missing`,
		"[{input: 1, output: 1}, {from: tomorrow, input: 1, output: 1}]":                                           `[1].from: must be a date such as 2027-01-01, or a time such as 2027-01-01T08:00:00Z`,
		"[{from: 2026-01-01, input: 1, output: 1}, {from: 2026-01-01, input: 1, output: 1}]":                       `[1].from: must be later than the one before it`,
		"{input: 1, output: 1, tiers: 5}":                                                                          `.tiers: must be a list, not a single value`,
		"{input: 1, output: 1, tiers: [{above: 1}]}":                                                               `.tiers[0]: states no price`,
		"{input: 1, output: 1, tiers: [{input: 1}]}":                                                               `.tiers[0].above: is missing`,
		"{input: 1, output: 1, tiers: [{above: 0, input: 1}]}":                                                     `.tiers[0].above: must be a whole number from 1 to 1000000000`,
		"{input: 1, output: 1, tiers: [{above: 9, input: 1}, {above: 9, input: 1}]}":                               `.tiers[1].above: must be more than in the tier before it`,
		"{input: 1, output: 1, tiers: [{above: 9, input: 1000001}]}":                                               `.tiers[0].input: must be at most 1000000 dollars`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:00'}]}":                                           `.windows[0]: states no price`,
		"{input: 1, output: 1, windows: [{from: '08:00', input: 1}]}":                                              `.windows[0].to: is missing`,
		"{input: 1, output: 1, windows: [{from: '8:00', to: '09:00', input: 1}]}":                                  `.windows[0].from: must be a time of day from 00:00 to 23:59`,
		"{input: 1, output: 1, windows: [{from: '24:00', to: '09:00', input: 1}]}":                                 `.windows[0].from: must be a time of day from 00:00 to 23:59`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '24:01', input: 1}]}":                                 `.windows[0].to: must be a time of day from 00:00 to 24:00`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:60', input: 1}]}":                                 `.windows[0].to: must be a time of day from 00:00 to 24:00`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '08:00', input: 1}]}":                                 `.windows[0].to: must differ from the beginning: a whole day is from 00:00 to 24:00`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:00', days: [], input: 1}]}":                       `.windows[0].days: names no day: take the field out for all`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:00', days: [mon, mon], input: 1}]}":               `.windows[0].days[1]: stands here twice`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:00', days: [monday], input: 1}]}":                 `.windows[0].days[0]: must be one of sun, mon, tue, wed, thu, fri, sat`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:00', timezone: Mars/Olympus, input: 1}]}":         `.windows[0].timezone: must be UTC or the name of a time zone such as Europe/Berlin`,
		"{input: 1, output: 1, windows: [{from: '08:00', to: '09:00', input: 1, tiers: [{above: 1, outptu: 1}]}]}": ".windows[0].tiers[0]: states no price\np.yaml:3: models[0].price.windows[0].tiers[0]: unknown field \"outptu\", did you mean \"output\"?",
	} {
		if got := problemsOf(t, priceHead+", price: "+price+"}]"); got != "p.yaml:3: models[0].price"+want {
			t.Errorf("%s\ngot  %s\nwant p.yaml:3: models[0].price%s", price, got, want)
		}
	}
}

// A model without a price has that of the catalogue, which is found by the catalogue's id, the host, the provider's
// name or the format; one that nobody knows has none.
func TestCatalogue(t *testing.T) {
	const text = `
version: 1
providers:
  - {name: deepseek, format: openai, base_url: 'https://API.deepseek.com/v1'}
  - {name: mine, format: openai, base_url: 'https://llm.example.org/v1', catalog: mistral}
  - {name: claude, format: anthropic, base_url: 'https://example.org'}
  - {name: local, format: openai, base_url: 'http://localhost:11434/v1'}
models:
  - {alias: by-host, provider: deepseek, model: deepseek-chat}
  - {alias: by-id, provider: mine, model: mistral-large-latest}
  - {alias: by-format, provider: claude, model: claude-sonnet-4-5}
  - {alias: none-on-purpose, provider: claude, model: claude-sonnet-4-5, price: none}
  - {alias: unknown, provider: local, model: no-such-model}
  - {alias: own, provider: claude, model: claude-sonnet-4-5, price: {input: 1, output: 2}}
chains: [{name: chain, steps: [{model: by-format}]}]
`
	s := mustLoad(t, text)
	got := s.PriceSources()
	for i := range got {
		if strings.HasPrefix(got[i].Source, "catalogue ") {
			got[i].Source = "catalogue"
		}
	}
	want := []PriceSource{
		{"by-format", "claude", "claude-sonnet-4-5", "catalogue"},
		{"by-host", "deepseek", "deepseek-chat", "catalogue"},
		{"by-id", "mine", "mistral-large-latest", "catalogue"},
		{"none-on-purpose", "claude", "claude-sonnet-4-5", ""},
		{"own", "claude", "claude-sonnet-4-5", "policies.yaml"},
		{"unknown", "local", "no-such-model", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if step, choice := s.Chains["chain"].Steps[0], s.Chains["chain"].Choices[0]; step.Tariff == nil || choice.Price == nil || choice.Price[abi.Input] == 0 {
		t.Errorf("the chain's step has the tariff %v and shows %v", step.Tariff, choice.Price)
	}
	want2 := `p.yaml:3: providers[0].catalog: the catalogue of prices has no provider "mistrl", did you mean "mistral"?`
	if got := problemsOf(t, "version: 1\nproviders:\n  [{name: p, format: openai, base_url: 'https://x', catalog: mistrl}]"); got != want2 {
		t.Errorf("got  %s\nwant %s", got, want2)
	}
}

// A catalogue of one's own replaces the embedded one. If anything is wrong with it, that alone is told.
func TestCatalogueFile(t *testing.T) {
	embedded, err := os.ReadFile("../prices/catalog.jsonl")
	must(t, err)
	dir := t.TempDir()
	catalogue := write(t, dir, "prices.json", string(embedded))
	write(t, dir, "bad.json", "[")
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	load := func(path string) (*Snapshot, error) {
		text := strings.Replace(priceHead, "format: openai", "format: openai, catalog: openai", 1) + "}]\nprices: " + path
		return Load(write(t, dir, "p.yaml", text), environment("SECRET", "hush"))
	}
	s, err := load("./prices.json")
	must(t, err)
	if s.Prices != catalogue || !slices.Contains(s.Paths(), catalogue) {
		t.Errorf("the catalogue is %q, the paths are %q", s.Prices, s.Paths())
	}
	for path, want := range map[string]string{
		"none.json":      `prices: there is no file "none.json"`,
		"${SECRET}.json": `prices: there is no file "${SECRET}.json"`,
		"folder":         `prices: there is no file "folder"`,
		"''":             `prices: must be a path`,
		"bad.json":       `prices: "bad.json": `,
	} {
		_, err := load(path)
		if err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, "p.yaml")+":4: "+want) {
			t.Errorf("%s gave %v, want %s", path, err, want)
		}
	}
}
