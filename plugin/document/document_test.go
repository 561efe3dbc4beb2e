package document

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestWhatReads(t *testing.T) {
	yaml := "# a comment\nname: x\nlist:\n  - 1\n  - {deep: [true, null, 1.50, 9007199254740993]}\ntext: \"1\"\ndate: 2026-11-21\n"
	want := `{"date":"2026-11-21","list":[1,{"deep":[true,null,1.50,9007199254740993]}],"name":"x","text":"1"}`
	d, err := ReadYAML([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.JSON()
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	for pointer, line := range map[string]int{"": 2, "/name": 2, "/list/0": 4, "/list/1/deep/2": 5, "/list/1/missing": 5, "/text": 6, "/nothing/at/all": 2} {
		if got := d.Line(pointer); got != line {
			t.Errorf("%s stands on line %d, want %d", pointer, got, line)
		}
	}
	list, ok := d.Member("list")
	if !ok || list.Line("/1/deep") != 5 || list.Line("") != 4 {
		t.Errorf("the list: %+v", list)
	}
	same, err := ReadJSON([]byte("\n" + want))
	if err != nil || !reflect.DeepEqual(same.Value, d.Value) || same.Line("/name") != 2 {
		t.Errorf("as JSON: %+v, %v", same, err)
	}
}

func TestWhatDoesNotRead(t *testing.T) {
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for _, test := range []struct {
		name, text, want string
		read             func([]byte) (*Document, error)
	}{
		{"no YAML", "a: [", "line 2: is not YAML", ReadYAML},
		{"nothing", "", "holds no YAML document", ReadYAML},
		{"two documents", "a: 1\n---\nb: 2\n", "another one begins here", ReadYAML},
		{"an alias", "a: &x 1\nb: *x\n", "line 2: b: YAML aliases are not supported", ReadYAML},
		{"a tag", "a: !mine 1\n", "line 1: a: YAML tags", ReadYAML},
		{"a merge key", "a: {<<: {b: 1}}\n", "a: YAML merge keys", ReadYAML},
		{"twice", "a: 1\nb: 2\na: 3\n", `line 3: the member "a" stands here twice`, ReadYAML},
		{"a name that is a list", "[1, 2]: 3\n", "the name of a member must be text", ReadYAML},
		{"an octal number", "a: 0o17\n", "must be a number as JSON has it", ReadYAML},
		{"not a number", "a: .nan\n", "must be a number as JSON has it", ReadYAML},
		{"a huge number", "a: 1e-999999999\n", "too large", ReadYAML},
		{"deep YAML", deep, "deeper than 64", ReadYAML},
		{"large YAML", strings.Repeat("#", MaxSize+1), "at most 1048576 are read", ReadYAML},
		{"no JSON", `{"a": tru}`, "is not JSON", ReadJSON},
		{"half of JSON", `{"a": [1, 2`, "is not JSON", ReadJSON},
		{"JSON and more", `{} 1`, "something follows the value", ReadJSON},
		{"twice in JSON", "{\"a\": 1,\n\"a\": 1}", `line 2: the member "a" stands here twice`, ReadJSON},
		{"deep JSON", deep, "deeper than 64", ReadJSON},
		{"a long number", `[` + strings.Repeat("1", 65) + `]`, "too long", ReadJSON},
		{"a tiny number", `[1e-999999999]`, "too large", ReadJSON},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.read([]byte(test.text))
			if _, ok := errors.AsType[Problems](err); !ok || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func compile(t testing.TB, text string) (*Schema, error) {
	t.Helper()
	d, err := ReadJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return CompileSchema(d)
}

// What is wrong is told with its line and in words, and no message holds a value, which may be a secret.
func TestProblems(t *testing.T) {
	s, err := compile(t, `{
	  "type": "object", "required": ["tz"], "additionalProperties": false, "dependentRequired": {"user": ["password"]},
	  "properties": {
	    "tz": {"type": "string", "pattern": "^[A-Z]", "maxLength": 20}, "user": {"type": "string"}, "password": {"type": "string", "format": "uri"},
	    "days": {"type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true, "items": {"type": "integer", "minimum": 0, "maximum": 6}},
	    "mode": {"enum": ["a", "b"]}, "one": {"const": 1}, "half": {"multipleOf": 0.5, "exclusiveMinimum": 0, "exclusiveMaximum": 2},
	    "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]}, "not": {"not": {"type": "string"}}, "never": false,
	    "names": {"propertyNames": {"pattern": "^x-"}, "minProperties": 2, "maxProperties": 3}, "some": {"contains": {"const": 1}}, "short": {"minLength": 3}
	  }}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ yaml, want string }{
		{"tz: UTC", ""},
		{"{}", `line 1: lacks "tz"`},
		{"tz: UTC\nzone: secret", `line 1: has no member "zone"`},
		{"tz: secret", "line 1: tz: must match ^[A-Z]"},
		{"tz: SECRETSECRETSECRETSECRET", "line 1: tz: must have at most 20 characters"},
		{"tz: UTC\nuser: secret", `line 1: with "user" needs "password"`},
		{"tz: UTC\nuser: u\npassword: \"secret secret\"", "line 3: password: must be a uri"},
		{"tz: UTC\ndays: []", "line 2: days: must have at least 1 elements"},
		{"tz: UTC\ndays: [1, 2, 3]", "line 2: days: must have at most 2 elements"},
		{"tz: UTC\ndays: [1, 1]", "line 2: days: has the same element twice, at 0 and 1"},
		{"tz: UTC\ndays:\n  - 1\n  - 7", "line 4: days[1]: must be at most 6"},
		{"tz: UTC\ndays: [-1]", "line 2: days[0]: must be at least 0"},
		{"tz: UTC\nmode: secret", "line 2: mode: must be one of a, b"},
		{"tz: UTC\none: 2", "line 2: one: must be 1"},
		{"tz: UTC\nhalf: 0.7", "line 2: half: must be a multiple of 1/2"},
		{"tz: UTC\nhalf: 2", "line 2: half: must be less than 2"},
		{"tz: UTC\nhalf: 0", "line 2: half: must be more than 0"},
		{"tz: UTC\neither: []", "line 2: either: is none of what is allowed here"},
		{"tz: UTC\nnot: secret", "line 2: not: is what is not allowed here"},
		{"tz: UTC\nnever: 1", "line 2: never: must not be there"},
		{"tz: UTC\nnames: {y: 1, x-a: 1}", `line 1: has a member of a name that is not allowed: "y"`},
		{"tz: UTC\nnames: {x-a: 1}", "line 2: names: must have at least 2 members"},
		{"tz: UTC\nnames: {x-a: 1, x-b: 1, x-c: 1, x-d: 1}", "line 2: names: must have at most 3 members"},
		{"tz: UTC\nsome: [2]", "line 2: some: has not the elements that it must have"},
		{"tz: UTC\nshort: ab", "line 2: short: must have at least 3 characters"},
		{"tz: 5\ndays: x", "line 1: tz: must be string, not number\nline 2: days: must be array, not string"},
	} {
		d, err := ReadYAML([]byte(test.yaml))
		if err != nil {
			t.Fatal(err)
		}
		problems := s.Check(d)
		if got := problems.Error(); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.yaml, got, test.want)
		}
		if strings.Contains(strings.ToLower(problems.Error()), "secret") {
			t.Errorf("the problem quotes the value: %v", problems)
		}
	}
}

// A schema comes from elsewhere: it can neither load anything nor keep its host busy.
func TestSchemasThatAreRefused(t *testing.T) {
	// Each definition refers to the next twice: checking one value would take 2^30 steps.
	var bomb strings.Builder
	bomb.WriteString(`{"$ref": "#/$defs/d0", "$defs": {`)
	for i := range 30 {
		next := `{"$ref": "#/$defs/d` + string(rune('a'+i)) + `"}`
		name := "d0"
		if i > 0 {
			name = "d" + string(rune('a'+i-1))
		}
		bomb.WriteString(`"` + name + `": {"allOf": [` + next + `, ` + next + `]},`)
	}
	bomb.WriteString(`"d` + string(rune('a'+29)) + `": {}}}`)
	for _, test := range []struct{ name, schema, want string }{
		{"from the network", `{"$ref": "https://example.com/schema.json"}`, `must refer to one of the schema's own "$defs"`},
		{"a file", `{"$ref": "file:///etc/passwd"}`, "must refer to one"},
		{"itself", `{"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}`, "refers to itself"},
		{"nothing", `{"$ref": "#/$defs/a"}`, "there is no definition of this name"},
		{"an anchor", `{"$dynamicRef": "#meta"}`, "is not supported"},
		{"another name", `{"$id": "https://example.com/a"}`, "is not supported"},
		{"a bomb", bomb.String(), "takes too long to check"},
		{"no schema", `{"type": "strin"}`, "type: "},
		{"no regular expression", `{"pattern": "("}`, "pattern: "},
		{"a meta-schema from the network", `{"$schema": "https://example.com/meta"}`, `schemas refer to their own "$defs" alone`},
		{"a list", `[]`, "must be one of boolean, object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := compile(t, test.schema); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// Whatever reads is written and read again as the same value.
func FuzzReadYAML(f *testing.F) {
	f.Add("a: [1, {b: x}]\n")
	f.Add(`{"a": 1e5, "b": "\u00e9"}`)
	f.Add("- ~\n- yes\n- 0x1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ReadYAML([]byte(text))
		if err != nil {
			return
		}
		written, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadJSON(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if third, err := again.JSON(); err != nil || string(third) != string(written) {
			t.Fatalf("%s and then %s", written, third)
		}
	})
}

// What reads is JSON, and means the same to encoding/json.
func FuzzReadJSON(f *testing.F) {
	f.Add(`{"a": [1, {"b": "x"}], "c": null}`)
	f.Add(`[[[]]]`)
	f.Add(`{"a": 1, "a": 2}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ReadJSON([]byte(text))
		if err != nil {
			return
		}
		var want, got any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Skip("a number that encoding/json has no room for")
		}
		if err := d.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

// No schema makes compiling or checking panic.
func FuzzSchema(f *testing.F) {
	f.Add(`{"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"minimum": 3}}}`, `{"a": 2}`)
	f.Add(`{"oneOf": [{"type": "string"}, {"format": "date-time"}]}`, `"x"`)
	f.Fuzz(func(t *testing.T, schema, value string) {
		d, err := ReadJSON([]byte(schema))
		if err != nil {
			return
		}
		s, err := CompileSchema(d)
		if err != nil {
			return
		}
		if v, err := ReadJSON([]byte(value)); err == nil {
			_ = s.Check(v).Error()
		}
	})
}
