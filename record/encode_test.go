package record

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
)

// example has a value in every field.
func example() Record {
	r := Record{
		ID: "req_01kakv3c00000g40r40m30e209", Time: time.Date(2026, 11, 21, 8, 15, 30, 123456789, time.UTC),
		KeyID: "key_0011223344556677", Key: "ci", Team: "research", ClientAddress: "192.0.2.7",
		Format: "openai", Operation: "chat", Model: "coding", Chain: "coding", Stream: true,
		Attempts: []Attempt{
			{Step: "llama", Provider: "local", Model: "llama3.2", Reason: "weighted", Class: abi.NotSent, Error: "connection refused", Start: 400 * time.Microsecond, Duration: 3100 * time.Microsecond},
			{Step: "deepseek", Provider: "deepseek", Model: "deepseek-v4-flash", Credential: 1, Reason: "failover", Status: 200, Start: 3600 * time.Microsecond, Duration: 1830 * time.Millisecond,
				Reserved: 650_000, Cost: 702_920, Basis: "interrupted"},
		},
		Provider: "deepseek", ProviderModel: "deepseek-v4-flash", Status: 200, Outcome: Interrupted,
		Error: "upstream_cut", Cause: "the stream ended early", UsageSource: UsageUntilCut, Priced: true, Cost: 702_920,
		Booked: 702_920, Overrun: true, Unbooked: true, Malformed: 2,
		Policies:  [abi.NumHooks]string{"office-hours", "default", "default"},
		FirstByte: 412 * time.Millisecond, Duration: 1840 * time.Millisecond, Upstream: 1831 * time.Millisecond,
	}
	for d := range abi.NumDimensions {
		r.Usage[d] = int64(d) + 1
		r.Breakdown[d] = abi.NanoUSD(d) + 100
	}
	return r
}

func TestExampleHasEveryField(t *testing.T) {
	v := reflect.ValueOf(example())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the example has no %s", v.Type().Field(i).Name)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	full := example()
	tests := []struct {
		name   string
		record Record
		want   string
	}{
		{"every field", full, `{"id":"req_01kakv3c00000g40r40m30e209","time":"2026-11-21T08:15:30.123456789Z",` +
			`"key_id":"key_0011223344556677","key":"ci","team":"research","client_address":"192.0.2.7",` +
			`"format":"openai","operation":"chat","model":"coding","chain":"coding","stream":true,"attempts":[` +
			`{"step":"llama","provider":"local","model":"llama3.2","reason":"weighted","class":"not_sent","status":0,"error":"connection refused","start_us":400,"duration_us":3100},` +
			`{"step":"deepseek","provider":"deepseek","model":"deepseek-v4-flash","credential":1,"reason":"failover","class":"none","status":200,"reserved_nano_usd":650000,"cost_nano_usd":702920,"basis":"interrupted","start_us":3600,"duration_us":1830000}],` +
			`"provider":"deepseek","provider_model":"deepseek-v4-flash","status":200,"outcome":"interrupted",` +
			`"error":"upstream_cut","cause":"the stream ended early",` +
			`"usage":{"input":1,"output":2,"cache_read":3,"cache_write_5m":4,"cache_write_1h":5,"reasoning":6,"audio_input":7,"audio_output":8,"image":9,"requests":10,"cache_read_audio":11,"image_output":12},` +
			`"usage_source":"interrupted","cost_nano_usd":702920,` +
			`"breakdown_nano_usd":{"input":100,"output":101,"cache_read":102,"cache_write_5m":103,"cache_write_1h":104,"reasoning":105,"audio_input":106,"audio_output":107,"image":108,"requests":109,"cache_read_audio":110,"image_output":111},` +
			`"booked_nano_usd":702920,"overrun":true,"unbooked":true,"malformed_events":2,` +
			`"policies":{"authenticate":"office-hours","choose_step":"default","price_response":"default"},` +
			`"first_byte_us":412000,"duration_us":1840000,"upstream_us":1831000}`},
		{"no more than must be", Record{ID: "req_1", Time: time.Unix(0, 0)}, `{"id":"req_1","time":"1970-01-01T00:00:00Z",` +
			`"stream":false,"status":0,"outcome":"served","usage_source":"none","first_byte_us":0,"duration_us":0,"upstream_us":0}`},
		{"a cost of nothing is known", Record{ID: "req_1", Time: time.Unix(0, 0), Priced: true}, `{"id":"req_1","time":"1970-01-01T00:00:00Z",` +
			`"stream":false,"status":0,"outcome":"served","usage_source":"none","cost_nano_usd":0,"first_byte_us":0,"duration_us":0,"upstream_us":0}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(AppendJSON(nil, &tt.record)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAppendQuotedIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		var got string
		if err := json.Unmarshal(appendQuoted(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		// A conversion to runes makes every byte that is not UTF-8 a U+FFFD of its own.
		if want := string([]rune(s)); got != want {
			t.Fatalf("%q came back as %q, want %q", s, got, want)
		}
	})
}

// drawRecord draws a record that loses nothing on the wire: durations in whole microseconds, money only if priced.
func drawRecord(t *rapid.T) Record {
	text := rapid.StringN(0, 20, -1)
	duration := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(-1, 1<<40).Draw(t, "us")) * time.Microsecond
	})
	r := Record{
		ID:   "req_" + text.Draw(t, "id"),
		Time: time.Unix(rapid.Int64Range(0, 1<<37).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
		Key:  text.Draw(t, "key"), KeyID: text.Draw(t, "key id"), Team: text.Draw(t, "team"),
		ClientAddress: text.Draw(t, "address"), Format: text.Draw(t, "format"), Operation: text.Draw(t, "operation"),
		Model: text.Draw(t, "model"), Chain: text.Draw(t, "chain"), Stream: rapid.Bool().Draw(t, "stream"),
		Attempts: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Attempt {
			return Attempt{
				Step: text.Draw(t, "step"), Provider: text.Draw(t, "provider"), Error: text.Draw(t, "error"),
				Class: rapid.Custom(func(t *rapid.T) abi.ErrorClass {
					return abi.ErrorClass(rapid.IntRange(0, int(abi.NumErrorClasses)-1).Draw(t, "n"))
				}).Draw(t, "class"),
				Status: rapid.Int().Draw(t, "status"), Start: duration.Draw(t, "start"), Duration: duration.Draw(t, "took"),
			}
		}), 0, 3).Draw(t, "attempts"),
		Provider: text.Draw(t, "provider"), ProviderModel: text.Draw(t, "provider model"),
		Status: rapid.Int().Draw(t, "status"), Outcome: Outcome(rapid.IntRange(0, int(NumOutcomes)-1).Draw(t, "outcome")),
		Error: text.Draw(t, "error"), Cause: text.Draw(t, "cause"),
		UsageSource: UsageSource(rapid.IntRange(0, int(NumUsageSources)-1).Draw(t, "source")),
		Priced:      rapid.Bool().Draw(t, "priced"),
		FirstByte:   duration.Draw(t, "first byte"), Duration: duration.Draw(t, "duration"), Upstream: duration.Draw(t, "upstream"),
	}
	for d := range abi.NumDimensions {
		r.Usage[d] = rapid.Int64().Draw(t, "usage")
	}
	if r.Priced {
		r.Cost = abi.NanoUSD(rapid.Int64().Draw(t, "cost"))
		r.Breakdown[rapid.IntRange(0, int(abi.NumDimensions)-1).Draw(t, "dimension")] = r.Cost
	}
	for h := range abi.NumHooks {
		r.Policies[h] = text.Draw(t, "policy")
	}
	if len(r.Attempts) == 0 {
		r.Attempts = nil
	}
	return r
}

func TestRecordComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		data := AppendJSON(nil, &want)
		got, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
	})
}

func TestAppendJSONAllocatesNothing(t *testing.T) {
	r := example()
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], &r) }); n != 0 {
		t.Errorf("AppendJSON allocates %v times, want 0", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	r := example()
	buf := AppendJSON(nil, &r)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], &r)
	}
}
