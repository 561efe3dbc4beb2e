package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/prices"
)

func TestExpand(t *testing.T) {
	facts := []struct {
		expression, want string // the patterns, by spaces; "": none says it
	}{
		{`^grok-4\.3-\d{8}$`, "grok-4.3-########"},
		{`^gemini-3\.5-flash-\d`, "gemini-3.5-flash-#*"},
		{`o[134]`, ""},
		{`mini$`, "*mini"},
		{`^(ab|cd)?e(?:f|gh)$`, "abef abegh cdef cdegh ef egh"},
		{`^a.*b.+c$`, "a*b*c"},
		{`a{2,3}`, ""},
		{`(`, ""},
	}
	for _, f := range facts {
		got, err := expand(f.expression)
		slices.Sort(got)
		if strings.Join(got, " ") != f.want || (err != nil) != (f.want == "") {
			t.Errorf("%s: %q, %v, want %q", f.expression, got, err, f.want)
		}
	}
}

func TestHosts(t *testing.T) {
	facts := []struct {
		expression, want string
	}{
		{`https://api\.openai\.com`, "api.openai.com"},
		{`https://api\.moonshot\.`, "api.moonshot.*"},
		{`https://(.*\.)?googleapis\.com`, "*.googleapis.com googleapis.com"},
		{`https://bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com(/|$)`, "bedrock-runtime.*.amazonaws.com"},
		{`(https?://)?([^.]*\.)?(?:a\.com|b\.net)`, "*.a.com *.b.net a.com b.net"},
		{`https://router\.huggingface\.co/groq`, ""},
	}
	for _, f := range facts {
		got, err := hosts(f.expression)
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != f.want {
			t.Errorf("%s: %q, %v, want %q", f.expression, got, err, f.want)
		}
	}
}

func TestWhatIsNotKnownIsAnError(t *testing.T) {
	for _, data := range []string{
		`[{"id":"p","api_pattern":"https://a\\.b","models":[{"id":"m","match":{"looks_like":"m"},"prices":{"input_mtok":1}}]}]`,
		`[{"id":"p","api_pattern":"https://a\\.b","models":[{"id":"m","match":{"equals":"m"},"prices":[{"constraint":{"start_date":"2026-01-01"},"prices":{"input_mtok":1}}]}]}]`,
		`[{"id":"p","api_pattern":"https://a\\.b","models":[{"id":"m","match":{"equals":"m"},"prices":[{"prices":{"input_mtok":1}},{"constraint":{"start_time":"01:00:00Z"},"prices":{"input_mtok":1}}]}]}]`,
		`[{"id":"p","api_pattern":"https://a\\.b","models":[{"id":"m","match":{"equals":"m"},"prices":[{"prices":{"input_mtok":1,"output_mtok":1}},{"constraint":{"start_time":"01:00:00Z","end_time":"02:00:00Z"},"prices":{"input_mtok":1}}]}]}]`,
		`[{"id":"p","api_pattern":"https://a\\.b","models":[{"id":"m","match":{"equals":"m"},"prices":{"input_mtok":-1}}]}]`,
		`{}`,
	} {
		in, out := filepath.Join(t.TempDir(), "in.json"), filepath.Join(t.TempDir(), "out.jsonl")
		if err := os.WriteFile(in, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(in, out, "c", "2026-01-01", io.Discard); err == nil {
			t.Errorf("%s was translated", data)
		}
	}
	err := run(filepath.Join(t.TempDir(), "none"), "", "", "", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "there is no data at") {
		t.Errorf("without data: %v", err)
	}
}

// data returns the path of the data, or skips the test where there is none.
func data(t *testing.T) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "genai-prices.json")
	if fixtures := os.Getenv("SALLYPORT_FIXTURES"); fixtures != "" {
		path = filepath.Join(fixtures, "..", "data", "genai-prices.json")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the data of genai-prices is not here: %v", err)
	}
	return path
}

func TestCatalogueIsOfTheData(t *testing.T) {
	committed, err := os.ReadFile("../catalog.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var head header
	first, _, _ := bytes.Cut(committed, []byte("\n"))
	if err := json.Unmarshal(first, &head); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "catalog.jsonl")
	if err := run(data(t), out, sourceCommit, head.Date, io.Discard); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh, committed) {
		t.Error("prices/catalog.jsonl is stale: run the generator")
	}
}

// meant says whether the data means a name by a clause.
func (c *clause) meant(name string) bool {
	switch {
	case c.Equals != "":
		return strings.EqualFold(name, c.Equals)
	case c.StartsWith != "":
		return strings.HasPrefix(name, strings.ToLower(c.StartsWith))
	case c.EndsWith != "":
		return strings.HasSuffix(name, strings.ToLower(c.EndsWith))
	case c.Contains != "":
		return strings.Contains(name, strings.ToLower(c.Contains))
	case c.Regex != "":
		return regexp.MustCompile(c.Regex).MatchString(name)
	}
	return slices.ContainsFunc(c.Or, func(one clause) bool { return one.meant(name) })
}

// literals returns the texts of a clause.
func (c *clause) literals() []string {
	all := []string{c.Equals, c.StartsWith, c.EndsWith, c.Contains}
	for _, one := range c.Or {
		all = append(all, one.literals()...)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// at returns the data's prices at a time.
func (c costs) at(at time.Time) map[string]cost {
	for _, one := range slices.Backward(c) {
		k := one.Constraint
		clock := at.Format("15:04:05Z")
		if k.StartDate <= at.Format(time.DateOnly) && (k.StartTime == "" || k.StartTime <= clock && clock < k.EndTime) {
			return one.Prices
		}
	}
	return c[0].Prices
}

// nano returns the price for a prompt of so many tokens.
func (c cost) nano(tokens, times int64) abi.NanoUSD {
	price := c.Base
	for _, tier := range c.Tiers {
		if tokens > tier.Start {
			price = tier.Price
		}
	}
	r, _ := new(big.Rat).SetString(string(price))
	n, _ := new(big.Rat).SetString(r.Mul(r, big.NewRat(times*1_000_000_000, 1)).FloatString(0))
	return abi.NanoUSD(n.Num().Int64())
}

// TestEveryNameCostsWhatTheDataSays looks up every name that the data has, and names made from them, and compares
// the prices with those that the data's own rules give: the first model that matches, the last constraint that holds.
func TestEveryNameCostsWhatTheDataSays(t *testing.T) {
	b, err := os.ReadFile(data(t))
	if err != nil {
		t.Fatal(err)
	}
	var providers []source
	if err := json.Unmarshal(b, &providers); err != nil {
		t.Fatal(err)
	}
	c, err := prices.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, p := range providers {
		var names []string
		for _, m := range p.Models {
			for _, s := range append(m.Match.literals(), m.ID) {
				s = strings.ToLower(s)
				names = append(names, s, s+"-2026-01-01", s+"-20260101", s+"-latest", "models/"+s, "us."+s)
			}
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			tariff, found := c.Find(prices.Query{Catalog: p.ID, Model: name})
			i := 0
			for i < len(p.Models) && !p.Models[i].Match.meant(name) {
				i++
			}
			switch known := i < len(p.Models); {
			case known && found:
				compare(t, tariff, p.Models[i].Prices)
				compared++
			case known || found && p.Fallback == nil:
				t.Errorf("%s: %s is found: %v, known to the data: %v", p.ID, name, found, known)
			}
		}
	}
	t.Logf("%d names compared", compared)
	if compared < 3000 {
		t.Error("too few")
	}
}

// compare compares a tariff with the data's prices around everything that they depend on.
func compare(t *testing.T, tariff *prices.Tariff, list costs) {
	t.Helper()
	names := map[string]abi.Dimension{
		"input_mtok": abi.Input, "output_mtok": abi.Output, "cache_read_mtok": abi.CacheRead, "cache_write_mtok": abi.CacheWrite5m,
		"input_audio_mtok": abi.AudioInput, "output_audio_mtok": abi.AudioOutput, "requests_kcount": abi.Requests,
		"cache_audio_read_mtok": abi.CacheReadAudio,
	}
	times := []time.Time{time.Date(2026, 8, 31, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	lengths := []int64{0, 1_000_000}
	for _, one := range list {
		if begin, err := time.Parse(time.DateOnly, one.Constraint.StartDate); err == nil {
			times = append(times, begin, begin.Add(-time.Second))
		}
		for _, clock := range []string{one.Constraint.StartTime, one.Constraint.EndTime} {
			if at, err := time.Parse("2006-01-02 15:04:05Z", "2026-07-01 "+clock); err == nil {
				times = append(times, at, at.Add(-time.Second))
			}
		}
		for _, c := range one.Prices {
			for _, tier := range c.Tiers {
				lengths = append(lengths, tier.Start, tier.Start+1)
			}
		}
	}
	for _, at := range times {
		for _, tokens := range lengths {
			row := tariff.Row(at, tokens)
			for name, c := range list.at(at) {
				d, known := names[name]
				if !known {
					continue
				}
				scale := int64(1)
				if d == abi.Requests {
					scale = 1000
				}
				want := c.nano(tokens, scale)
				if d == abi.Output && row[abi.ImageOutput] == want { // what the data says of an image model may be that
					d = abi.ImageOutput
				}
				if row[d] != want {
					t.Errorf("%s at %s for %d tokens: %v is %d, want %d", tariff.Source(), at, tokens, d, row[d], want)
				}
			}
		}
	}
}

func TestImagesAreToldApart(t *testing.T) {
	of := func(output string) []entry {
		return []entry{{rates: rates{amounts: amounts{Output: json.Number(output)}}}}
	}
	facts := []struct {
		model   string
		entries []entry
		want    string // text and images; "": refused
	}{
		{"gemini-2.5-flash-image", of("30"), "2.5 30"},
		{"google/gemini-2.5-flash-image", of("2.5"), "2.5 30"},
		{"gemini-2.5-flash-image", of("39"), ""},
		{"gemini-2.5-flash", of("2.5"), "2.5 "},
		{"gemini-2.5-flash-image", []entry{{rates: rates{amounts: amounts{Output: "30"}, Tiers: []tier{{Above: 1}}}}}, ""},
	}
	for _, f := range facts {
		err := tellImagesApart(f.model, f.entries)
		got := f.entries[0].Output + " " + f.entries[0].ImageOutput
		if (err != nil) != (f.want == "") || err == nil && string(got) != f.want {
			t.Errorf("%s: %q, %v, want %q", f.model, got, err, f.want)
		}
	}
}
