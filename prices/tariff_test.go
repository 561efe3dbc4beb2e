package prices

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
)

// read returns the tariff that a price in a catalogue states.
func read(t testing.TB, price string) *Tariff {
	t.Helper()
	var r reader
	tariff, err := New(r.terms([]byte(price)), "test")
	if err != nil || len(r.problems) > 0 {
		t.Fatalf("%s: %v %v", price, err, r.problems)
	}
	return tariff
}

// dollars returns whole dollars.
func dollars(n int64) abi.NanoUSD { return abi.NanoUSD(n * 1_000_000_000) }

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestRowIsCompleted(t *testing.T) {
	facts := []struct {
		name  string
		price string
		want  abi.PriceRow // in dollars
	}{
		{"input and output stand for all tokens", `{"input":1,"output":2}`, abi.PriceRow{1, 2, 1, 1, 1, 2, 1, 2, 0, 0, 1, 2}},
		{"an hour costs what five minutes do", `{"input":1,"output":2,"cache_write":3}`, abi.PriceRow{1, 2, 1, 3, 3, 2, 1, 2, 0, 0, 1, 2}},
		{"all stated", `{"input":1,"output":2,"cache_read":3,"cache_write":4,"cache_write_1h":5,"reasoning":6,"audio_input":7,"audio_output":8,"image":9,"request":10,"cache_read_audio":11,"image_output":12}`,
			abi.PriceRow{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{"a stated 0 is a price", `{"input":1,"output":2,"cache_read":0}`, abi.PriceRow{1, 2, 0, 1, 1, 2, 1, 2, 0, 0, 0, 2}},
		{"cached audio costs what cached text does", `{"input":1,"output":2,"cache_read":3,"audio_input":7,"audio_output":8}`,
			abi.PriceRow{1, 2, 3, 1, 1, 2, 7, 8, 0, 0, 3, 2}},
		{"embeddings have no output", `{"input":1}`, abi.PriceRow{1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			for d := range f.want {
				f.want[d] *= dollars(1)
			}
			tariff := read(t, f.price)
			if got := *tariff.Row(time.Now(), 1); got != f.want {
				t.Errorf("\n got %v\nwant %v", got, f.want)
			}
			if got := *tariff.Dearest(time.Now(), 1); got != f.want {
				t.Errorf("dearest\n got %v\nwant %v", got, f.want)
			}
		})
	}
}

func TestTiers(t *testing.T) {
	tariff := read(t, `{"input":1,"output":2,"cache_read":3,"tiers":[{"above":100,"input":10,"cache_read":1},{"above":200,"output":20}]}`)
	facts := []struct {
		name                       string
		tokens                     int64
		input, output, read, audio int64
	}{
		{"none", 0, 1, 2, 3, 1},
		{"fewer than none", -1, 1, 2, 3, 1},
		{"at the boundary", 100, 1, 2, 3, 1},
		{"above it, for all tokens", 101, 10, 2, 1, 10},
		{"at the second boundary", 200, 10, 2, 1, 10},
		{"what a tier leaves out stays", 201, 10, 20, 1, 10},
		{"as many as there can be", math.MaxInt64, 10, 20, 1, 10},
	}
	for _, f := range facts {
		row := tariff.Row(time.Time{}, f.tokens)
		got := [...]abi.NanoUSD{row[abi.Input], row[abi.Output], row[abi.CacheRead], row[abi.AudioInput]}
		if want := [...]abi.NanoUSD{dollars(f.input), dollars(f.output), dollars(f.read), dollars(f.audio)}; got != want {
			t.Errorf("%s: %v, want %v", f.name, got, want)
		}
		if dearest := tariff.Dearest(time.Time{}, f.tokens); dearest[abi.CacheRead] != dollars(3) {
			t.Errorf("%s: the dearest read is %v, want that of the first tier", f.name, dearest[abi.CacheRead])
		}
	}
}

func TestWindows(t *testing.T) {
	night := read(t, `{"input":1,"output":1,"windows":[{"from":"22:00","to":"06:00","timezone":"Europe/Berlin","input":2}]}`)
	weekend := read(t, `{"input":1,"output":1,"windows":[{"from":"22:00","to":"06:00","days":["sat","sun"],"input":2}]}`)
	twice := read(t, `{"input":1,"output":1,"windows":[{"from":"00:00","to":"24:00","input":2},{"from":"12:00","to":"13:00","input":3}]}`)
	spring := read(t, `{"input":1,"output":1,"windows":[{"from":"02:00","to":"03:00","timezone":"Europe/Berlin","input":2}]}`)
	long := read(t, `{"input":1,"output":1,"tiers":[{"above":10,"input":4,"output":4}],"windows":[{"from":"00:00","to":"12:00","input":2,"tiers":[{"above":20,"input":8}]}]}`)
	facts := []struct {
		name   string
		tariff *Tariff
		at     string
		tokens int64
		want   int64
	}{
		{"before it", night, "2026-01-15T20:59:59Z", 0, 1},
		{"begins by the zone's clock", night, "2026-01-15T21:00:00Z", 0, 2},
		{"past midnight", night, "2026-01-16T04:59:59Z", 0, 2},
		{"its end is not in it", night, "2026-01-16T05:00:00Z", 0, 1},
		{"an hour earlier in summer", night, "2026-07-15T20:00:00Z", 0, 2},
		{"and over earlier", night, "2026-07-16T04:00:00Z", 0, 1},

		{"the night to Saturday began on Friday", weekend, "2026-11-21T05:59:59Z", 0, 1},
		{"Saturday", weekend, "2026-11-21T22:00:00Z", 0, 2},
		{"the night to Monday began on Sunday", weekend, "2026-11-23T05:59:59Z", 0, 2},
		{"Monday", weekend, "2026-11-23T22:00:00Z", 0, 1},

		{"a whole day's last second", twice, "2026-01-15T23:59:59.999Z", 0, 2},
		{"its first", twice, "2026-01-15T00:00:00Z", 0, 2},
		{"the last of two counts", twice, "2026-01-15T12:30:00Z", 0, 3},

		{"before the hour that summer time skips", spring, "2026-03-29T00:59:59Z", 0, 1},
		{"after it", spring, "2026-03-29T01:00:00Z", 0, 1},
		{"an hour that comes twice", spring, "2026-10-25T00:30:00Z", 0, 2},
		{"and again", spring, "2026-10-25T01:30:00Z", 0, 2},
		{"and is over", spring, "2026-10-25T02:00:00Z", 0, 1},

		{"outside, short", long, "2026-01-15T13:00:00Z", 10, 1},
		{"outside, long", long, "2026-01-15T13:00:00Z", 11, 4},
		{"a window wins over the entry's tiers", long, "2026-01-15T11:00:00Z", 11, 2},
		{"and its own tiers over it", long, "2026-01-15T11:00:00Z", 21, 8},
	}
	for _, f := range facts {
		if got := f.tariff.Row(instant(t, f.at), f.tokens)[abi.Input]; got != dollars(f.want) {
			t.Errorf("%s: %v, want %d dollars", f.name, got, f.want)
		}
	}
	if got := long.Row(instant(t, "2026-01-15T11:00:00Z"), 11)[abi.Output]; got != dollars(4) {
		t.Errorf("what a window does not state is as outside of it, in the tier too: %v", got)
	}
}

func TestEffectiveDates(t *testing.T) {
	tariff := read(t, `[{"from":"2020-01-01","input":1,"output":9},{"from":"2026-03-01","input":5,"output":1},{"from":"2026-03-02","input":2,"output":1,"tiers":[{"above":100,"input":7}]}]`)
	facts := []struct {
		name    string
		at      string
		tokens  int64
		input   int64 // the price then
		dearest int64 // the dearest one
	}{
		{"the first holds before its date too", "1999-01-01T00:00:00Z", 0, 1, 1},
		{"more than a day ahead", "2026-02-27T23:59:59Z", 0, 1, 1},
		{"a day ahead", "2026-02-28T00:00:00Z", 500, 1, 5},
		{"both to come", "2026-02-28T23:59:59Z", 500, 1, 5},
		{"begun, and the last within a day", "2026-03-01T00:00:00Z", 101, 5, 7},
		{"a short prompt reaches no tier", "2026-03-01T00:00:00Z", 100, 5, 5},
		{"another zone's clock makes no difference", "2026-03-01T01:00:00+01:00", 100, 5, 5},
		{"only the last", "2026-03-02T00:00:00Z", 100, 2, 2},
		{"for ever", "2999-01-01T00:00:00Z", 101, 7, 7},
	}
	for _, f := range facts {
		at := instant(t, f.at)
		if got := tariff.Row(at, f.tokens)[abi.Input]; got != dollars(f.input) {
			t.Errorf("%s: %v, want %d dollars", f.name, got, f.input)
		}
		if got := tariff.Dearest(at, f.tokens)[abi.Input]; got != dollars(f.dearest) {
			t.Errorf("%s: the dearest is %v, want %d dollars", f.name, got, f.dearest)
		}
	}
}

func TestFlat(t *testing.T) {
	row := abi.PriceRow{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	tariff := Flat(row, "policies.yaml")
	if *tariff.Row(time.Time{}, 5) != row || *tariff.Dearest(time.Now(), math.MaxInt64) != row || tariff.Source() != "policies.yaml" {
		t.Errorf("%+v", tariff)
	}
}

func TestNewSaysAllThatIsWrong(t *testing.T) {
	var good Prices
	good.Set(abi.Input, 1)
	var dear, negative Prices
	dear.Set(abi.Output, maxPrice+1)
	negative.Set(abi.Image, -1)
	date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	facts := []struct {
		name  string
		terms Terms
		want  string
	}{
		{"nothing", Terms{}, "has no price"},
		{"no price in it", Terms{Entries: []Entry{{}}}, "states no price"},
		{"all at once", Terms{Entries: []Entry{
			{Rates: Rates{Prices: dear, Tiers: []Tier{{Above: 0, Prices: negative}, {Above: 5, Prices: good}, {Above: 5, Prices: Prices{}}}}},
			{Rates: Rates{Prices: good}, Windows: []Window{{From: time.Hour, To: time.Hour, Days: []time.Weekday{7}, Rates: Rates{Prices: good}}, {To: 25 * time.Hour}}},
			{From: date, Rates: Rates{Prices: good}}, {From: date, Rates: Rates{Prices: good}},
		}}, `entry 1: output: must be at most 1000000 dollars: prices are per million units
entry 1: tier 1: must begin above 0 tokens
entry 1: tier 1: image: must not be negative
entry 1: tier 3: must begin above 5 tokens
entry 1: tier 3: states no price
entry 2: must begin after the entry above it
entry 2: window 1: ends when it begins: all of a day is from 00:00 to 24:00
entry 2: window 1: there is no weekday 7
entry 2: window 2: the hours must be from 00:00 to 24:00
entry 2: window 2: states no price
entry 4: must begin after the entry above it`},
		{"too much", Terms{Entries: slices.Repeat([]Entry{{Rates: Rates{Prices: good}}}, maxEntries+1)}, "has 65 entries, at most 64 are possible"},
		{"too many tiers", Terms{Entries: []Entry{{Rates: Rates{Prices: good, Tiers: make([]Tier, maxTiers+1)}}}}, "has 17 tiers, at most 16 are possible"},
		{"too many windows", Terms{Entries: []Entry{{Rates: Rates{Prices: good}, Windows: make([]Window, maxWindows+1)}}}, "has 17 windows, at most 16 are possible"},
	}
	for _, f := range facts {
		tariff, err := New(f.terms, "test")
		if tariff != nil || err == nil || !strings.HasPrefix(err.Error(), f.want) {
			t.Errorf("%s: %v\n got %v\nwant %s", f.name, tariff, err, f.want)
		}
	}
}

// TestDearestIsNeverExceeded draws tariffs with all conditions. A reservation at the dearest row covers what the
// request costs whenever it is sent within a day and however short its prompt turns out to be.
func TestDearestIsNeverExceeded(t *testing.T) {
	start := time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC) // around the beginning of summer time in Berlin
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skipf("no time zones on this machine: %v", err)
	}
	some := rapid.Custom(func(t *rapid.T) (p Prices) {
		p.Set(abi.Input, abi.NanoUSD(rapid.Int64Range(0, 9).Draw(t, "input")))
		for _, d := range []abi.Dimension{abi.Output, abi.CacheRead, abi.CacheWrite5m, abi.Reasoning} {
			if rapid.Bool().Draw(t, "stated") {
				p.Set(d, abi.NanoUSD(rapid.Int64Range(0, 9).Draw(t, "price")))
			}
		}
		return p
	})
	rates := rapid.Custom(func(t *rapid.T) (r Rates) {
		r.Prices = some.Draw(t, "base")
		above := int64(0)
		for range rapid.IntRange(0, 3).Draw(t, "tiers") {
			above += rapid.Int64Range(1, 5).Draw(t, "above")
			r.Tiers = append(r.Tiers, Tier{Above: above, Prices: some.Draw(t, "tier")})
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		var terms Terms
		from := start
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			e := Entry{From: from, Rates: rates.Draw(t, "rates")}
			from = from.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
			for range rapid.IntRange(0, 2).Draw(t, "windows") {
				begin := rapid.IntRange(0, 23).Draw(t, "begin")
				end := (begin + rapid.IntRange(1, 23).Draw(t, "length")) % 24
				e.Windows = append(e.Windows, Window{
					Location: berlin, From: time.Duration(begin) * time.Hour, To: time.Duration(end) * time.Hour,
					Days: rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 6), func(d int) time.Weekday { return time.Weekday(d) }), 0, 3).Draw(t, "days"), Rates: rates.Draw(t, "window"),
				})
			}
			terms.Entries = append(terms.Entries, e)
		}
		tariff, err := New(terms, "test")
		if err != nil {
			t.Fatal(err)
		}
		covers(t, tariff, start.Add(-30*time.Hour), 200*time.Hour, 20)
	})
}

// covers draws a time and a prompt, and fails if a request costs more than was reserved for it.
func covers(t *rapid.T, tariff *Tariff, from time.Time, span time.Duration, mostTokens int64) {
	at := from.Add(time.Duration(rapid.Int64Range(0, int64(span/time.Minute)).Draw(t, "at")) * time.Minute)
	tokens := rapid.Int64Range(0, mostTokens).Draw(t, "tokens")
	later := at.Add(time.Duration(rapid.Int64Range(0, 24*60).Draw(t, "later")) * time.Minute)
	fewer := rapid.Int64Range(0, tokens).Draw(t, "fewer")
	reserved, row := tariff.Dearest(at, tokens), tariff.Row(later, fewer)
	for d := range reserved {
		if row[d] > reserved[d] {
			t.Fatalf("%s: %v costs %d at %s for %d tokens, reserved at %s for up to %d were %d", tariff.Source(), abi.Dimension(d), row[d], later, fewer, at, tokens, reserved[d])
		}
	}
}

func TestRowAllocatesNothing(t *testing.T) {
	tariff := read(t, everything)
	at := instant(t, "2026-01-15T21:00:00Z")
	if n := testing.AllocsPerRun(100, func() {
		if tariff.Row(at, 300)[abi.Input] > tariff.Dearest(at, 300)[abi.Input] {
			t.Fatal("dearer than the dearest")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// everything is a price with every condition that there is.
const everything = `[{"input":1,"output":2,"tiers":[{"above":100,"input":10}],"windows":[{"from":"22:00","to":"06:00","timezone":"Europe/Berlin","days":["thu"],"input":2,"tiers":[{"above":200,"input":3}]}]},{"from":"2026-02-01","input":1,"output":2}]`

func BenchmarkRow(b *testing.B) {
	at := time.Date(2026, 1, 15, 21, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, price string }{{"plain", `{"input":1,"output":2}`}, {"everything", everything}} {
		tariff := read(b, c.price)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tariff.Row(at, 300)
			}
		})
	}
	b.Run("dearest", func(b *testing.B) {
		tariff := read(b, everything)
		b.ReportAllocs()
		for b.Loop() {
			tariff.Dearest(at, 300)
		}
	})
}
