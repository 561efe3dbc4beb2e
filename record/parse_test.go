package record

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParsePassesOverWhatALaterVersionAdds(t *testing.T) {
	want := example()
	data := string(AppendJSON(nil, &want))
	data = strings.Replace(data, `"team":`, `"organisation":{"name":"x"},"team":`, 1)
	data = strings.Replace(data, `"class":`, `"organ":3,"class":`, 1)
	got, err := Parse([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"what is not JSON", `{`, `(`, "invalid character"},
		{"a wrong type", `"status":0`, `"status":"0"`, "status"},
		{"no id", `"id":"req_1",`, ``, "no id"},
		{"an unknown outcome", `"served"`, `"eaten"`, `unknown outcome "eaten"`},
		{"an unknown source", `"none"`, `"guessed"`, `unknown usage source "guessed"`},
		{"an unknown dimension", `"stream":false`, `"usage":{"video":1}`, `unknown dimension "video"`},
		{"an unknown priced dimension", `"stream":false`, `"cost_nano_usd":1,"breakdown_nano_usd":{"video":1}`, `unknown dimension "video"`},
		{"an unknown hook", `"stream":false`, `"policies":{"think":"x"}`, `unknown hook "think"`},
		{"an unknown class", `"stream":false`, `"attempts":[{"class":"odd"}]`, `attempt 1: unknown error class "odd"`},
		{"a duration out of range", `"duration_us":0`, `"duration_us":9223372036854775807`, "out of range"},
		{"a duration with a fraction", `"duration_us":0`, `"duration_us":0.5`, "0.5"},
		{"money with a fraction", `"stream":false`, `"cost_nano_usd":0.5`, "0.5"},
		{"a year before the first", `1970-01-01T00:00:00Z`, `0000-01-01T00:00:00+23:00`, "out of range"},
	}
	const minimal = `{"id":"req_1","time":"1970-01-01T00:00:00Z","stream":false,"status":0,"outcome":"served",` +
		`"usage_source":"none","first_byte_us":0,"duration_us":0,"upstream_us":0}`
	if _, err := Parse([]byte(minimal)); err != nil {
		t.Fatalf("the record that the cases change: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(strings.Replace(minimal, tt.old, tt.new, 1)))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v with %q", err, ErrInvalid, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	full := example()
	f.Add(AppendJSON(nil, &full))
	f.Add(AppendJSON(nil, &Record{ID: "req_1"}))
	f.Add([]byte(`{"id":"req_1","outcome":"served","usage_source":"none","time":"0000-01-01T00:00:00+23:59"}`))
	f.Add([]byte(`{"id":"\ud800","outcome":"served","usage_source":"none","attempts":[]}`))
	f.Add([]byte(`{"id":"a","outcome":"served","usage_source":"none","cost_nano_usd":null,"breakdown_nano_usd":{"input":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		want, err := Parse(data)
		if err != nil {
			return
		}
		got, err := Parse(AppendJSON(nil, &want))
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
	})
}
