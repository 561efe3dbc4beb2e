package trace

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// fill gives every member of a value something that is not zero, so that one which the format forgets is noticed.
func fill(v reflect.Value, n *int) {
	*n++
	if !v.CanSet() {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMilli(int64(1_700_000_000_000 + *n)).UTC()))
		return
	case *time.Location:
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			panic(err)
		}
		v.Set(reflect.ValueOf(berlin))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for _, member := range v.Fields() {
			fill(member, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString("text " + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(*n % 3))
		if v.Type() == reflect.TypeFor[uint8]() {
			v.SetUint(uint64('a' + *n%26))
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n + 1))
	}
}

// decisionAt is a decision of a hook with something in every member.
func decisionAt(hook abi.Hook) *runtime.Decision {
	d, n := &runtime.Decision{}, 0
	fill(reflect.ValueOf(d).Elem(), &n)
	d.Hook, d.Answer, d.Failure = hook, abi.Given, runtime.NoFailure
	switch hook {
	case abi.Authenticate:
		d.StepChoice, d.Pricing = nil, nil
		a := d.Authentication
		a.Request, a.Credential, a.Policy, a.Vetoed = d.Request, nil, "", nil
	case abi.ChooseStep:
		d.Authentication, d.Pricing, d.CredentialRead = nil, nil, false
		d.StepChoice.Request, d.StepChoice.Identity, d.StepChoice.Policy = d.Request, d.Identity, ""
	default:
		d.Authentication, d.StepChoice, d.CredentialRead = nil, nil, false
		d.Pricing.Request, d.Pricing.Identity, d.Pricing.Policy = d.Request, d.Identity, ""
	}
	return d
}

// Whatever a policy can be asked about is there when a trace is read. A member that is added to the contract fails here.
func TestNothingOfADecisionIsLost(t *testing.T) {
	for hook := range abi.NumHooks {
		d := decisionAt(hook)
		line, err := appendLine(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, d) {
			want, _ := json.Marshal(encode(d))
			have, _ := json.Marshal(encode(got))
			t.Errorf("%s:\nwrote %s\nread  %s\n%+v\n%+v", hook, want, have, d, got)
		}
	}
}

func TestOtherAnswersSurvive(t *testing.T) {
	d := decisionAt(abi.ChooseStep)
	d.Answer, d.Failure, d.Cause = abi.Failed, runtime.Trap, "unreachable"
	line, err := appendLine(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseLine(line)
	if err != nil || got.Answer != abi.Failed || got.Failure != runtime.Trap || got.Cause != d.Cause || got.StepChoice.Step != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBytesThatAreNoText(t *testing.T) {
	d := decisionAt(abi.Authenticate)
	d.Request.Path = []byte("/\xff\x00")
	d.Calls[0].In[0] = []byte{0xfe}
	line, err := appendLine(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseLine(line); err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("%v: %s", err, line)
	}
}

// A credential is not in a trace, wherever a policy has put it.
func TestNoCredentialIsInATrace(t *testing.T) {
	const secret = "aigw_0123456789abcdef"
	d := decisionAt(abi.Authenticate)
	d.Authentication.Credential = []byte(secret)
	hide := "x " + secret + " y"
	d.Request.Path, d.Request.Model, d.Cause, d.Said = []byte(hide), []byte(secret), hide, hide
	d.Authentication.Message, d.Authentication.Code = hide, hide
	d.Authentication.Identity = &abi.Identity{KeyID: hide, Name: hide, Team: hide, Models: []string{hide}, DefaultModel: hide, Labels: []abi.Label{{Name: hide, Value: hide}}}
	d.Identity = d.Authentication.Identity
	d.Headers = []runtime.HeaderRead{{Name: "x-team", Value: []byte(hide), Found: true}}
	d.Calls = []runtime.HostCall{{Function: "kv_set", In: [][]byte{[]byte(hide), []byte("\xff" + secret)}, Out: []byte(secret), Identity: d.Identity}}
	line, err := appendLine(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := json.Marshal([]any{string(line), got.Calls, got.Request})
	value := string(got.Calls[0].In[1])
	if strings.Contains(string(line), secret) || strings.Contains(string(all), secret) || value != "\xff[credential]" {
		t.Errorf("%s", line)
	}
	if !strings.Contains(string(line), mask) || got.Authentication.Digest != d.Authentication.Digest {
		t.Errorf("%s", line)
	}
}

func TestLinesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "reading a decision",
		"{}":                            `"" cannot be its hook`,
		`{"v":2}`:                       "newer Sallyport",
		`{"v":1,"hook":"authenticate"}`: `"" cannot be its answer`,
		`{"v":1,"hook":"choose_step","answer":"pass"}`:                                      "cannot be its hook",
		`{"v":1,"hook":"choose_step","answer":"pass","choice":{"steps":[]}}`:                "cannot be its hook",
		`{"v":1,"hook":"price_response","answer":"pass","pricing":{},"module":"0"}`:         "reading a decision",
		`{"v":1,"hook":"price_response","answer":"pass","pricing":{},"request":{"id":[1]}}`: "reading a decision",
	} {
		if _, err := parseLine([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for hook := range abi.NumHooks {
		line, err := appendLine(nil, decisionAt(hook))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"v":1,"hook":"authenticate","answer":"pass","credential":{"digest":"00","shape":9}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		d, err := parseLine(line)
		if err != nil {
			return
		}
		again, err := appendLine(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseLine(again)
		if err != nil {
			t.Fatal(err)
		}
		third, err := appendLine(nil, second)
		if err != nil || string(third) != string(again) {
			t.Errorf("%v\n%s\n%s", err, again, third)
		}
	})
}
