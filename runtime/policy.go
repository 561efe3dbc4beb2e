package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Policy is one guest as the operator configured it.
type Policy struct {
	Name   string
	Wasm   []byte     // the module; not kept after Load
	Hooks  []abi.Hook // where it is asked; empty: every hook that the module exports
	Veto   bool       // at authenticate it is asked after an allow, and may only deny or pass
	Config []byte     // what the config host function answers; nil if there is none
	Script []byte     // what the script host function answers: the source text that the module runs; nil if there is none
	Limits Limits
	Grants Grants

	// Shadow has the policy asked beside the others, about copies and later than they: what it answers is compared with
	// what was decided, told to Options.Shadows, and changes nothing.
	Shadow bool
	// Percent is the share of callers that the policy is asked about, 1 to 100; 0 means all. For the others it is as if
	// the policy were not there. Which caller belongs to the share is always the same, and a larger share has those of a
	// smaller one in it.
	Percent int
	// Inputs names the fields that a message of the portable tier is to have, beside those that are granted; nil: all.
	Inputs []string
}

// Limits bound one call of a guest. Zero values mean the defaults.
type Limits struct {
	Fuel   int64         // units of fuel per hook call; default DefaultFuel
	Time   time.Duration // how long a call may take as seen by host functions, within 15 ms, and wait for an instance; default DefaultTime
	Memory int64         // bytes of linear memory per instance, rounded down to 64 KiB pages; default DefaultMemory
}

// The limits that hold where policies.yaml states none.
const (
	DefaultFuel   = 10_000_000
	DefaultTime   = 100 * time.Millisecond
	DefaultMemory = 16 << 20
)

// Bounds that no policy can change.
const (
	// initFuel and initTime bound what an instance does before its first hook: the start section, _initialize and
	// configure. The runtime of a Go guest uses some millions of units to come up.
	initFuel = 100_000_000
	initTime = 5 * time.Second

	pageSize  = 64 << 10
	maxMemory = 4 << 30
)

// Grants is what a policy may do beyond reading the ordinary fields.
type Grants struct {
	Identities bool     // identity_lookup
	KV         bool     // the functions that keep state, in a namespace of the policy's own
	Inputs     []string // names of fields that need a grant: "credential", "request.headers.x-team"
}

// withDefaults fills in what the operator left out.
func (l Limits) withDefaults() Limits {
	if l.Fuel == 0 {
		l.Fuel = DefaultFuel
	}
	if l.Time == 0 {
		l.Time = DefaultTime
	}
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	return l
}

func (l Limits) check() error {
	var errs []error
	if l.Fuel < 0 {
		errs = append(errs, fmt.Errorf("limits.fuel is %d, but must be positive", l.Fuel))
	}
	if l.Time < 0 {
		errs = append(errs, fmt.Errorf("limits.time is %s, but must be positive", l.Time))
	}
	if l.Memory < pageSize || l.Memory > maxMemory {
		errs = append(errs, fmt.Errorf("limits.memory is %d bytes, but must be 64 KiB to 4 GiB", l.Memory))
	}
	return errors.Join(errs...)
}

// grants is Grants as host functions check it.
type grants struct {
	identities bool
	kv         bool
	fields     []abi.FieldID // sorted; fields that are granted as a whole
	named      []namedGrant
}

// namedGrant is one element of a field that is found by name.
type namedGrant struct {
	field abi.FieldID
	name  string
}

// compile looks the granted inputs up in the contract. Granting what needs no grant is an error too: it would make
// the operator believe that the other fields are withheld.
func (g Grants) compile() (grants, error) {
	out := grants{identities: g.Identities, kv: g.KV}
	var errs []error
	for _, input := range g.Inputs {
		field, name, ok := findGranted(input)
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("grants.inputs: %q is not an input that needs a grant", input))
		case name != "":
			out.named = append(out.named, namedGrant{field, name})
		default:
			out.fields = append(out.fields, field)
		}
	}
	slices.Sort(out.fields)
	return out, errors.Join(errs...)
}

func findGranted(input string) (field abi.FieldID, name string, ok bool) {
	for _, f := range abi.Fields() {
		if !f.Grant {
			continue
		}
		if f.Kind != abi.Named {
			if input == f.Name {
				return f.ID, "", true
			}
			continue
		}
		if rest, found := strings.CutPrefix(input, f.Name+"."); found && rest != "" {
			return f.ID, strings.ToLower(rest), true
		}
	}
	return 0, "", false
}

// PolicyInfo describes a loaded policy for people and the admin API.
type PolicyInfo struct {
	Name      string
	Digest    string // SHA-256 of the module as it was given, in hexadecimal
	Size      int    // of that module, in bytes
	Hooks     []abi.Hook
	Veto      bool
	Shadow    bool
	Percent   int    // of callers; 100: all
	Limits    Limits // with the defaults filled in
	Grants    Grants
	Stubbed   []string // functions it imports that this host does not serve: they answer NOT_SUPPORTED, or 0 in ModuleExtism
	Instances int      // alive now
}
