package conformance_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

const testdata = "../../abi/testdata"

// caseFiles are the golden cases by the hook that they are about. The README beside them says what the members mean.
var caseFiles = []struct {
	file string
	hook abi.Hook
}{
	{"authenticate.json", abi.Authenticate},
	{"host.json", abi.Authenticate},
	{"state.json", abi.Authenticate},
	{"choose_step.json", abi.ChooseStep},
	{"price_response.json", abi.PriceResponse},
}

type golden struct {
	hook abi.Hook

	Name         string              `json:"name"`
	Task         string              `json:"task"`
	Since        int                 `json:"since"` // the oldest version whose kept guests know the task; 0: every
	Request      request             `json:"request"`
	HeadersTimes int                 `json:"headers_times"`
	Identity     *identity           `json:"identity"`
	Credential   string              `json:"credential"`
	Shape        abi.CredentialShape `json:"shape"`
	Keys         map[string]identity `json:"keys"`
	Ungranted    bool                `json:"ungranted"`
	Veto         bool                `json:"veto"`

	State       map[string]string `json:"state"`
	StateCount  int               `json:"state_count"`
	Unavailable bool              `json:"unavailable"`

	Chain     string         `json:"chain"`
	Attempt   int64          `json:"attempt"`
	LastError abi.ErrorClass `json:"last_error"`
	LastStep  int64          `json:"last_step"`
	Steps     []step         `json:"steps"`
	Strategy  string         `json:"strategy"`
	Affinity  *int64         `json:"affinity"`

	Phase         abi.PricePhase `json:"phase"`
	Provider      string         `json:"provider"`
	ProviderModel string         `json:"provider_model"`
	Usage         abi.Usage      `json:"usage"`
	Price         *abi.PriceRow  `json:"price"`

	Want want `json:"want"`
}

type request struct {
	ID            string            `json:"id"`
	Method        string            `json:"method"`
	Path          string            `json:"path"`
	Format        string            `json:"format"`
	Operation     string            `json:"operation"`
	ClientAddress string            `json:"client_address"`
	Stream        bool              `json:"stream"`
	Headers       map[string]string `json:"headers"`
}

// step is a step of a chain, how it does, and how often it was tried.
type step struct {
	Model    string `json:"model"`
	Provider string `json:"provider"`
	Priority int64  `json:"priority"`
	Weight   int64  `json:"weight"`
	Tries    int64  `json:"tries"`

	Available *bool          `json:"available"` // nil: if it was not tried
	Health    abi.StepHealth `json:"health"`
	Cooldown  int64          `json:"cooldown"` // milliseconds
	Latency   int64          `json:"latency"`  // microseconds
	Active    int64          `json:"active"`
	Context   int64          `json:"context"`
	Price     *abi.PriceRow  `json:"price"`
}

// identity is an abi.Identity as the cases write it.
type identity struct {
	KeyID        string           `json:"key_id"`
	Name         string           `json:"name,omitempty"`
	Team         string           `json:"team,omitempty"`
	State        abi.KeyState     `json:"state,omitempty"`
	Expires      int64            `json:"expires,omitempty"`
	Models       []string         `json:"models,omitempty"`
	DefaultModel string           `json:"default_model,omitempty"`
	Labels       []string         `json:"labels,omitempty"`
	Limits       map[string]int64 `json:"limits,omitempty"`
	Budgets      []budget         `json:"budgets,omitempty"`
}

type budget struct {
	Amount   abi.NanoUSD `json:"nano_usd"`
	Per      string      `json:"per"`
	Timezone string      `json:"timezone"`
}

type want struct {
	Answer    string    `json:"answer"`
	Log       []string  `json:"log"`
	LogBegins []string  `json:"log_begins"`
	Identity  *identity `json:"identity"`
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Message   string    `json:"message"`
	Step      int       `json:"step"`
	Stop      bool      `json:"stop"`
	Reason    string    `json:"reason"`
	Cost      int64     `json:"cost"`
	Breakdown []int64   `json:"breakdown"`

	State   map[string]string `json:"state"`
	Windows []string          `json:"windows"`
	Metrics map[string]int64  `json:"metrics"`
}

// readCases reads every golden case.
func readCases(t testing.TB) []golden {
	t.Helper()
	var all []golden
	for _, f := range caseFiles {
		text, err := os.ReadFile(filepath.Join(testdata, "conformance", f.file))
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		var cases []golden
		if err := decoder.Decode(&cases); err != nil {
			t.Fatalf("%s: %v", f.file, err)
		}
		for _, c := range cases {
			c.hook = f.hook
			all = append(all, c)
		}
	}
	return all
}

// asked is the request that every hook sees.
func (c *golden) asked() *abi.Request {
	r := c.Request
	return &abi.Request{
		ID: []byte(r.ID), Method: []byte(r.Method), Path: []byte(r.Path), Format: r.Format, Operation: r.Operation,
		ClientAddress: []byte(r.ClientAddress), Model: []byte(c.Task), Stream: r.Stream, Headers: c,
	}
}

// Header finds a header of the case.
func (c *golden) Header(name string) ([]byte, bool) {
	value, ok := c.Request.Headers[name]
	return []byte(strings.Repeat(value, max(c.HeadersTimes, 1))), ok
}

// Lookup finds a key of the case.
func (c *golden) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	for credential, key := range c.Keys {
		if digestOf(credential) == *digest {
			return key.decode(), true
		}
	}
	return nil, false
}

var (
	_ abi.Headers    = (*golden)(nil)
	_ abi.Identities = (*golden)(nil)
)

// digestOf stands for the gateway's keyed digest: guests only hand it on.
func digestOf(credential string) abi.Digest {
	if credential == "" {
		return abi.Digest{}
	}
	return sha256.Sum256([]byte(credential))
}

func (i *identity) decode() *abi.Identity {
	if i == nil {
		return nil
	}
	out := &abi.Identity{KeyID: i.KeyID, Name: i.Name, Team: i.Team, State: i.State, Models: i.Models, DefaultModel: i.DefaultModel}
	if i.Expires != 0 {
		out.Expires = time.UnixMilli(i.Expires)
	}
	for _, label := range i.Labels {
		name, value, _ := strings.Cut(label, "=")
		out.Labels = append(out.Labels, abi.Label{Name: name, Value: value})
	}
	for name, most := range i.Limits {
		if limit, ok := abi.ParseLimit(name); ok {
			out.Limits[limit] = most
		}
	}
	return out
}

func encode(i *abi.Identity) *identity {
	if i == nil {
		return nil
	}
	out := &identity{KeyID: i.KeyID, Name: i.Name, Team: i.Team, State: i.State, Models: i.Models, DefaultModel: i.DefaultModel}
	if !i.Expires.IsZero() {
		out.Expires = i.Expires.UnixMilli()
	}
	for _, label := range i.Labels {
		out.Labels = append(out.Labels, label.Name+"="+label.Value)
	}
	for limit, most := range i.Limits {
		if most == 0 {
			continue
		}
		if out.Limits == nil {
			out.Limits = map[string]int64{}
		}
		out.Limits[abi.Limit(limit).String()] = most
	}
	for _, b := range i.Budgets {
		out.Budgets = append(out.Budgets, budget{b.Amount, b.Period.String(), b.Zone()})
	}
	return out
}
