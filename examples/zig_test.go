package examples_test

import (
	"testing"

	"github.com/sallyport-dev/sallyport/plugin/project"
)

func TestZigWeekend(t *testing.T) {
	if _, err := project.ReadManifest("zig-weekend"); err != nil {
		t.Error(err)
	}
	p := documented(t, "zig-weekend")
	p.Wasm = build(t, "zig-weekend")
	askCases(t, p, "zig-weekend/cases.yaml")
}
