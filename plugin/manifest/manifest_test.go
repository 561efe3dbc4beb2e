package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/document"
)

// full is a manifest that says everything.
const full = `{
  "name": "office-hours", "version": "1.2.3-rc.1+build.5", "abi": 1, "description": "Nobody works at night", "author": "Team A",
  "licence": "MIT", "source": "https://example.com/office-hours", "revision": "abc", "toolchain": "go1.26.8",
  "hooks": ["authenticate"], "veto": true, "inputs": ["request.model"],
  "grants": [
    {"identities": "read", "reason": "knows the keys"}, {"kv": "own", "reason": "counts"},
    {"input": "request.headers.x-team", "reason": "the team has hours"}, {"input": "credential", "reason": "reads it"}
  ],
  "config_schema": {"type": "object", "required": ["tz"], "properties": {"tz": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}}},
  "limits": {"fuel": 20000000, "time_ms": 200, "memory_bytes": 33554432},
  "tests": [{"name": "at night", "veto": true, "identity": {"key_id": "k"}, "want": {"status": 403}}]
}`

func module(t testing.TB, manifest string) []byte {
	t.Helper()
	var m w.Module
	m.Hook("authenticate", w.Pass)
	wasm, err := Embed(m.Bytes(), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestRead(t *testing.T) {
	m, err := Read(module(t, full))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "office-hours" || !m.Veto || len(m.Grants) != 4 || m.Limits.Fuel != 20_000_000 || len(m.Cases()) != 1 || !m.Cases()[0].Veto {
		t.Errorf("%+v", m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(module(t, string(text)))
	if err != nil || again.Name != m.Name || len(again.Cases()) != 1 || !slices.Equal(again.Grants, m.Grants) {
		t.Errorf("written and read again: %+v, %v", again, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct{ name, manifest, want string }{
		{"no JSON", `{`, "is not JSON"},
		{"something behind", `{} {}`, "something follows"},
		{"twice the same", `{"name": "a", "name": "b"}`, `"name" stands here twice`},
		{"nothing", `{}`, `lacks "abi", "name", "version"`},
		{"unknown member", `{"name": "a", "version": "1.0.0", "abi": 1, "Grants": []}`, `has no member "Grants"`},
		{"no version", `{"name": "a", "version": "1.0", "abi": 1}`, "version: must be a version such as 1.2.0"},
		{"another ABI", `{"name": "a", "version": "1.0.0", "abi": 2}`, "version 2 of the contract; this Sallyport serves version 1"},
		{"a control character", `{"name": "a", "version": "1.0.0", "abi": 1, "author": "a\u001b[2J"}`, "author: must be one line of printable text"},
		{"no reason", `{"name": "a", "version": "1.0.0", "abi": 1, "grants": [{"kv": "own"}]}`, `grants[0]: lacks "reason"`},
		{"two grants in one", `{"name": "a", "version": "1.0.0", "abi": 1, "grants": [{"kv": "own", "identities": "read", "reason": "x"}]}`, "at most 2 members"},
		{"an input without need of a grant", `{"name": "a", "version": "1.0.0", "abi": 1, "grants": [{"input": "request.model", "reason": "x"}]}`, "no input that needs a grant"},
		{"an input that needs one", `{"name": "a", "version": "1.0.0", "abi": 1, "inputs": ["credential"]}`, "without a grant"},
		{"asked twice", `{"name": "a", "version": "1.0.0", "abi": 1, "grants": [{"kv": "own", "reason": "x"}, {"kv": "own", "reason": "y"}]}`, "a second time"},
		{"no schema", `{"name": "a", "version": "1.0.0", "abi": 1, "config_schema": {"type": 5}}`, "config_schema.type: "},
		{"a schema from elsewhere", `{"name": "a", "version": "1.0.0", "abi": 1, "config_schema": {"$ref": "https://example.com/s.json"}}`, "config_schema.$ref: must refer"},
		{"a test that is none", `{"name": "a", "version": "1.0.0", "abi": 1, "tests": [{"name": "x"}]}`, `tests[0]: lacks "want"`},
		{"a test without a hook", `{"name": "a", "version": "1.0.0", "abi": 1, "tests": [{"name": "x", "want": {"answer": "pass"}}]}`, "tests[0]: names no hook"},
		{"a veto elsewhere", `{"name": "a", "version": "1.0.0", "abi": 1, "veto": true, "hooks": ["choose_step"]}`, "veto: acts at authenticate"},
		{"a number without end", `{"name": "a", "version": "1.0.0", "abi": 1e999999999}`, "too large"},
		{"nested", strings.Repeat("[", 70) + strings.Repeat("]", 70), "deeper than 64"},
		{"too large", strings.Repeat(" ", MaxSize+1), "at most 262144 are read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Read(module(t, test.manifest)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestReadTellsAllProblemsAtOnce(t *testing.T) {
	_, err := Read(module(t, `{"name": "a b", "version": "1", "abi": 1, "author": "\n", "config_schema": {"type": 5}, "tests": [{}]}`))
	problems, ok := errors.AsType[document.Problems](err)
	if !ok || len(problems) != 5 {
		t.Errorf("%v", err)
	}
}

func TestModules(t *testing.T) {
	var m w.Module
	m.Hook("authenticate", w.Pass)
	if _, err := Read(m.Bytes()); !errors.Is(err, ErrNone) {
		t.Errorf("without a manifest: %v", err)
	}
	for _, wasm := range [][]byte{nil, []byte("\x00asm"), []byte("\x00asm\x0d\x00\x01\x00"), append(m.Bytes(), 0), append(m.Bytes(), 0, 0x80, 0x80, 0x80, 0x80, 0x80), append(m.Bytes(), 0, 1, 5)} {
		if _, err := Read(wasm); !errors.Is(err, ErrNoModule) {
			t.Errorf("%x: %v", wasm, err)
		}
	}
	m.Custom(Section, []byte("{}"))
	m.Custom(Section, []byte("{}"))
	if _, err := Read(m.Bytes()); err == nil || !strings.Contains(err.Error(), "two sections") {
		t.Errorf("two manifests: %v", err)
	}
}

// Whatever is embedded is found, the last one alone, and stripping it leaves the module as it was.
func TestEmbedAndStrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m w.Module
		m.Hook("authenticate", w.Pass)
		for range rapid.IntRange(0, 3).Draw(t, "others") {
			m.Custom(rapid.SampledFrom([]string{"name", "producers", ""}).Draw(t, "other"), rapid.SliceOf(rapid.Byte()).Draw(t, "content"))
		}
		plain := m.Bytes()
		wasm := plain
		var last []byte
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			last = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "manifest")
			var err error
			if wasm, err = Embed(wasm, last); err != nil {
				t.Fatal(err)
			}
		}
		found, err := Find(wasm)
		if err != nil || !bytes.Equal(found, last) || found == nil {
			t.Fatalf("found %x, %v, want %x", found, err, last)
		}
		if stripped, err := Strip(wasm); err != nil || !bytes.Equal(stripped, plain) {
			t.Fatalf("stripped %x, %v, want %x", stripped, err, plain)
		}
	})
}

func TestMissing(t *testing.T) {
	m, err := Read(module(t, full))
	if err != nil {
		t.Fatal(err)
	}
	nothing := m.Missing(Given{Fuel: 10_000_000, Memory: 16 << 20, Time: 100 * time.Millisecond})
	want := []string{
		`asks for the grant identities: read, with the reason "knows the keys": to give it, add identities: read to grants`,
		`asks for the grant kv: own, with the reason "counts": to give it, add kv: own to grants`,
		`asks for the input request.headers.x-team, with the reason "the team has hours": to give it, add request.headers.x-team to grants.inputs`,
		`asks for the input credential, with the reason "reads it": to give it, add credential to grants.inputs`,
		`needs fuel of 20000000, and may have 10000000: to give it, set limits.fuel to 20000000`,
		`needs a time of 200ms, and may have 100ms: to give it, set limits.time to 200ms`,
		`needs memory of 32MiB, and may have 16MiB: to give it, set limits.memory to 32MiB`,
	}
	if !slices.Equal(nothing, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(nothing, "\n"), strings.Join(want, "\n"))
	}
	given := Given{Identities: true, KV: true, Inputs: []string{"credential", "request.headers.x-team"}, Fuel: 20_000_000, Memory: 32 << 20, Time: time.Second}
	if missing := m.Missing(given); len(missing) > 0 {
		t.Errorf("with everything: %q", missing)
	}
}

func TestEntry(t *testing.T) {
	m, err := Read(module(t, full))
	if err != nil {
		t.Fatal(err)
	}
	want := `- {name: office-hours, wasm: ./plugins/office-hours.wasm, hooks: [authenticate], veto: true, config: {tz: …}, ` +
		`grants: {identities: read, kv: own, inputs: [request.headers.x-team, credential]}, limits: {fuel: 20000000, time: 200ms, memory: 32MiB}}`
	if got := m.Entry("./plugins/office-hours.wasm"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	least := &Manifest{Name: "a"}
	if got := least.Entry("./my plugins/a.wasm"); got != `- {name: a, wasm: "./my plugins/a.wasm"}` {
		t.Errorf("got %s", got)
	}
}

func TestValidateConfig(t *testing.T) {
	m, err := Read(module(t, full))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ config, pointer, message string }{
		{`{"tz": "UTC", "days": [1, 2]}`, "", ""},
		{`{"tz": 5}`, "/tz", "must be string, not number"},
		{`{"tz": "UTC", "days": [1, "monday"]}`, "/days/1", "must be integer, not string"},
		{``, "", `lacks "tz"`},
	} {
		var config []byte
		if test.config != "" {
			config = []byte(test.config)
		}
		problems := m.ValidateConfig(config)
		switch {
		case test.message == "" && len(problems) == 0:
		case len(problems) != 1 || problems[0].Pointer != test.pointer || problems[0].Message != test.message:
			t.Errorf("%s: %v", test.config, problems)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(module(f, full))
	f.Add(module(f, `{"name": "a", "version": "1.0.0", "abi": 1}`))
	f.Add(module(f, `{"tests": [{}], "config_schema": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}}`))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Read(wasm)
		if err != nil {
			return
		}
		_ = m.ValidateConfig([]byte(`{"a": [1, "b", null]}`))
		_ = m.Missing(Given{})
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Embed(wasm, text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(again); err != nil {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
