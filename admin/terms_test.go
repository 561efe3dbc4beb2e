package admin

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// A patch, in JSON, and what it makes of a key.
func TestKeyChange(t *testing.T) {
	const before = `{"id":"key_1","name":"ci","state":"active","source":"stored","team":"research","default_model":"x",` +
		`"models":["x","y*"],"labels":{"a":"1","b":"2"},"limits":{"rpm":60,"tpm":9},"budgets":[{"usd":"5.00","per":"day","timezone":"UTC"}],` +
		`"expires":"2027-01-01T00:00:00Z"}`
	const head = `{"id":"key_1","name":"ci","state":"active","source":"stored"`
	facts := []struct{ patch, want string }{
		{`{}`, before},
		{`{"team":null,"default_model":null,"models":null,"labels":null,"limits":null,"budgets":null,"expires":null}`, head + `}`},
		{`{"team":"t","default_model":"y1","models":["y*"],"labels":{"a":null,"c":"3"},"limits":{"rpm":null,"tpd":7},` +
			`"budgets":[{"usd":"0.5","per":"month","timezone":"Europe/Berlin"}],"expires":"2028-01-01T00:00:00Z"}`,
			head + `,"team":"t","default_model":"y1","models":["y*"],"labels":{"b":"2","c":"3"},"limits":{"tpd":7,"tpm":9},` +
				`"budgets":[{"usd":"0.50","per":"month","timezone":"Europe/Berlin"}],"expires":"2028-01-01T00:00:00Z"}`},
		{`{"budgets":[]}`, `{"id":"key_1","name":"ci","state":"active","source":"stored","team":"research","default_model":"x",` +
			`"models":["x","y*"],"labels":{"a":"1","b":"2"},"limits":{"rpm":60,"tpm":9},"expires":"2027-01-01T00:00:00Z"}`},
	}
	for _, f := range facts {
		var shown Key
		if err := json.Unmarshal([]byte(before), &shown); err != nil {
			t.Fatal(err)
		}
		key, err := shown.key()
		if err != nil {
			t.Fatal(err)
		}
		var change KeyChange
		if err := json.Unmarshal([]byte(f.patch), &change); err != nil {
			t.Fatal(err)
		}
		if err := change.Apply(&key); err != nil {
			t.Errorf("%s: %v", f.patch, err)
		}
		got, _ := json.Marshal(ShowKey(&key, time.Unix(0, 0)))
		if string(got) != f.want {
			t.Errorf("%s:\ngot  %s\nwant %s", f.patch, got, f.want)
		}
		// What the client sends means the same.
		again, _ := json.Marshal(&change)
		var sent KeyChange
		if err := json.Unmarshal(again, &sent); err != nil || !reflect.DeepEqual(sent, change) {
			t.Errorf("%s is sent as %s: %v", f.patch, again, err)
		}
	}
}

// A change that fails changes nothing, and one that succeeds leaves what is shared alone.
func TestChangeKeepsItsHandsOff(t *testing.T) {
	labels := []abi.Label{{Name: "a", Value: "1"}}
	key := identity.Key{Name: "ci", Labels: labels, Limits: abi.Limits{1}}
	before := key
	zero, two := int64(0), "2"
	bad := KeyChange{Team: To("t"), TermsChange: TermsChange{Limits: To(map[string]*int64{"rpm": &zero})}}
	if err := bad.Apply(&key); !errors.Is(err, identity.ErrWish) || !reflect.DeepEqual(key, before) {
		t.Errorf("%+v, %v", key, err)
	}
	good := KeyChange{TermsChange: TermsChange{Labels: To(map[string]*string{"a": &two})}}
	if err := good.Apply(&key); err != nil || labels[0].Value != "1" || key.Labels[0].Value != "2" {
		t.Errorf("%+v, %v; shared: %+v", key, err, labels)
	}
}

func TestStates(t *testing.T) {
	now := time.Unix(1000, 0)
	facts := []struct {
		key  identity.Key
		want string
	}{
		{identity.Key{}, "active"},
		{identity.Key{Expires: now}, "expired"},
		{identity.Key{Expires: now.Add(1)}, "active"},
		{identity.Key{State: abi.KeyDisabled, Expires: now}, "disabled"},
		{identity.Key{State: abi.KeyRevoked}, "revoked"},
	}
	for _, f := range facts {
		shown := ShowKey(&f.key, now)
		back, err := shown.key()
		if shown.State != f.want || err != nil || back.State != f.key.State {
			t.Errorf("%+v: %q, and back %v, %v, want %q", f.key, shown.State, back.State, err, f.want)
		}
	}
}

func TestParseBudget(t *testing.T) {
	facts := []struct {
		text string
		want Budget // zero: refused
	}{
		{"5/day", Budget{"5.00", "day", "UTC"}},
		{"$5/day", Budget{"5.00", "day", "UTC"}},
		{"0.000000001/week", Budget{"0.000000001", "week", "UTC"}},
		{"50.10/month@Europe/Berlin", Budget{"50.10", "month", "Europe/Berlin"}},
		{"100/total@Europe/Berlin", Budget{"100.00", "total", "UTC"}},
		{"0/total", Budget{"0.00", "total", "UTC"}},
		{"1000000000/total", Budget{"1000000000.00", "total", "UTC"}},
		{"1000000000.000000001/total", Budget{}},
		{"99999999999999999999/day", Budget{}},
		{"0.0000000001/day", Budget{}},
		{"5", Budget{}},
		{"5/", Budget{}},
		{"/day", Budget{}},
		{"5/year", Budget{}},
		{"5/Day", Budget{}},
		{"-5/day", Budget{}},
		{"+5/day", Budget{}},
		{"1e3/day", Budget{}},
		{".5/day", Budget{}},
		{"5./day", Budget{}},
		{"5/day@Local", Budget{}},
		{"5/day@Europe", Budget{}},
		{"5/day@../../etc/passwd", Budget{}},
	}
	for _, f := range facts {
		got, err := ParseBudget(f.text)
		if got != f.want || (err == nil) != (f.want != Budget{}) || err != nil && !errors.Is(err, identity.ErrWish) {
			t.Errorf("%q: got %+v, %v, want %+v", f.text, got, err, f.want)
		}
	}
}

func FuzzParseBudget(f *testing.F) {
	for _, text := range []string{"5/day", "$0.000000001/week@UTC", "50.10/month@Europe/Berlin", "1000000000/total", "/", "5/day@Local", "007/day"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseBudget(text)
		if err != nil {
			return
		}
		again, err := ParseBudget(b.USD + "/" + b.Per + "@" + b.Timezone)
		if err != nil || again != b {
			t.Fatalf("%q is %+v, which is %+v, %v", text, b, again, err)
		}
		checked, err := b.budget()
		if err != nil || checked.Amount < 0 || checked.Amount > identity.MaxAmount {
			t.Fatalf("%q is %+v, %v", text, checked, err)
		}
	})
}

// Amounts survive being written as text.
func TestAmountsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := abi.NanoUSD(rapid.Int64Range(0, int64(identity.MaxAmount)).Draw(t, "amount"))
		if got, err := parseUSD(formatUSD(n)); err != nil || got != n {
			t.Fatalf("%d is %q, which is %d, %v", n, formatUSD(n), got, err)
		}
	})
}
