package prices

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
)

// embeddedCatalog returns the catalogue that comes with the binary.
func embeddedCatalog(t testing.TB) *Catalog {
	t.Helper()
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEmbedded(t *testing.T) {
	c := embeddedCatalog(t)
	if _, err := time.Parse(time.DateOnly, c.Date()); err != nil || !strings.Contains(c.Origin(), "genai-prices") {
		t.Errorf("of %q from %q", c.Date(), c.Origin())
	}
	ids := c.Providers()
	if !slices.IsSorted(ids) || len(ids) != 34 {
		t.Errorf("%d providers: %v", len(ids), ids)
	}
	models := 0
	for _, id := range ids {
		for _, m := range c.Models(id) {
			models++
			if m.ID == "" || len(m.Patterns) == 0 || m.Tariff.Source() != "catalogue "+c.Date()+": "+id+"/"+m.ID {
				t.Errorf("%s: %+v from %s", id, m, m.Tariff.Source())
			}
		}
	}
	if models != 1285 {
		t.Errorf("%d models", models)
	}
	if m := c.Models("nobody"); m != nil {
		t.Errorf("a provider that does not exist has %d models", len(m))
	}
	if m := c.Models("gemini"); m != nil { // an alias of google
		t.Errorf("models are listed by a name that is no id: %d", len(m))
	}
}

// TestDearestCoversTheCatalogue holds every tariff of the catalogue to what a reservation promises, at times around
// the dates and the hours at which its prices change.
func TestDearestCoversTheCatalogue(t *testing.T) {
	c := embeddedCatalog(t)
	var tariffs []*Tariff
	for _, id := range c.Providers() {
		for _, m := range c.Models(id) {
			tariffs = append(tariffs, m.Tariff)
		}
	}
	conditional := slices.DeleteFunc(slices.Clone(tariffs), func(t *Tariff) bool {
		return len(t.entries) == 1 && len(t.entries[0].rates) == 1 && len(t.entries[0].windows) == 0
	})
	if len(conditional) < 20 {
		t.Errorf("only %d tariffs with a condition", len(conditional))
	}
	rapid.Check(t, func(t *rapid.T) {
		set := tariffs
		if rapid.Bool().Draw(t, "conditional") {
			set = conditional
		}
		tariff := rapid.SampledFrom(set).Draw(t, "tariff")
		last := tariff.entries[len(tariff.entries)-1].from
		if last.IsZero() {
			last = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
		}
		covers(t, tariff, last.Add(-72*time.Hour), 144*time.Hour, 1_100_000)
	})
	for _, tariff := range tariffs { // and each of them once, at its longest
		at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		row, dearest := tariff.Row(at, math.MaxInt64), tariff.Dearest(at, math.MaxInt64)
		for d := range row {
			if row[d] > dearest[d] || row[d] < 0 {
				t.Errorf("%s: %v is %d of %d", tariff.Source(), abi.Dimension(d), row[d], dearest[d])
			}
		}
	}
}

func TestFind(t *testing.T) {
	c := embeddedCatalog(t)
	facts := []struct {
		name string
		q    Query
		want string // "": not found
	}{
		{"by host", Query{Name: "mine", Host: "api.deepseek.com", Format: "openai", Model: "deepseek-v4-flash"}, "deepseek/deepseek-v4-flash"},
		{"by a host that varies", Query{Name: "b", Host: "bedrock-runtime.eu-central-1.amazonaws.com", Format: "anthropic", Model: "eu.anthropic.claude-haiku-4-5-20251001-v1:0"}, "aws/regional.anthropic.claude-haiku-4-5-20251001-v1:0"},
		{"by a host below another", Query{Name: "v", Host: "europe-west1-aiplatform.googleapis.com", Format: "gemini", Model: "gemini-2.5-pro"}, "google/gemini-2.5-pro"},
		{"a host in capitals, with its root", Query{Name: "o", Host: "API.OpenAI.com.", Format: "openai", Model: "GPT-4o"}, "openai/gpt-4o"},
		{"a host that only ends alike", Query{Name: "o", Host: "api.openai.com.example.org", Format: "anthropic", Model: "gpt-4o"}, ""},
		{"a host that only begins alike", Query{Name: "o", Host: "notapi.groq.com", Format: "anthropic", Model: "llama-3.1-8b-instant"}, ""},
		{"the host wins over the name", Query{Name: "openai", Host: "api.groq.com", Format: "openai", Model: "openai/gpt-oss-20b"}, "groq/openai/gpt-oss-20b"},
		{"and over the format", Query{Name: "x", Host: "api.groq.com", Format: "openai", Model: "gpt-4o"}, ""},
		{"by name", Query{Name: "groq", Host: "proxy.internal", Format: "openai", Model: "llama-3.1-8b-instant"}, "groq/llama-3.1-8b-instant"},
		{"by alias, in capitals", Query{Name: "XAI", Host: "proxy.internal", Format: "openai", Model: "grok-4"}, "x-ai/grok-4-0709"},
		{"a name that only holds one", Query{Name: "my-groq", Host: "proxy.internal", Format: "openai", Model: "llama-3.1-8b-instant"}, ""},
		{"the operator's word wins over the host", Query{Name: "x", Host: "api.openai.com", Format: "openai", Catalog: "groq", Model: "openai/gpt-oss-20b"}, "groq/openai/gpt-oss-20b"},
		{"and is not guessed at", Query{Name: "openai", Host: "api.openai.com", Format: "openai", Catalog: "nobody", Model: "gpt-4o"}, ""},
		{"a compatible server", Query{Name: "local", Host: "localhost", Format: "openai", Model: "gpt-4o"}, "openai/gpt-4o"},
		{"one of another format", Query{Name: "local", Host: "localhost", Format: "anthropic", Model: "claude-opus-5"}, "anthropic/claude-opus-5"},
		{"and of the third", Query{Name: "local", Host: "127.0.0.1", Format: "gemini", Model: "gemini-2.5-flash"}, "google/gemini-2.5-flash"},
		{"what it serves itself", Query{Name: "local", Host: "localhost", Format: "openai", Model: "llama3.2"}, ""},
		{"a format that is none", Query{Name: "local", Host: "localhost", Model: "gpt-4o"}, ""},

		{"a dated name", Query{Host: "api.anthropic.com", Model: "claude-sonnet-4-5-20250929"}, "anthropic/claude-sonnet-4-5"},
		{"the more exact of two", Query{Host: "api.openai.com", Model: "gpt-5-nano-2025-08-07"}, "openai/gpt-5-nano"},
		{"not the shorter name's", Query{Host: "api.openai.com", Model: "gpt-4o-mini"}, "openai/gpt-4o-mini"},
		{"a suffix of digits", Query{Host: "api.x.ai", Model: "grok-4.3-20260401"}, "x-ai/grok-4.3"},
		{"which has to be one", Query{Host: "api.x.ai", Model: "grok-4.3-2026040x"}, ""},
		{"a name that contains it", Query{Catalog: "aws", Model: "arn:aws:bedrock:us-east-1::foundation-model/mistral.mistral-large-2402-v1:0"}, "aws/mistral.mistral-large-2402-v1:0"},
		{"an unknown model of a known provider", Query{Host: "api.anthropic.com", Format: "anthropic", Model: "gpt-4o"}, ""},
		{"no model", Query{Host: "api.anthropic.com", Format: "anthropic"}, ""},

		{"Azure serves OpenAI's", Query{Host: "me.openai.azure.com", Format: "openai", Model: "gpt-4.1-mini"}, "azure/gpt-4.1-mini|openai/gpt-4.1-mini"},
		{"and Anthropic's", Query{Host: "me.openai.azure.com", Format: "openai", Model: "claude-haiku-4-5"}, "anthropic/claude-haiku-4-5"},
		{"but nobody else's", Query{Host: "me.openai.azure.com", Format: "openai", Model: "gemini-2.5-pro"}, ""},
		{"Vertex serves Anthropic's that it does not list", Query{Host: "aiplatform.googleapis.com", Format: "anthropic", Model: "claude-opus-4-5@20251101"}, "anthropic/claude-opus-4-5"},
	}
	for _, f := range facts {
		got := ""
		if tariff, ok := c.Find(f.q); ok {
			got = strings.TrimPrefix(tariff.Source(), "catalogue "+c.Date()+": ")
		}
		if !slices.Contains(strings.Split(f.want, "|"), got) {
			t.Errorf("%s: %+v is %q, want %q", f.name, f.q, got, f.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	facts := []struct {
		pattern pattern
		name    string
		want    bool
	}{
		{"gpt-4o", "gpt-4o", true},
		{"gpt-4o", "gpt-4o-mini", false},
		{"gpt-4o*", "gpt-4o", true},
		{"gpt-4o*", "gpt-4o-mini", true},
		{"*sonnet", "claude-sonnet", true},
		{"*sonnet", "claude-sonnet-4", false},
		{"*sonnet*", "claude-sonnet-4", true},
		{"a*b*c", "abbbc", true},
		{"a*b*c", "abbb", false},
		{"*ab", "aab", true},
		{"v-##", "v-12", true},
		{"v-##", "v-1", false},
		{"v-##", "v-1x", false},
		{"v-#*", "v-1x", true},
		{"v-#", "v-#", true},
		{"**", "", true},
		{"*", "x", true},
		{"", "", true},
		{"", "x", false},
	}
	for _, f := range facts {
		if got := f.pattern.matches(f.name); got != f.want {
			t.Errorf("%q of %q: %v", f.pattern, f.name, got)
		}
	}
	byExactness := []pattern{"*", "*sonnet*", "claude-sonnet*", "claude-sonnet-#", "c"}
	for i := range byExactness[1:] {
		if byExactness[i].compare(byExactness[i+1]) >= 0 {
			t.Errorf("%q is not less exact than %q", byExactness[i], byExactness[i+1])
		}
	}
}

const head = `{"version":1,"date":"2026-11-20"}` + "\n"

func TestParse(t *testing.T) {
	c, err := Parse([]byte(`
  {"version":1,"date":"2026-11-20","origin":"our contract","licence":"none","notes":["a \"quoted\\","]"]}

{"provider":"zeta","name":"Zeta","aliases":["z"],"hosts":["api.zeta.example"],"fallback":["Alpha"]}
{ "model" : "one\u002Dtwo" , "match" : [ "ONE-TWO*" ] , "price" : { "input" : 0.10 , "output" : 2 } }` + "\r" + `
{"provider":"Alpha"}
{"model":"three","match":["three"],"price":` + everything + `}
{"model":"four","match":["four-*"],"price":{"input":1}}
{"model":"five","match":["*-five"],"price":{"input":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Date() != "2026-11-20" || c.Origin() != "our contract" || fmt.Sprint(c.Providers()) != "[Alpha zeta]" {
		t.Errorf("%s, %s, %v", c.Date(), c.Origin(), c.Providers())
	}
	tariff, ok := c.Find(Query{Name: "Z", Model: "One-Two-Three"})
	if !ok || tariff.Source() != "catalogue 2026-11-20: zeta/one-two" || tariff.Row(time.Time{}, 0)[abi.Input] != 100_000_000 {
		t.Errorf("%v: %+v", ok, tariff)
	}
	if tariff, ok = c.Find(Query{Name: "alpha", Model: "four-five"}); !ok || tariff.Source() != "catalogue 2026-11-20: Alpha/four" {
		t.Errorf("of two that are as exact the first: %v: %+v", ok, tariff)
	}
	if tariff, ok = c.Find(Query{Host: "api.zeta.example", Model: "three"}); !ok || tariff.Source() != "catalogue 2026-11-20: Alpha/three" {
		t.Errorf("%v: %+v", ok, tariff)
	}
}

func TestParseSaysAllThatIsWrong(t *testing.T) {
	price := func(price string) string {
		return head + `{"provider":"p"}` + "\n" + `{"model":"m","match":["m"],"price":` + price + "}"
	}
	facts := []struct {
		name, data, want string
	}{
		{"nothing", "", "line 1: is empty"},
		{"blank lines", "\n \n", "line 1: is empty"},
		{"another kind of file", "[\n{}\n]", `line 1: is not the first line of a catalogue, which is a JSON document that begins with {"version":1`},
		{"another version", `{"version":2,"date":"2026-11-20"}`, `line 1: version: must be 1: this is another version of the format`},
		{"no date", `{"version":1}`, `line 1: must have a date`},
		{"not JSON", head + "{\n{\"provider\":\"p\"}\nx", "line 2: must be a JSON document that begins with {\"provider\": or {\"model\":, and this is not JSON: unexpected end of JSON input\n" +
			"line 4: must be a JSON document that begins with {\"provider\": or {\"model\":, and this is not JSON: invalid character 'x' looking for beginning of value"},
		{"not UTF-8", head + "{\"provider\":\"\xff\"}", `line 2: must be a JSON document that begins with {"provider": or {"model":`},
		{"an unknown kind", head + `{"name":"x","provider":"p"}` + "\n{}", "line 2: must be a JSON document that begins with {\"provider\": or {\"model\":\nline 3: must be a JSON document that begins with {\"provider\": or {\"model\":"},
		{"two heads", head + head, `line 2: must be a JSON document that begins with {"provider": or {"model":`},
		{"no provider", head + `{"model":"m","match":["m"],"price":{"input":1}}`, "line 2: is a model without a provider above it"},
		{"names twice", head + `{"provider":"p","aliases":["q","Q"]}` + "\n" + `{"provider":"P"}` + "\n" + `{"provider":"q"}`,
			"line 2: aliases[1]: \"q\" is a name of the provider in line 2 already\nline 3: provider: \"p\" is a name of the provider in line 2 already\nline 4: provider: \"q\" is a name of the provider in line 2 already"},
		{"no such fallback", head + `{"provider":"p","aliases":["q"],"fallback":["q","r","p"]}`, "line 2: fallback: there is no other provider \"q\"\nline 2: fallback: there is no other provider \"r\"\nline 2: fallback: there is no other provider \"p\""},
		{"a model twice", head + `{"provider":"p"}` + "\n" + `{"model":"m","match":["m","n"],"price":{"input":1}}` + "\n" + `{"model":"m","match":["N","N"],"price":{"input":1}}`,
			"line 4: model: \"m\" stands in line 3 already\nline 4: match: \"n\" is a pattern of \"m\" already\nline 4: match: \"n\" is a pattern of \"m\" already"},
		{"half a model", head + `{"provider":"p"}` + "\n" + `{"model":"m"}`, "line 3: must say what it matches and its price"},
		{"unknown fields", head + `{"provider":"p","colour":"red"}` + "\n" + `{"model":"m","match":["m"],"price":{"input":1,"imput":2,"tiers":[{"above":1,"input":1,"from":"2026-01-01"}]},"x":[1,{"y":"]}"}]}`,
			"line 2: colour: unknown field\nline 3: price.imput: unknown field\nline 3: price.tiers[0].from: unknown field\nline 3: x: unknown field"},
		{"a field twice", price(`{"input":1,"inp\u0075t":2}`), "line 3: price.input: is stated twice"},
		{"kinds", head + `{"provider":1,"aliases":"a","hosts":{},"name":""}`, "line 2: provider: must be a text that is not empty\nline 2: aliases: must be a list\nline 2: hosts: must be a list\nline 2: name: must be a text that is not empty"},
		{"amounts", price(`{"input":-1,"output":1e3,"cache_read":"2","image":1000000.000000001,"request":0.0000000001,"reasoning":null}`),
			"line 3: price.input: must not be negative\nline 3: price.output: must be an amount in US dollars such as 0.27\nline 3: price.cache_read: must be an amount in US dollars such as 0.27\n" +
				"line 3: price.image: must be at most 1000000 dollars: prices are per million units\nline 3: price.request: must not have more than 9 decimals\nline 3: price.reasoning: must be an amount in US dollars such as 0.27"},
		{"no price", price(`{}`), "line 3: price: states no price"},
		{"no entries", price(`[]`), "line 3: price: has no price"},
		{"no object", price(`[1]`), "line 3: price[0]: must be an object"},
		{"dates", price(`[{"input":1},{"from":"2026-02-30","input":1}]`), "line 3: price[1].from: must be a date such as 2026-01-31"},
		{"the order of dates", price(`[{"input":1},{"from":"2026-02-01","input":1},{"from":"2026-01-01","input":1}]`), "line 3: price: entry 3: must begin after the entry above it"},
		{"tiers", price(`{"input":1,"tiers":[{"above":0,"input":1},{"above":1.5,"input":1}]}`), "line 3: price.tiers[0].above: must be a whole number of at least 1\nline 3: price.tiers[1].above: must be a whole number of at least 1"},
		{"the order of tiers", price(`{"input":1,"tiers":[{"above":2,"input":1},{"above":2,"input":1}]}`), "line 3: price: tier 2: must begin above 2 tokens"},
		{"windows", price(`{"input":1,"windows":[{"to":"25:00","input":1},{"from":"7:00","to":"24:00","timezone":"Local","days":["Mon"],"input":1}]}`),
			"line 3: price.windows[0].to: must be a time such as 16:30\nline 3: price.windows[0]: must say from and to\nline 3: price.windows[1].from: must be a time such as 16:30\n" +
				"line 3: price.windows[1].timezone: must be UTC or the name of a time zone such as Europe/Berlin\nline 3: price.windows[1].days[0]: must be one of mon, tue, wed, thu, fri, sat, sun"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c, err := Parse([]byte(f.data))
			var problems Problems
			if c != nil || !errors.As(err, &problems) || err.Error() != f.want {
				t.Errorf("\n got %v\nwant %s", err, f.want)
			}
		})
	}
}

// FuzzParse looks for panics, for problems without a place, and for catalogues that were accepted and break a
// promise afterwards.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head + `{"provider":"p","aliases":["q"],"hosts":["*.p.example"],"fallback":["r"]}` + "\n" + `{"model":"m","match":["m*","n-##"],"price":` + everything + "}\n" + `{"provider":"r"}`))
	f.Add([]byte(head + `{"provider":"p"}` + "\n" + `{"model":"m","match":["m"],"price":{"input":0.123456789,"output":1000000}}`))
	f.Add([]byte(head + `{"provider":"p","x":[{"a":"\\\"}]"},-1.5e+3,true,null,[]],"provider":"p"}`))
	f.Add([]byte("{\"version\" : 1 , \"date\":\"2026-02-29\"}\r\n\n{\"provider\":\"\\u0070\"}"))
	f.Add([]byte(`{"version":1,"notes":[{}],"date":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			var problems Problems
			if c != nil || !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("%v, %v", c, err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, p := range problems {
				if p.Line < 1 || p.Line > lines || p.Message == "" {
					t.Fatalf("%+v of %d lines", p, lines)
				}
			}
			return
		}
		at := time.Date(2026, 1, 15, 21, 0, 0, 0, time.UTC)
		for _, id := range c.Providers() {
			for _, m := range c.Models(id) {
				row, dearest := m.Tariff.Row(at, 150), m.Tariff.Dearest(at, 150)
				for d := range row {
					if row[d] < 0 || row[d] > dearest[d] || dearest[d] > maxPrice {
						t.Fatalf("%s: %v is %d of %d", m.ID, abi.Dimension(d), row[d], dearest[d])
					}
				}
			}
			c.Find(Query{Name: id, Host: "a.p.example", Model: "m-12"})
		}
	})
}

func BenchmarkEmbedded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Embedded(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	c := embeddedCatalog(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.Find(Query{Host: "openrouter.ai", Format: "openai", Model: "x-ai/grok-4.3"}); !ok {
			b.Fatal("not found")
		}
	}
}
