package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/sallyport-dev/sallyport/abi"
)

func TestOutputsAreFresh(t *testing.T) {
	c, err := readContract("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outputs() {
		committed, err := os.ReadFile(filepath.Join("..", o.path))
		if err != nil {
			t.Fatal(err)
		}
		text, err := o.render(c, committed)
		if err != nil {
			t.Errorf("%s: %v", o.path, err)
		}
		if !bytes.Equal(text, committed) {
			t.Errorf("abi/%s is stale: run go generate ./abi", o.path)
		}
	}
}

// SPEC.md leaves nothing out: its parts are marked by hand.
func TestSpecNamesEveryFieldAndFunction(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "SPEC.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range abi.Fields() {
		if n := strings.Count(string(text), " `"+f.Name+"` | "+f.Kind.String()); n != 1 {
			t.Errorf("field %s stands in %d tables", f.Name, n)
		}
	}
	for _, f := range abi.Functions() {
		if !strings.Contains(string(text), "`"+f.Name+"(") {
			t.Errorf("function %s stands in no table", f.Name)
		}
	}
}

func TestReadContract(t *testing.T) {
	c, err := readContract("..")
	if err != nil {
		t.Fatal(err)
	}
	if last := c.enums["Dimension"][abi.NumDimensions-1]; last.Name != "ImageOutput" || last.Wire != "image_output" {
		t.Errorf("the last dimension is %+v", last)
	}
	if got := c.enums["ErrorClass"][abi.Ambiguous]; got.Name != "Ambiguous" || !strings.HasPrefix(got.Doc, "the provider may") {
		t.Errorf("the class ambiguous is %+v", got)
	}
	if len(c.enums["Code"]) != 11 || len(c.enums["Return"]) != 3 || len(c.enums["Log"]) != 4 {
		t.Errorf("codes %v, returns %v, levels %v", c.enums["Code"], c.enums["Return"], c.enums["Log"])
	}
}

func TestLimitsAndPeriods(t *testing.T) {
	c, err := readContract("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.enums["Limit"]) != int(abi.NumLimits) || len(c.enums["Period"]) != int(abi.NumPeriods) {
		t.Errorf("limits %v, periods %v", c.enums["Limit"], c.enums["Period"])
	}
	for l, e := range c.enums["Limit"] {
		if e.Value != int64(l) || e.Wire != abi.Limit(l).String() {
			t.Errorf("limit %d is %+v", l, e)
		}
	}
	if last := c.enums["Period"][abi.InTotal]; last.Name != "InTotal" || last.Wire != "total" || last.Doc != "never anew" {
		t.Errorf("the last period is %+v", last)
	}
}

func TestReplaceParts(t *testing.T) {
	parts := template.Must(template.New("").Parse(`{{define "a"}}new{{"\n"}}{{end}}`))
	facts := []struct {
		name, old, want string
	}{
		{"keeps what is outside", "x\n<generated:begin a >\nold\n<generated:end>\ny\n", "x\n<generated:begin a >\nnew\n<generated:end>\ny\n"},
		{"fills what is empty", "generated:begin a\ngenerated:end", "generated:begin a\nnew\ngenerated:end"},
		{"no markers", "x\n", ""},
		{"no end", "generated:begin a\n", ""},
		{"no begin", "generated:end\n", ""},
		{"nested", "generated:begin a\ngenerated:begin a\ngenerated:end\n", ""},
		{"an unknown part", "generated:begin b\ngenerated:end\n", ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			got, err := replaceParts(parts, nil, f.old)
			if string(got) != f.want || (err != nil) != (f.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"OK": "OK", "AllIndexes": "ALL_INDEXES", "NotFound": "NOT_FOUND", "KeyID": "KEY_ID"} {
		if got := snake(name); got != want {
			t.Errorf("snake(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestPascal(t *testing.T) {
	for name, want := range map[string]string{"request.id": "RequestId", "allow.budget_amount": "AllowBudgetAmount", "chain": "Chain"} {
		if got := pascal(name); got != want {
			t.Errorf("pascal(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for text, want := range map[string]string{"": "", "from midnight": "From midnight.", "Done.": "Done.", "policies.yaml does not": "policies.yaml does not."} {
		if got := sentence(text); got != want {
			t.Errorf("sentence(%s) = %s, want %s", text, got, want)
		}
	}
}

func TestPrototype(t *testing.T) {
	want := map[string]string{
		"get":             "int32_t sp_get(int32_t field, int32_t index, void *buf, uint32_t cap)",
		"set":             "int32_t sp_set(int32_t field, int32_t index, const void *ptr, uint32_t len)",
		"set_i64":         "int32_t sp_set_i64(int32_t field, int32_t index, int64_t value)",
		"identity_lookup": "int32_t sp_identity_lookup(const void *digest, uint32_t digest_len)",
		"now":             "int64_t sp_now(void)",
		"random":          "int32_t sp_random(void *ptr, uint32_t len)",
		"digest":          "int32_t sp_digest(const void *ptr, uint32_t len, void *out)",
		"kv_cas":          "int64_t sp_kv_cas(const void *key, uint32_t key_len, int64_t version, const void *ptr, uint32_t len, int64_t ttl_ms)",
		"kv_incr":         "int32_t sp_kv_incr(const void *key, uint32_t key_len, int64_t delta, int64_t floor, int64_t ceiling, int64_t ttl_ms, void *out)",
	}
	for _, f := range abi.Functions() {
		if w, ok := want[f.Name]; ok && prototype(f) != w {
			t.Errorf("got %s, want %s", prototype(f), w)
		}
	}
}
