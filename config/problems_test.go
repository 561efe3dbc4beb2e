package config

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
)

// problemsOf loads a text and returns its problems as printed, one per line.
func problemsOf(t testing.TB, text string, env ...string) string {
	t.Helper()
	_, err := newLoading("p.yaml", t.TempDir()+"/p.yaml", environment(env...)).load([]byte(text))
	if err == nil {
		return ""
	}
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("the error is not Problems: %v", err)
	}
	return err.Error()
}

// Everything that is wrong is reported at once, in the order of the file.
func TestProblemsAllAtOnce(t *testing.T) {
	const text = `version: 2
listn: 127.0.0.1:80
max_body: 32MB
public_models: "yes"
admin: {token: "${ADMIN}"}
providers:
  - {name: a, format: opnai, base_url: "https://x/v1", api_key: "${A1}${A2}"}
  - {name: a, format: openai}
  - {name: b, format: anthropic, base_url: "https://x/v1"}
  - {name: c, format: gemini, base_url: "ftp://x", api_keys: ["${A1}"]}
models:
  - {alias: m, provider: a, model: "x\"y"}
  - {alias: n, provider: bb, model: y, price: {input: 0.0000000001, outptu: 1}}
  - {alias: o, provider: b, model: z, context: many}
  - {alias: p, provider: c, model: z, context: 0}
  - m
chains:
  - name: m
    retries: 11
    strategy: latncy
    timeouts: {connect: 5, first_contnt: 1s}
    steps:
      - {model: o}
      - {model: p, weight: 0}
      - {model: q}
  - {name: empty, steps: []}
teams: [{name: research, rpm: 0, parent: reserch, disabled: maybe}]
keys:
  - {name: ci, key: short, team: reserch, models: [codng, "m*"], default_model: n, budget: [{usd: 5, per: dya}]}
  - {name: ci, key: 0123456789abcdef, models: [], expires: tomorrow}
  - {name: other, key: 0123456789abcdef}
  - {name: other
     , key: 0123456789abcdeg, name: x}
policies:
  - {name: p, wasm: "builtin:other", hooks: [authentcate], grants: {kv: any, identities: write}}
  - {name: q, wasm: ./no.wasm, hooks: [choose_step, choose_step], veto: true, limits: {fuel: 1, time: 1h, memory: 1}}
  - {name: r, wasm: ./rule.py, config: [1], grants: {inputs: [request.path, request.headers.X-Team, request.headers.cookie]}}
  - {name: s, wasm: "builtin:default", config: {n: 0x1f, n: 1}}
`
	const want = `p.yaml:1: version: must be 1, the only version that there is
p.yaml:2: unknown field "listn", did you mean "listen"?
p.yaml:3: max_body: must be a size from 1KiB to 1GiB, such as 512KiB or 32MiB
p.yaml:4: public_models: must be true or false
p.yaml:5: admin.token: the environment variable ADMIN is not set
p.yaml:7: providers[0].format: must be one of openai, anthropic, gemini, did you mean "openai"?
p.yaml:7: providers[0].api_key: the environment variable A1 is not set
p.yaml:7: providers[0].api_key: the environment variable A2 is not set
p.yaml:8: providers[1].base_url: is missing
p.yaml:8: providers[1].name: "a" is already the name of providers[0]
p.yaml:9: providers[2].base_url: must end before the version: /v1 is put behind it
p.yaml:10: providers[3].base_url: must be a URL that begins with https:// or http://
p.yaml:10: providers[3].api_keys[0]: the environment variable A1 is not set
p.yaml:12: models[0].model: must be 1 to 256 bytes of printable text without quotes and backslashes
p.yaml:13: models[1].provider: there is no provider "bb", did you mean "b"?
p.yaml:13: models[1].price.output: is missing
p.yaml:13: models[1].price.input: must not have more than 9 decimals
p.yaml:13: models[1].price: unknown field "outptu", did you mean "output"?
p.yaml:14: models[2].context: must be a whole number from 1 to 1000000000
p.yaml:15: models[3].context: must be a whole number from 1 to 1000000000
p.yaml:16: models[4]: must be a mapping, not a single value
p.yaml:18: chains[0].name: "m" is already the name of models[0]
p.yaml:19: chains[0].retries: must be a whole number from 0 to 10
p.yaml:20: chains[0].strategy: must be one of weighted, latency, cost, sticky, did you mean "latency"?
p.yaml:21: chains[0].timeouts.connect: must be a time span from 1ms to 24h0m0s with its unit, such as 250ms, 3s or 15m
p.yaml:21: chains[0].timeouts: unknown field "first_contnt", did you mean "first_content"?
p.yaml:24: chains[0].steps[1].model: is of the format gemini, but the steps before it are of anthropic: all steps of a chain speak one format
p.yaml:24: chains[0].steps[1].weight: must be a whole number from 1 to 1000000
p.yaml:25: chains[0].steps[2].model: there is no model with the alias "q"
p.yaml:26: chains[1].steps: must have at least one step
p.yaml:27: teams[0].rpm: must not be 0: to refuse every request, write disabled: true
p.yaml:27: teams[0].parent: there is no team "reserch", did you mean "research"?
p.yaml:27: teams[0].disabled: must be true or false
p.yaml:29: keys[0].key: must have at least 16 characters
p.yaml:29: keys[0].team: there is no team "reserch", did you mean "research"?
p.yaml:29: keys[0].models[0]: there is no alias or chain "codng"
p.yaml:29: keys[0].budget[0].per: must be one of day, week, month, total, did you mean "day"?
p.yaml:30: keys[1].name: "ci" is already the name of keys[0]
p.yaml:30: keys[1].models: names no model: take the field out to allow all
p.yaml:30: keys[1].expires: must be a date such as 2027-01-01, or a time such as 2027-01-01T08:00:00Z
p.yaml:31: keys[2].key: is the same as keys[1].key
p.yaml:32: keys[3].name: "other" is already the name of keys[2]
p.yaml:33: keys[3]: the field "name" stands here twice, first in line 32
p.yaml:35: policies[0].wasm: the only built-in policy is builtin:default
p.yaml:35: policies[0].hooks[0]: must be one of authenticate, choose_step, price_response, did you mean "authenticate"?
p.yaml:35: policies[0].grants.kv: must be "own"
p.yaml:35: policies[0].grants.identities: must be "read"
p.yaml:36: policies[1].wasm: there is no file "./no.wasm"
p.yaml:36: policies[1].hooks[1]: stands here twice
p.yaml:36: policies[1].veto: acts at authenticate, which is not among the hooks
p.yaml:36: policies[1].limits.fuel: must be a whole number from 1000 to 1000000000000
p.yaml:36: policies[1].limits.time: must be a time span from 1ms to 1m0s with its unit, such as 250ms, 3s or 15m
p.yaml:36: policies[1].limits.memory: must be a size from 64KiB to 4GiB, such as 512KiB or 32MiB
p.yaml:37: policies[2].wasm: must be builtin:default, the path of a .wasm or .js file, or begin with oci:// or dir://
p.yaml:37: policies[2].config: must be a mapping, not a list
p.yaml:37: policies[2].grants.inputs[0]: must be one of request.headers.<name>, credential
p.yaml:37: policies[2].grants.inputs[1]: must end with the name of a header in lower case
p.yaml:37: policies[2].grants.inputs[2]: holds credentials: grant "credential" instead
p.yaml:38: policies[3].config.n: must be a number as JSON has it, or text in quotes
p.yaml:38: policies[3].config: the field "n" stands here twice, first in line 38`
	got := problemsOf(t, text)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Each line is a text that has one thing wrong with it, and what is said of it.
func TestProblem(t *testing.T) {
	const p = "version: 1\nproviders: [{name: p, format: openai, base_url: 'https://x/v1'"
	const m = p + "}]\nmodels: [{alias: m, provider: p, model: m"
	const k = m + "}]\nkeys: [{name: k, key: 0123456789abcdef"
	const w = "version: 1\npolicies: [{name: w, wasm: 'builtin:default'"
	url := func(u string) string {
		return "version: 1\nproviders: [{name: p, format: openai, base_url: '" + u + "'}]"
	}
	for _, fact := range []struct{ text, want string }{
		{"", `p.yaml: holds no YAML document`},
		{"# nothing", `p.yaml: holds no YAML document`},
		{"- version: 1", `p.yaml:1: must be a mapping, not a list`},
		{"{}", `p.yaml:1: version: is missing`},
		{"version: 1\n---\nversion: 1", `p.yaml:2: must be one YAML document, and another one begins here`},
		{"version: [", `p.yaml:2: is not YAML: while parsing a flow node, did not find expected node content`},
		{"version: 1\nlisten: *nowhere", `p.yaml:2: is not YAML: a value that begins with "*" or "&" must stand in quotes`},
		{"version: 1\nadmin: &a {}\nlisten: *a", `p.yaml:3: listen: YAML aliases are not supported: write the value out`},
		{"version: 1\n<<: {listen: x}", `p.yaml:2: YAML merge keys are not supported: write the fields out`},
		{"version: 1\nlisten: !tag x", `p.yaml:2: listen: YAML tags are not supported`},
		{"version: 1\n? [a]\n: b", `p.yaml:2: the name of a field must be text`},
		{"version: 1\nkeys:", `p.yaml:2: keys: has no value: give it one, or take the field out`},
		{"version: 1\nprefix: true", `p.yaml:2: prefix: must be text: put true in quotes`},
		{"version: 1\nlisten: localhost", `p.yaml:2: listen: must be host:port, such as 127.0.0.1:8080`},
		{"version: 1\nlisten: 'a b:80'", `p.yaml:2: listen: must be host:port, such as 127.0.0.1:8080`},
		{"version: 1\nlisten: ':65536'", `p.yaml:2: listen: must be host:port, such as 127.0.0.1:8080`},
		{"version: 1\nadmin: {listen: '127.0.0.1:8080'}", `p.yaml:2: admin.listen: must differ from the address of the data listener`},
		{"version: 1\nprefix: llm", `p.yaml:2: prefix: must be empty, or a path such as /llm that begins with "/" and does not end with it`},
		{"version: 1\nprefix: /llm/", `p.yaml:2: prefix: must be empty, or a path such as /llm that begins with "/" and does not end with it`},
		{"version: 1\nprefix: /../x", `p.yaml:2: prefix: must be empty, or a path such as /llm that begins with "/" and does not end with it`},
		{"version: 1\npolicy_dir: /dev/null", `p.yaml:2: policy_dir: "/dev/null" is not a folder`},
		{"version: 1\ndata: ''", `p.yaml:2: data: must be a path`},
		{"version: 1\ndata: ${HOME", `p.yaml:2: data: has a "${" without a "}"; write "$${" where no variable is meant`},
		{"version: 1\ndata: '${1}'", `p.yaml:2: data: has a "${…}" without the name of a variable in it; write "$${" where none is meant`},

		{url("x.com/v1"), `p.yaml:2: providers[0].base_url: must be a URL that begins with https:// or http://`},
		{url("https:x"), `p.yaml:2: providers[0].base_url: must be a URL that begins with https:// or http://`},
		{url("https://me:secret@x/v1"), `p.yaml:2: providers[0].base_url: must not hold a user or a password: credentials go into api_key`},
		{url("https://x/v1?key=secret"), `p.yaml:2: providers[0].base_url: must not hold a query or a fragment: use query`},
		{url("https://x/v1#"), `p.yaml:2: providers[0].base_url: must not hold a query or a fragment: use query`},
		{url("https:///v1"), `p.yaml:2: providers[0].base_url: must name a host`},
		{url("https://x_-/v1"), `p.yaml:2: providers[0].base_url: must name a host`},
		{url("https://x:0/v1"), `p.yaml:2: providers[0].base_url: must have a port from 1 to 65535, or none`},
		{url("https://x:/v1"), `p.yaml:2: providers[0].base_url: must have a port from 1 to 65535, or none`},
		{url("https://x//v1"), `p.yaml:2: providers[0].base_url: has a path with empty or dot segments, or with characters that a path must not hold`},
		{url("https://x/a/%2e%2e/v1"), `p.yaml:2: providers[0].base_url: has a path with empty or dot segments, or with characters that a path must not hold`},
		{url("https://x/{model}/{model}"), `p.yaml:2: providers[0].base_url: has a path with empty or dot segments, or with characters that a path must not hold`},
		{strings.Replace(url("https://x/{model}"), "openai", "gemini", 1), `p.yaml:2: providers[0].base_url: may hold {model} for openai providers only`},
		{p + `, api_key: ''}]`, `p.yaml:2: providers[0].api_key: is empty`},
		{p + `, api_key: 'secret with space'}]`, `p.yaml:2: providers[0].api_key: must be printable ASCII without white space`},
		{p + `, auth_header: 'x y'}]`, `p.yaml:2: providers[0].auth_header: must be the name of a header`},
		{p + `, headers: {host: y}}]`, `p.yaml:2: providers[0].headers.host: is a header that the gateway writes itself`},
		{p + `, headers: {x-a: y, X-A: z}}]`, `p.yaml:2: providers[0].headers.X-A: is given twice: once by another spelling, or as the header of the credential`},
		{p + `, api_key: abc, headers: {authorization: y}}]`, `p.yaml:2: providers[0].headers.authorization: is given twice: once by another spelling, or as the header of the credential`},
		{p + `, headers: {x-a: "y\r\nx-b: z"}}]`, `p.yaml:2: providers[0].headers.x-a: must be printable ASCII without white space at its ends`},
		{"version: 1\nproviders: [{name: 'a b', format: openai, base_url: 'https://x'}]", `p.yaml:2: providers[0].name: must be 1 to 64 letters, digits and "._-:@+"`},

		{strings.Replace(m, "alias: m", "alias: 'a*'", 1) + "}]", `p.yaml:3: models[0].alias: must be 1 to 256 letters, digits and "._-:@+/", without empty or dot segments`},
		{strings.Replace(m, "alias: m", "alias: a//b", 1) + "}]", `p.yaml:3: models[0].alias: must be 1 to 256 letters, digits and "._-:@+/", without empty or dot segments`},
		{m + ", price: {input: 1e3, output: 0}}]", `p.yaml:3: models[0].price.input: must be an amount in US dollars such as 0.27`},
		{m + ", price: {input: -1, output: 0}}]", `p.yaml:3: models[0].price.input: must be an amount in US dollars such as 0.27`},
		{m + ", price: {input: 1000000.01, output: 0}}]", `p.yaml:3: models[0].price.input: must be at most 1000000 dollars`},
		{m + "}]\nchains: [{name: a, steps: [{model: m}]}, {name: b, steps: [{model: a}]}]", `p.yaml:4: chains[1].steps[0].model: "a" is a chain: a step names an alias`},

		{k + ", models: ['m**']}]", `p.yaml:4: keys[0].models[0]: there is no alias or chain "m**"`},
		{k + ", expires: 2027-02-30}]", `p.yaml:4: keys[0].expires: must be a date such as 2027-01-01, or a time such as 2027-01-01T08:00:00Z`},

		{w + ", hooks: []}]", `p.yaml:2: policies[0].hooks: names no hook: take the field out for all that the module exports`},
		{w + ", config: {a: {b: .inf}}}]", `p.yaml:2: policies[0].config.a.b: must be a number as JSON has it, or text in quotes`},
		{w + ", config: {a: [*b]}}]", `p.yaml:2: is not YAML: a value that begins with "*" or "&" must stand in quotes`},
		{strings.Replace(w, "builtin:default", "oci://x/y", 1) + "}]", `p.yaml:2: policies[0].wasm: names no version: write :VERSION or @sha256:… behind it`},
		{strings.Replace(w, "builtin:default", "x.so", 1) + "}]", `p.yaml:2: policies[0].wasm: must be builtin:default, the path of a .wasm or .js file, or begin with oci:// or dir://`},
	} {
		if got := problemsOf(t, fact.text); got != fact.want {
			t.Errorf("%s\ngot  %s\nwant %s", fact.text, got, fact.want)
		}
	}
}

// What a variable holds is in no message, and neither is a literal in a field for secrets, whatever is wrong.
func TestProblemsKeepSecrets(t *testing.T) {
	const secret = "hush"
	for _, at := range []string{
		"version: %s", "version: 1\nlisten: %s", "version: 1\nadmin: {token: %s}", "version: 1\nprefix: %s",
		"version: 1\nproviders: [{name: p, format: %s, base_url: %s, api_key: ' %s', auth_header: '%s:', headers: {a: '%s\t'}}]",
		"version: 1\nmodels: [{alias: '%s!', provider: %s, model: '%s\"', context: %s, price: {input: %s, output: %s}}]",
		priceHead + ", price: [{input: %s, output: 1, tiers: [{above: %s, input: 1}], windows: [{from: %s, to: %s, days: [%s], timezone: %s, input: 1}]}, {from: %s, input: 1, output: 1}]}]",
		priceHead + ", price: %s, max_output: %s}]", "version: 1\nprices: ./%s.json\nproviders: [{name: a, format: openai, base_url: 'https://x', catalog: %s}]",
		"version: 1\nchains: [{name: '%s!', strategy: %s, timeouts: {gap: %s}, steps: [{model: %s, weight: %s}]}]",
		"version: 1\nteams: [{name: '%s!', parent: %s, models: [%s], labels: {a: '%s\t', '%s!': b}, disabled: %s, rpm: %s}]",
		"version: 1\nkeys: [{name: '%s!', key: %s, team: %s, models: [%s], default_model: %s, expires: %s, tpm: %s}]",
		"version: 1\nkeys: [{name: a, key: 0123456789abcdef, budget: {usd: %s, per: %s, timezone: %s}}]",
		"version: 1\nledger: {durability: %s, estimate: %s, assumed_output_tokens: %s, unpriced: %s, book: {crash: %s}, retention: %s}",
		"version: 1\nalerts: {at: [%s], webhook: %s, secret: %s}\nrequest_log: {retention: %s, max_size: %s}\ndisk: {ballast: %s}",
		"version: 1\npolicies: [{name: '%s!', wasm: %s, hooks: [%s], limits: {fuel: %s, time: %s, memory: %s}, grants: {identities: %s, inputs: [%s]}}]",
		"version: 1\npolicies: [{name: a, wasm: ./%s.wasm}]",
	} {
		got := problemsOf(t, strings.ReplaceAll(at, "%s", "${SECRET}"), "SECRET", secret)
		if got == "" || strings.Contains(got, secret) {
			t.Errorf("%s gave %q", at, got)
		}
	}
	for _, text := range []string{
		"version: 1\nadmin: {token: hush}", "version: 1\nadmin: {token: 'hush hush hush hush'}",
		"version: 1\nadmin: {token: *hush}", "version: 1\nadmin: {token: !hush hush}", "version: 1\nadmin: {token: [hush]}",
		"version: 1\nproviders: [{name: p, format: openai, base_url: 'https://hush@x'}, {name: q, format: openai, base_url: 'https://x:hush'}]",
		"version: 1\nalerts: {webhook: 'https://hush@x', secret: hush}", "version: 1\nalerts: {webhook: 'ftp://x/hush'}",
		"version: 1\nalerts: {webhook: 'https://x:hush'}", "version: 1\nalerts: {webhook: 'https://x/hush#'}",
		"version: 1\nkeys: [{name: k, key: hush}]", "version: 1\nkeys: [{name: k, key: {hush}}]",
	} {
		if got := problemsOf(t, text); got == "" || strings.Contains(got, secret) {
			t.Errorf("%s gave %q", text, got)
		}
	}
}

// The fields of features that are not built yet must not be taken for misspelt ones, and must not be accepted.
func TestProblemsOfLaterFields(t *testing.T) {
	const head = "version: 1\nproviders: [{name: p, format: openai, base_url: 'https://x/v1'%s}]\nmodels: [{alias: m, provider: p, model: m}]\n"
	for path, fields := range map[string][]string{
		"keys[0]": {"prefix"},
	} {
		for _, field := range fields {
			more := map[string]string{path: ", " + field + ": 1"}
			text := strings.Replace(head, "%s", more["providers[0]"], 1) +
				"chains: [{name: c, steps: [{model: m}]}]\n" +
				"teams: [{name: t}]\n" +
				"keys: [{name: k, key: 0123456789abcdef" + more["keys[0]"] + "}]\n" +
				"policies: [{name: w, wasm: 'builtin:default', grants: {identities: read}}]"
			got := problemsOf(t, text)
			if !strings.HasSuffix(got, ": "+path+"."+field+": is not supported by this version yet") || strings.Contains(got, "\n") {
				t.Errorf("%s.%s gave %q", path, field, got)
			}
		}
	}
}

func TestProblemsOfPolicyDir(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "p.yaml", "version: 1\npolicy_dir: d")
	write(t, dir, "d/default.wasm", "")
	write(t, dir, "d/a b.wasm", "")
	_, err := Load(file, environment())
	want := file + `: policy_dir: the name of the file "a b.wasm" must be 1 to 64 letters, digits and "._-:@+"` + "\n" +
		file + `: policy_dir: the file "default.wasm" would get the name of the built-in policy: list it under policies with another one`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add(moneyWhole)
	f.Add(priceHead + ", price: [{input: 1, output: 2, tiers: [{above: 3, input: 4}]}, {from: 2026-01-01, input: 5, output: 6, windows: [{from: '16:30', to: '00:30', days: [mon], timezone: Asia/Tokyo, input: 7}]}]}]")
	f.Add("version: 1\nteams: [{name: a, parent: b}, {name: b, parent: a}]\nledger: {retention: 9d, book: {crash: input}}")
	f.Add("version: 1\nadmin: &a {token: *a}\n<<: [*a]")
	f.Add("version: 1\npolicies: [{name: a, wasm: 'builtin:default', config: {a: [{b: ${X}}], ? [c] : d}}]")
	f.Add("{version: 1, max_body: 9999999999GiB, models: [{alias: a/../b, price: {input: .}}]}")
	f.Add("%YAML 1.2\n---\nversion: 1\n...\n---\n")
	dir := f.TempDir()
	file := dir + "/p.yaml"
	write(f, dir, "plugins/hours.wasm", "")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := newLoading("p.yaml", file, environment("X", "1", "CI", "ci-0123456789abcdef", "TOKEN", "0123456789abcdef", "SECRET", "0123456789abcdef", "DEEPSEEK", "sk", "TZ", "UTC")).load([]byte(text))
		if (s == nil) == (err == nil) {
			t.Fatalf("snapshot %v, error %v", s, err)
		}
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("the error is not Problems: %v", err)
			}
			return
		}
		checkSnapshot(t, s)
	})
}

// checkSnapshot checks what the request path relies on without looking.
func checkSnapshot(t *testing.T, s *Snapshot) {
	if len(s.Names) != len(s.Chains) {
		t.Errorf("%d names of %d chains", len(s.Names), len(s.Chains))
	}
	for name, c := range s.Chains {
		if c.Name != name || len(c.Steps) == 0 || len(c.Steps) != len(c.Choices) {
			t.Errorf("chain %q: %+v", name, c)
		}
		checkBounds(t, &c.Limits, nil)
		for i, step := range c.Steps {
			if (step.Tariff == nil) != (c.Choices[i].Price == nil) {
				t.Errorf("chain %q shows the price %v of the step %+v", name, c.Choices[i].Price, step)
			}
			if step.Provider.Format != c.Format || !json.Valid(step.ModelJSON) || step.MaxOutput > c.MaxOutput {
				t.Errorf("chain %q has the step %+v", name, step)
			}
		}
	}
	for _, p := range s.Providers {
		if _, _, err := net.SplitHostPort(p.Host); err != nil || p.AuthHeader == "" || strings.ContainsAny(p.Path+p.Query+p.HostHeader, " \r\n?#") {
			t.Errorf("provider %+v", p)
		}
	}
	checkMoney(t, s)
	for _, p := range s.Policies {
		if p.Name == "" || (p.Builtin == "") == (p.Path == "") || p.Config != nil && !json.Valid(p.Config) {
			t.Errorf("policy %+v", p)
		}
	}
}
