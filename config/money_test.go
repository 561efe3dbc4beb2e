package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones of the tests are there wherever they run

	"github.com/sallyport-dev/sallyport/abi"
)

const moneyWhole = `
version: 1
providers: [{name: p, format: openai, base_url: 'https://example.org/v1'}]
models:
  - {alias: small, provider: p, model: small, max_output: 4096, price: {input: 1, output: 2}, rpm: 10, max_output_tokens: 100}
  - {alias: large, provider: p, model: large, max_output: 8192, price: {input: 3, output: 4}}
chains: [{name: coding, steps: [{model: large}, {model: small}], tpm: 5000, concurrent: 3}]
teams:
  - name: research
    parent: company
    models: [coding, "s*"]
    labels: {env: prod, cost-centre: 4711, empty: ""}
    budget: [{usd: 50, per: month, timezone: Europe/Berlin}, {usd: 0.000000001, per: day}]
    rpm: 1
    rph: 2
    rpd: 3
    tpm: 4
    tpd: 5
    input_tpm: 6
    input_tpd: 7
    output_tpm: 8
    output_tpd: 9
    concurrent: 10
    max_input_tokens: 11
    max_output_tokens: 1000000000000000
  - {name: company, parent: "", budget: {usd: 1000000000, per: total, timezone: Asia/Tokyo}, disabled: true}
  - {name: other, disabled: false}
keys:
  - name: ci
    key: 0123456789abcdef
    team: research
    models: [coding]
    default_model: coding
    labels: {env: test}
    budget: {usd: 0, per: week, timezone: UTC}
    rpm: 60
ledger:
  durability: power
  estimate: bound
  assumed_output_tokens: 1000
  inject_max_tokens: true
  unpriced: allow
  on_failure: unbudgeted
  book: {crash: nothing, ambiguous: reservation, client_gone: input}
  retention: 1000d
alerts: {at: [100, 50, 80], webhook: "https://example.org/hook?x=${X}", secret: "${SECRET}"}
request_log: {retention: 36h, max_size: 1GiB}
disk: {log_below: 64MiB, ledger_below: 32MiB, ballast: 0}
`

func TestLoadMoney(t *testing.T) {
	const secret = "0123456789abcdef"
	s := mustLoad(t, moneyWhole, "X", "1", "SECRET", secret)
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	for what, pair := range map[string][2]any{
		"ledger": {s.Ledger, Ledger{
			Durability: Power, Estimate: Bound, AssumedOutput: 1000, InjectMaximum: true, Unpriced: AllowUnpriced, OnFailure: Unbudgeted,
			Crash: BookNothing, Ambiguous: BookReservation, ClientGone: BookInput, Retention: 1000 * 24 * time.Hour,
		}},
		"alerts":      {s.Alerts, Alerts{At: []int{50, 80, 100}, Webhook: "https://example.org/hook?x=1", Secret: secret}},
		"request log": {s.RequestLog, RequestLog{36 * time.Hour, 1 << 30}},
		"disk":        {s.Disk, Disk{64 << 20, 32 << 20, 0}},
		"teams": {s.Teams, []abi.Team{
			{
				Name: "research", Parent: "company", Models: []string{"coding", "s*"},
				Labels:  []abi.Label{{Name: "env", Value: "prod"}, {Name: "cost-centre", Value: "4711"}, {Name: "empty"}},
				Limits:  abi.Limits{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1_000_000_000_000_000},
				Budgets: []abi.Budget{{Amount: 50_000_000_000, Period: abi.PerMonth, Location: berlin}, {Amount: 1, Period: abi.PerDay, Location: time.UTC}},
			},
			{Name: "company", State: abi.KeyDisabled, Budgets: []abi.Budget{{Amount: 1_000_000_000_000_000_000, Period: abi.InTotal, Location: time.UTC}}},
			{Name: "other"},
		}},
		"keys": {s.Keys, []Key{{
			Name: "ci", Secret: secret, Team: "research", Models: []string{"coding"}, DefaultModel: "coding",
			Labels: []abi.Label{{Name: "env", Value: "test"}}, Limits: abi.Limits{abi.RequestsPerMinute: 60},
			Budgets: []abi.Budget{{Period: abi.PerWeek, Location: time.UTC}},
		}}},
		"limits of an alias":       {s.Chains["small"].Limits, abi.Limits{abi.RequestsPerMinute: 10, abi.MaxOutputTokens: 100}},
		"limits of a chain":        {s.Chains["coding"].Limits, abi.Limits{abi.TokensPerMinute: 5000, abi.Concurrent: 3}},
		"no limits":                {s.Chains["large"].Limits, abi.Limits{}},
		"largest output":           {s.Chains["coding"].MaxOutput, int64(8192)},
		"largest output of a step": {s.Chains["coding"].Steps[1].MaxOutput, int64(4096)},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s\ngot  %+v\nwant %+v", what, pair[0], pair[1])
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Process.String(): "process", Power.String(): "power", Learned.String(): "learned", Bound.String(): "bound",
		AllowUnpriced.String(): "allow", Unbudgeted.String(): "unbudgeted", BookReservation.String(): "reservation",
		BookRelayed.String(): "relayed", Booking(9).String(): "unknown",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A key's requests without a model must have somewhere to go.
func TestDefaultModel(t *testing.T) {
	const head = "version: 1\nproviders: [{name: p, format: openai, base_url: 'https://x'}]\n" +
		"models: [{alias: a, provider: p, model: a}, {alias: b-1, provider: p, model: b}]\n" +
		"teams: [{name: all}, {name: only-b, models: ['b-*']}, {name: below, parent: only-b, models: [a, b-1]}]\n" +
		"keys: [{name: k, key: 0123456789abcdef, "
	const at = "p.yaml:5: keys[0].default_model: "
	for key, want := range map[string]string{
		"default_model: a":                                "",
		"default_model: a, models: [a]":                   "",
		"default_model: b-1, models: [a, 'b*']":           "",
		"default_model: b-1, team: below":                 "",
		"default_model: a, team: all":                     "",
		"default_model: c":                                at + `there is no alias or chain "c"`,
		"default_model: 'b*'":                             at + `there is no alias or chain "b*"`,
		"default_model: a, models: ['b*']":                at + `the key may not use "a": add it to models`,
		"default_model: a, team: only-b":                  at + `the team "only-b" may not use "a"`,
		"default_model: a, team: below":                   at + `the team "only-b" may not use "a"`,
		"default_model: a, models: [b-2], team: unlikely": "p.yaml:5: keys[0].team: there is no team \"unlikely\"\np.yaml:5: keys[0].models[0]: there is no alias or chain \"b-2\", did you mean \"b-1\"?",
	} {
		got := strings.Split(problemsOf(t, head+key+"}]"), "\n")
		slices.Sort(got)
		wanted := strings.Split(want, "\n")
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%s\ngot  %q\nwant %q", key, got, wanted)
		}
	}
}

// Parents may stand anywhere, and every problem with them is told once.
func TestParents(t *testing.T) {
	line := func(n int) string { // of teams, the lowest first
		var b strings.Builder
		for i := range n {
			b.WriteString("  - {name: " + string(rune('a'+i)))
			if i+1 < n {
				b.WriteString(", parent: " + string(rune('b'+i)))
			}
			b.WriteString("}\n")
		}
		return b.String()
	}
	for name, fact := range map[string]struct{ teams, want string }{
		"eight levels":           {line(8), ""},
		"nine levels":            {line(9), `p.yaml:3: teams[0].parent: is too long a line, of more than 8 teams: a belongs to b belongs to c belongs to d belongs to e belongs to f belongs to g belongs to h belongs to i`},
		"ten levels, told once":  {line(10), `p.yaml:4: teams[1].parent: is too long a line, of more than 8 teams: b belongs to c belongs to d belongs to e belongs to f belongs to g belongs to h belongs to i belongs to j`},
		"two below one":          {"  - {name: a, parent: c}\n  - {name: b, parent: c}\n  - {name: c}\n", ""},
		"itself":                 {"  - {name: a, parent: a}\n", `p.yaml:3: teams[0].parent: makes a circle: a belongs to a`},
		"a circle":               {"  - {name: c, parent: a}\n  - {name: a, parent: b}\n  - {name: b, parent: a}\n", `p.yaml:4: teams[1].parent: makes a circle: a belongs to b belongs to a`},
		"nobody":                 {"  - {name: research, parent: compny}\n  - {name: company}\n", `p.yaml:3: teams[0].parent: there is no team "compny", did you mean "company"?`},
		"a name twice":           {"  - {name: a}\n  - {name: a, parent: b}\n", `p.yaml:4: teams[1].name: "a" is already the name of teams[0]`},
		"a parent without value": {"  - {name: a, parent: }\n", `p.yaml:3: teams[0].parent: has no value: give it one, or take the field out`},
	} {
		if got := problemsOf(t, "version: 1\nteams:\n"+fact.teams); got != fact.want {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, fact.want)
		}
	}
}

// Each line is one section with one thing wrong with it, and what is said of it.
func TestProblemOfMoney(t *testing.T) {
	key := func(fields string) string { return "keys: [{name: k, key: 0123456789abcdef, " + fields + "}]" }
	labels := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString("l" + string(rune('a'+i)) + ": x, ")
		}
		return b.String()
	}
	budgets := "{usd: 1, per: day, timezone: UTC}, "
	for _, zone := range []string{"Asia/Tokyo", "Asia/Seoul", "Asia/Dubai", "Asia/Dhaka", "Asia/Hovd", "Asia/Gaza", "Asia/Baku", "Asia/Aden"} {
		budgets += "{usd: 1, per: day, timezone: " + zone + "}, "
	}
	for _, fact := range []struct{ text, want string }{
		{key("rpm: 0"), `keys[0].rpm: must not be 0: to refuse every request, take the key out`},
		{key("concurrent: -1"), `keys[0].concurrent: must be a whole number from 1 to 1000000000000000`},
		{key("max_input_tokens: 1000000000000001"), `keys[0].max_input_tokens: must be a whole number from 1 to 1000000000000000`},
		{key("tpm: 1.5"), `keys[0].tpm: must be a whole number from 1 to 1000000000000000`},
		{key("tmp: 1"), `keys[0]: unknown field "tmp", did you mean "tpm"?`},
		{key("disabled: true"), `keys[0]: unknown field "disabled"`},
		{key("budget: 5"), `keys[0].budget: must be a list, not a single value`},
		{key("budget: []"), `keys[0].budget: has no budget: take the field out to spend without one`},
		{key("budget: [5]"), `keys[0].budget[0]: must be a mapping, not a single value`},
		{key("budget: {usd: 5}"), `keys[0].budget.per: is missing`},
		{key("budget: {per: day}"), `keys[0].budget.usd: is missing`},
		{key("budget: {usd: -5, per: day}"), `keys[0].budget.usd: must be an amount in US dollars such as 0.27`},
		{key("budget: {usd: 0.0000000001, per: day}"), `keys[0].budget.usd: must not have more than 9 decimals`},
		{key("budget: {usd: 1000000000.000000001, per: day}"), `keys[0].budget.usd: must be at most 1000000000 dollars`},
		{key("budget: {usd: 99999999999999999999, per: day}"), `keys[0].budget.usd: must be at most 1000000000 dollars`},
		{key("budget: {usd: 5, per: hour}"), `keys[0].budget.per: must be one of day, week, month, total`},
		{key("budget: {usd: 5, per: day, timezone: Local}"), `keys[0].budget.timezone: must be UTC or the name of a time zone such as Europe/Berlin`},
		{key("budget: {usd: 5, per: day, timezone: ''}"), `keys[0].budget.timezone: must be UTC or the name of a time zone such as Europe/Berlin`},
		{key("budget: {usd: 5, per: day, timezone: Europe/Berln}"), `keys[0].budget.timezone: must be UTC or the name of a time zone such as Europe/Berlin`},
		{key("budget: {usd: 5, per: day, timezone: ../Berlin}"), `keys[0].budget.timezone: must be UTC or the name of a time zone such as Europe/Berlin`},
		{key("budget: [{usd: 5, per: day}, {usd: 6, per: day, timezone: UTC}]"), `keys[0].budget[1]: is the second budget of one period: day, UTC`},
		{key("budget: [{usd: 5, per: total}, {usd: 6, per: total, timezone: Asia/Tokyo}]"), `keys[0].budget[1]: is the second budget of one period: total, UTC`},
		{key("budget: [" + budgets + "]"), `keys[0].budget: has 9 budgets, at most 8 are possible`},
		{key("labels: {'a b': c}"), `keys[0].labels.a b: the name of a label must be 1 to 64 letters, digits and "._-:@+"`},
		{key("labels: {a: ' b'}"), `keys[0].labels.a: must be printable text without white space at its ends, of at most 128 bytes with its name`},
		{key("labels: {a: [b]}"), `keys[0].labels.a: must be text, not a list`},
		{key("labels: {" + labels(17) + "}"), `keys[0].labels: has 17 labels, at most 16 are possible`},

		{"ledger: {durability: disk}", `ledger.durability: must be one of process, power`},
		{"ledger: {assumed_output_tokens: 0}", `ledger.assumed_output_tokens: must be a whole number from 1 to 1000000000`},
		{"ledger: {inject_max_tokens: 1}", `ledger.inject_max_tokens: must be true or false`},
		{"ledger: {book: {crash: relayed}}", `ledger.book.crash: must be one of reservation, input, nothing`},
		{"ledger: {book: {ambiguous: relayed}}", `ledger.book.ambiguous: must be one of reservation, input, nothing`},
		{"ledger: {book: {client_gone: all}}", `ledger.book.client_gone: must be one of reservation, input, relayed, nothing`},
		{"ledger: {retention: 400}", `ledger.retention: must be a time span from 1d to 36500d with its unit, such as 30d or 12h`},
		{"ledger: {retention: 1.5d}", `ledger.retention: must be a time span from 1d to 36500d with its unit, such as 30d or 12h`},
		{"ledger: {retention: 99999999d}", `ledger.retention: must be a time span from 1d to 36500d with its unit, such as 30d or 12h`},
		{"ledger: {retention: 213505d}", `ledger.retention: must be a time span from 1d to 36500d with its unit, such as 30d or 12h`}, // overflows into the range
		{"ledger: {retention: 23h}", `ledger.retention: must be a time span from 1d to 36500d with its unit, such as 30d or 12h`},
		{"request_log: {retention: 59m}", `request_log.retention: must be a time span from 1h to 36500d with its unit, such as 30d or 12h`},
		{"request_log: {max_size: 1KiB}", `request_log.max_size: must be a size from 1MiB to 1024GiB, such as 512KiB or 32MiB`},
		{"disk: {ledger_below: 0}", `disk.ledger_below: must be a size from 1MiB to 1024GiB, such as 512KiB or 32MiB`},
		{"disk: {log_below: 64MiB}", `disk: log_below (64MiB) must not be less than ledger_below (256MiB): the request log has to stop first`},

		{"alerts: {at: 80}", `alerts.at: must be a list, not a single value`},
		{"alerts: {at: [0]}", `alerts.at[0]: must be a whole number from 1 to 100`},
		{"alerts: {at: [80, 80]}", `alerts.at[1]: stands here twice`},
		{"alerts: {webhook: ''}", `alerts.webhook: must be a URL that begins with https:// or http://`},
		{"alerts: {webhook: '/hook'}", `alerts.webhook: must be a URL that begins with https:// or http://`},
		{"alerts: {webhook: 'https://a:b@x'}", `alerts.webhook: must not hold a user or a password: secret signs what is sent`},
		{"alerts: {webhook: 'https://x/#a'}", `alerts.webhook: must not hold a fragment`},
		{"alerts: {webhook: 'https://'}", `alerts.webhook: must name a host`},
		{"alerts: {webhook: 'https://x:0'}", `alerts.webhook: must have a port from 1 to 65535, or none`},
		{"alerts: {secret: ''}", `alerts.secret: is empty`},
		{"alerts: {secret: short}", `alerts.secret: must have at least 16 characters`},
	} {
		got := problemsOf(t, "version: 1\n"+fact.text)
		if want := "p.yaml:2: " + fact.want; got != want {
			t.Errorf("%s\ngot  %s\nwant %s", fact.text, got, want)
		}
	}
}

// Who wants to be told nothing can say so.
func TestNoAlerts(t *testing.T) {
	if s := mustLoad(t, "version: 1\nalerts: {at: []}"); len(s.Alerts.At) != 0 {
		t.Errorf("got %v", s.Alerts.At)
	}
}

// checkMoney checks what others rely on without looking.
func checkMoney(t *testing.T, s *Snapshot) {
	parents := map[string]string{}
	for _, team := range s.Teams {
		parents[team.Name] = team.Parent
		checkBounds(t, &team.Limits, team.Budgets)
	}
	for _, team := range s.Teams {
		up := team.Name
		for level := 0; up != ""; level++ {
			parent, found := parents[up]
			if !found || level == maxLevels {
				t.Fatalf("team %q of level %d leads to %q", team.Name, level, up)
			}
			up = parent
		}
	}
	for _, k := range s.Keys {
		checkBounds(t, &k.Limits, k.Budgets)
		if k.DefaultModel != "" && (s.Chains[k.DefaultModel] == nil || !mayUse(k.Models, k.DefaultModel)) {
			t.Errorf("key %q has the default model %q", k.Name, k.DefaultModel)
		}
	}
	if !slices.IsSorted(s.Alerts.At) || s.Disk.LogBelow < s.Disk.LedgerBelow || s.Ledger.Crash == BookRelayed || s.Ledger.Ambiguous == BookRelayed {
		t.Errorf("alerts %v, disk %v, ledger %v", s.Alerts, s.Disk, s.Ledger)
	}
}

func checkBounds(t *testing.T, limits *abi.Limits, budgets []abi.Budget) {
	for l, n := range limits {
		if n < 0 || n > maxLimit {
			t.Errorf("%s is %d", abi.Limit(l), n)
		}
	}
	for i := range budgets {
		if b := &budgets[i]; b.Amount < 0 || b.Location == nil || b.Location == time.Local || b.Period >= abi.NumPeriods {
			t.Errorf("budget %+v", b)
		}
	}
}
