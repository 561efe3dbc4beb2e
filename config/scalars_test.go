package config

import (
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

func TestExpand(t *testing.T) {
	env := environment("A", "1", "B_2", "two", "EMPTY", "", "NESTED", "${A}", "_", "under")
	for _, fact := range []struct {
		text, want string
		wrong      int
	}{
		{"", "", 0},
		{"plain", "plain", 0},
		{"${A}", "1", 0},
		{"x${A}y${B_2}z${EMPTY}", "x1ytwoz", 0},
		{"${_}", "under", 0},
		{"${NESTED}", "${A}", 0},
		{"$A $ $$ {A}", "$A $ $$ {A}", 0},
		{"$${A}", "${A}", 0},
		{"$${A}${A}", "${A}1", 0},
		{"a${NONE}b${NONE2}", "ab", 2},
		{"${A", "", 1},
		{"${}", "", 1},
		{"${A:-x}", "", 1},
		{"${2}", "", 1},
	} {
		got, wrong := expand(fact.text, env)
		if len(wrong) != fact.wrong || fact.wrong == 0 && got != fact.want {
			t.Errorf("expand(%q) = %q, %q, want %q and %d wrong", fact.text, got, wrong, fact.want, fact.wrong)
		}
	}
}

// Prices are exact: what a float would make of 0.07 or of nine decimals is not.
func TestParseDollars(t *testing.T) {
	for text, want := range map[string]abi.NanoUSD{
		"0": 0, "1": 1_000_000_000, "0.07": 70_000_000, "1.10": 1_100_000_000, "0.000000001": 1, "00.5": 500_000_000,
		"0.1000000000000": 100_000_000, "1000000": 1_000_000_000_000_000, "999999.999999999": 999_999_999_999_999,
		"0.123456789": 123_456_789,
	} {
		if got, err := parseDollars(text, maxPrice); got != want || err != nil {
			t.Errorf("parseDollars(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1_000", "0x1", " 1", "1 ", "1.2.3", "NaN", "١", "0.0000000001",
		"1000000.000000001", "1000001", strings.Repeat("9", 40),
	} {
		if got, err := parseDollars(text, maxPrice); err == nil {
			t.Errorf("parseDollars(%q) = %d", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "17": 17, "1KiB": 1 << 10, "32MiB": 32 << 20, "32 MiB": 32 << 20, "4GiB": 4 << 30, "9223372036854775807": 1<<63 - 1,
	} {
		if got, ok := parseSize(text); got != want || !ok {
			t.Errorf("parseSize(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1MB", "1mib", "9223372036854775808", "9007199254740992KiB", "8589934592GiB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"base_url", "name", "api_key", "api_keys", "n"}
	for unknown, want := range map[string]string{
		"baseurl": "base_url", "naame": "name", "api-key": "api_key", "apikeys": "api_keys", "Name": "name",
		"x": "", "": "", "temperature": "", "url": "",
	} {
		if want != "" {
			want = `, did you mean "` + want + `"?`
		}
		if got := DidYouMean(unknown, names); got != want {
			t.Errorf("DidYouMean(%q) = %q, want %q", unknown, got, want)
		}
	}
}
