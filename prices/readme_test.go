package prices

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// TestReadme reads the example in README.md, and checks the figure that is worked out there.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```jsonl\n")
	example, _, _ = strings.Cut(example, "```")
	c, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	tariff, ok := c.Find(Query{Host: "a.eu.acme.example", Model: "Large-2026"})
	if !ok {
		t.Fatal("not found")
	}
	usage := abi.Usage{abi.Input: 200_000, abi.CacheRead: 50_000, abi.Output: 1000}
	if cost, _ := tariff.Row(time.Now(), usage.InputTokens()).Cost(&usage); !strings.Contains(string(text), "is "+cost.String()+".") {
		t.Errorf("it costs %v, README.md says something else", cost)
	}
	for _, d := range fields {
		if !strings.Contains(string(text), "`"+d+"`") {
			t.Errorf("README.md does not know the price %q", d)
		}
	}
	if tariff, ok := c.Find(Query{Name: "acme-ai", Model: "text-embed-3"}); !ok || tariff.Source() != "catalogue 2026-11-20: other/embed" {
		t.Errorf("%v: %+v", ok, tariff)
	}
}
