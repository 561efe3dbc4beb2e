package state

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
)

// The rows are on the disk: they change with their version only.
func TestIdentityRows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		id   abi.Identity
		row  string
	}{
		{"the worked example",
			abi.Identity{KeyID: "key_1", Name: "ci", Team: "x", Limits: abi.Limits{abi.RequestsPerMinute: 60}},
			"02 00 00  05 6b65795f31  02 6369  01 78  00  00  00  01 3c  00"},
		{"nothing", abi.Identity{}, "02 00 00 00 00 00 00 00 00 00 00"},
		{"everything",
			abi.Identity{
				KeyID: "k", Name: "n", Team: "t", State: abi.KeyRevoked, Expires: time.Unix(0x102030405, 6).UTC(),
				Models: []string{"a", "b*"}, DefaultModel: "a", Labels: []abi.Label{{Name: "env", Value: "p"}, {Name: "x"}},
				Limits: abi.Limits{abi.TokensPerDay: 300, abi.MaxOutputTokens: 1},
				Budgets: []abi.Budget{
					{Amount: 5, Period: abi.InTotal, Location: time.UTC}, {Period: abi.PerDay, Location: berlin},
				},
			},
			"02 02 01 0000000102030405 00000006  01 6b 01 6e 01 74 01 61  02 01 61 02 622a  02 03 656e76 01 70 01 78 00" +
				"90 10 ac 02 01  02  03 05 03 555443  00 00 0d 4575726f70652f4265726c696e"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row := strings.ReplaceAll(tt.row, " ", "")
			if got := hex.EncodeToString(appendIdentity(nil, &tt.id)); got != row {
				t.Errorf("got %s, want %s", got, row)
			}
			raw, err := hex.DecodeString(row)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := parsedIdentity(raw, new(zones)); err != nil || !reflect.DeepEqual(id, &tt.id) {
				t.Errorf("read as %+v, %v", id, err)
			}
			for cut := range raw {
				if id, err := parsedIdentity(raw[:cut], new(zones)); !errors.Is(err, ErrCorrupt) {
					t.Errorf("cut after %d bytes it is read as %+v, %v", cut, id, err)
				}
			}
			if _, err := parsedIdentity(append(raw, 0), new(zones)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("with a byte more: %v", err)
			}
		})
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	tests := []struct{ name, row string }{
		{"a later version", "03 00 00 00 00 00 00 00 00 00 00"},
		{"an unknown state", "02 03 00 00 00 00 00 00 00 00 00"},
		{"an unknown limit", "02 00 00 00 00 00 00 00 00 8020 01 00"},
		{"more models than bytes", "02 00 00 00 00 00 00 ffff03 00 00 00"},
		{"a number that never ends", "02 00 00 00 00 00 00 00 00 01 ffffffffffffffffff01 00"},
		{"an unknown period", "02 00 00 00 00 00 00 00 00 00 01 04 05 03 555443"},
		{"an unknown time zone", "02 00 00 00 00 00 00 00 00 00 01 00 05 03 585858"},
		{"the time zone of wherever it is", "02 00 00 00 00 00 00 00 00 00 01 00 05 05 4c6f63616c"},
		{"no time zone", "02 00 00 00 00 00 00 00 00 00 01 00 05 00"},
	}
	for _, tt := range tests {
		row, err := hex.DecodeString(strings.ReplaceAll(tt.row, " ", ""))
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if id, err := parsedIdentity(row, new(zones)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: read as %+v, %v", tt.name, id, err)
		}
	}
}

func drawIdentity(t *rapid.T) *abi.Identity {
	text := rapid.StringN(0, 10, 40)
	id := &abi.Identity{
		KeyID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Team: text.Draw(t, "team"), DefaultModel: text.Draw(t, "default"),
		State: rapid.SampledFrom([]abi.KeyState{abi.KeyActive, abi.KeyDisabled, abi.KeyRevoked}).Draw(t, "state"),
	}
	if rapid.Bool().Draw(t, "expires") {
		id.Expires = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	}
	if models := rapid.SliceOfN(text, 0, 4).Draw(t, "models"); len(models) > 0 {
		id.Models = models
	}
	for range rapid.IntRange(0, 3).Draw(t, "labels") {
		id.Labels = append(id.Labels, abi.Label{Name: text.Draw(t, "label"), Value: text.Draw(t, "value")})
	}
	for i := range id.Limits {
		id.Limits[i] = rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<62)).Draw(t, "limit")
	}
	for range rapid.IntRange(0, 3).Draw(t, "budgets") {
		zone, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York"}).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		id.Budgets = append(id.Budgets, abi.Budget{
			Amount: abi.NanoUSD(rapid.Int64Range(0, 1<<62).Draw(t, "amount")), Location: zone,
			Period: abi.Period(rapid.IntRange(0, int(abi.NumPeriods)-1).Draw(t, "period")),
		})
	}
	return id
}

func TestIdentityComesBack(t *testing.T) {
	z := new(zones)
	rapid.Check(t, func(t *rapid.T) {
		id := drawIdentity(t)
		got, err := parsedIdentity(appendIdentity(nil, id), z)
		if err != nil {
			t.Fatal(err)
		}
		for i := range id.Budgets { // of one zone there is one location here, and another elsewhere
			if got.Budgets[i].Zone() == id.Budgets[i].Zone() {
				got.Budgets[i].Location = id.Budgets[i].Location
			}
		}
		if !reflect.DeepEqual(got, id) {
			t.Fatalf("%+v came back as %+v", id, got)
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add(appendIdentity(nil, &abi.Identity{KeyID: "key_1", Name: "ci", Expires: time.Unix(1, 2)}))
	f.Add(appendIdentity(nil, &abi.Identity{Models: []string{"a"}, Labels: []abi.Label{{Name: "a"}}, Budgets: []abi.Budget{{Amount: 1}}}))
	f.Add([]byte("key_0123456789abcdef"))
	f.Fuzz(func(t *testing.T, row []byte) {
		id, err := parsedIdentity(row, new(zones))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := parsedIdentity(appendIdentity(nil, id), new(zones))
		for i := range id.Budgets {
			id.Budgets[i].Location, again.Budgets[i].Location = nil, nil
		}
		if err != nil || !reflect.DeepEqual(again, id) {
			t.Fatalf("%+v came back as %+v, %v", id, again, err)
		}
	})
}

// parsedIdentity is the identity of a row.
func parsedIdentity(row []byte, z *zones) (*abi.Identity, error) {
	e, err := parseEntry(row, z)
	if err != nil {
		return nil, err
	}
	return e.identity, nil
}
