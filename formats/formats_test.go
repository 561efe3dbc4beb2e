package formats

import "testing"

func TestNames(t *testing.T) {
	for f := range NumFormats {
		if got, ok := Parse(f.String()); !ok || got != f {
			t.Errorf("%v is parsed as %v", f, got)
		}
	}
	if _, ok := Parse("OpenAI"); ok {
		t.Error("format names are not lower case")
	}
	seen := map[string]bool{NumOperations.String(): true, NumFormats.String(): true}
	for o := range NumOperations {
		if seen[o.String()] {
			t.Errorf("two operations are called %q", o)
		}
		seen[o.String()] = true
	}
}
