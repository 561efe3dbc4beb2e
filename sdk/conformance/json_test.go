package conformance_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// The readers of configurations that SDKs bring along take what is JSON and refuse what is not: the oracle is
// encoding/json. Nothing but a refusal comes of what they cannot read.
func TestConfigurationReaders(t *testing.T) {
	for _, sdk := range []string{"rust", "assemblyscript"} {
		t.Run(sdk, func(t *testing.T) {
			wasm := build(t, sdk)
			r := newRuntime(t, slog.DiscardHandler, hostfuncs.Functions(hostfuncs.Options{}))
			load := func(config string) (*runtime.Set, error) {
				return r.Load(t.Context(), []runtime.Policy{{Name: "guest", Wasm: wasm, Config: []byte(config)}})
			}
			keeps, err := load("") // the compiled module, until the test is over
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(keeps.Close)
			accepts := func(config string) bool {
				set, err := load(config)
				if err != nil {
					return false
				}
				set.Close()
				return true
			}
			for _, config := range []string{
				"null", " true ", "-0.5e+10", "0", `""`, "[]", "{ }", `[1 , "a", {"b": [false]}]`, `{"refuse": false}`, `"\"\\\/\b\f\n\r\té\ud83d\ude00"`,
				`"é😀"`, " ", "x", "tru", "truex", "1 2", "01", "-", "1.", ".5", "1e", "+1", "[1", "[1,]", "[,1]", "[1;]", "{a:1}", `{"a"}`, `{"a":}`,
				`{"a":1,}`, `{"a":1 "b":2}`, `"a`, "\"\n\"", `"\x"`, `"\u12"`, `"\u12é"`, strings.Repeat("[", 100_000),
			} {
				if want := json.Valid([]byte(config)); accepts(config) != want {
					t.Errorf("%.40s is JSON: %t; the reader disagrees", config, want)
				}
			}
			if accepts(strings.Repeat("[", 65) + strings.Repeat("]", 65)) {
				t.Error("there is no end to nesting")
			}
			rapid.Check(t, func(rt *rapid.T) {
				config := rapid.StringOfN(rapid.SampledFrom([]rune(`{}[]:,"\u0d18e-.tréfalsn `)), 1, 12, -1).Draw(rt, "config")
				if strings.Contains(config, `\ud`) || strings.Contains(config, `\uD`) {
					return // halves of pairs: encoding/json replaces them, the readers may refuse them
				}
				if want := json.Valid([]byte(config)); accepts(config) != want {
					rt.Fatalf("%q is JSON: %t; the reader disagrees", config, want)
				}
			})
		})
	}
}
