package prices

import (
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
)

// sample is the usage of a real answer, priced by somebody else.
type sample struct {
	ID          int
	Shape       string
	Provider    string
	Body        json.RawMessage
	InputPrice  json.Number `json:"input_price_usd"`
	OutputPrice json.Number `json:"output_price_usd"`
}

// samples reads the samples from the folder that SALLYPORT_FIXTURES names, else from the one beside the repository, or
// skips the test where there is none.
func samples(t *testing.T) (all []sample) {
	t.Helper()
	folder := os.Getenv("SALLYPORT_FIXTURES")
	if folder == "" {
		folder = filepath.Join("..", "..", "shared", "fixtures")
	}
	b, err := os.ReadFile(filepath.Join(folder, "usage-samples.json"))
	if os.IsNotExist(err) {
		t.Skipf("no samples: SALLYPORT_FIXTURES does not name the folder with usage-samples.json, and there is none in %s", folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no samples")
	}
	return all
}

// sampled is when the samples were priced: before 1 September 2026, when claude-sonnet-5 became dearer.
var sampled = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

// price returns what the body of a sample costs.
func (s *sample) price(t *testing.T, c *Catalog) abi.NanoUSD {
	t.Helper()
	routes := map[string]struct{ path, format string }{
		"anthropic":        {"/anthropic/v1/messages", "anthropic"},
		"gemini":           {"/gemini/v1beta/models/m:generateContent", "gemini"},
		"openai-chat":      {"/v1/chat/completions", "openai"},
		"openai-responses": {"/v1/responses", "openai"},
	}
	r := routes[s.Shape]
	route, match := formats.FindRoute([]byte("POST"), []byte(r.path), false)
	if match != formats.Found {
		t.Fatalf("%d: no route for %s", s.ID, s.Shape)
	}
	var m formats.Meter
	m.Reset(&route, false)
	if !m.Body(s.Body) || !m.UsageSeen {
		t.Fatalf("%d: no usage", s.ID)
	}
	tariff, ok := c.Find(Query{Name: s.Provider, Format: r.format, Model: string(m.Model())})
	if !ok {
		t.Fatalf("%d: no tariff for %s of %s", s.ID, m.Model(), s.Provider)
	}
	cost, _ := tariff.Row(sampled, m.Usage.InputTokens()).Cost(&m.Usage)
	return cost
}

// nano returns amounts of dollars in nano-dollars, rounded half up.
func nano(t *testing.T, dollars ...json.Number) abi.NanoUSD {
	t.Helper()
	sum := new(big.Rat)
	for _, d := range dollars {
		r, ok := new(big.Rat).SetString(d.String())
		if !ok {
			t.Fatalf("%q is no amount", d)
		}
		sum.Add(sum, r)
	}
	n, ok := new(big.Rat).SetString(sum.Mul(sum, big.NewRat(1_000_000_000, 1)).FloatString(0))
	if !ok {
		t.Fatal(sum)
	}
	return abi.NanoUSD(n.Num().Int64())
}

func TestSamplesCostWhatTheyShould(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	all := samples(t)
	for _, s := range all {
		if got, want := s.price(t, c), nano(t, s.InputPrice, s.OutputPrice); got != want {
			t.Errorf("%d: costs %d nano-dollars, want %d: %s %s", s.ID, got, want, s.Provider, s.Body)
		}
	}
	t.Logf("%d samples", len(all))
}
