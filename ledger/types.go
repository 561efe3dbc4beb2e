package ledger

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Kind says what an account belongs to.
type Kind uint8

// The kinds. Their numbers are on the disk: new ones are appended.
const (
	KeyAccount Kind = iota
	TeamAccount
	ModelAccount // an alias or a chain, over all its callers
	numKinds
)

var kindNames = [numKinds]string{"key", "team", "model"}

// String returns the kind's name.
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return "unknown"
}

// Account names whose limits and budgets are counted: "key/key_0123456789abcdef", "team/research", "model/coding".
type Account struct {
	Kind Kind
	ID   string // a key's id, a team's name, the name of an alias or chain
}

// String returns the account's name, as in rows, exports and the admin API.
func (a Account) String() string { return a.Kind.String() + "/" + a.ID }

// Level is one of those that a request counts against, with what bounds it: its key, its team and the teams above,
// its model. Nothing in it is changed, and it may be shared.
type Level struct {
	Account Account
	Name    string      // for people: the key's name, else the account's id
	Limits  *abi.Limits // nil: none
	Budgets []abi.Budget
}

// State says how far an attempt's entry has come.
type State uint8

// The states.
const (
	StateOpen    State = iota // reserved, not settled
	StateSettled              // its cost is booked
	numStates
)

var stateNames = [numStates]string{"open", "settled"}

// String returns the state's name.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "unknown"
}

// Basis says what the booked cost of an attempt rests on. Their numbers are on the disk: new ones are appended.
type Basis uint8

// The bases.
const (
	Pending       Basis = iota // not settled yet
	Authoritative              // the usage that the provider reported
	Estimated                  // the answer came whole, without usage: the estimated input and what was relayed
	Interrupted                // the answer was cut, or the client left: what was relayed until then
	Ambiguous                  // the request was lost after it had been sent: the provider may have billed it
	Unbilled                   // provably not accepted, or rejected: nothing
	Crashed                    // the gateway ended before it was settled
	numBases
)

var basisNames = [numBases]string{"pending", "authoritative", "estimated", "interrupted", "ambiguous", "unbilled", "crashed"}

// String returns the basis's name, as in records and exports.
func (b Basis) String() string {
	if b < numBases {
		return basisNames[b]
	}
	return "unknown"
}

// Flags mark what is remarkable about an entry. Their bits are on the disk: new ones are appended.
type Flags uint8

// The flags.
const (
	Overrun  Flags = 1 << iota // it cost more than was reserved
	Unpriced                   // there is no price for the model: it is booked with nothing
)

var flagNames = [...]string{"overrun", "unpriced"}

// Names returns the names of the flags that are set.
func (f Flags) Names() []string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Entry is one attempt as the journal has it.
type Entry struct {
	ID            string // of the request
	Attempt       int    // 1 for the request's first
	Time          time.Time
	KeyID         string
	Key           string // name
	Team          string
	Model         string // the alias or chain that the client named
	Provider      string
	ProviderModel string
	State         State
	Basis         Basis
	Flags         Flags
	Reserved      abi.NanoUSD
	Input         abi.NanoUSD // of Reserved, for the input
	Cost          abi.NanoUSD // booked; 0 while open
	Usage         abi.Usage
	Settled       time.Time // zero while open
}

// Total is what was used on one day (UTC) by one key with one model, or a sum of such figures. Fields that were
// summed over are empty.
type Total struct {
	Day      string // "2026-11-21"
	KeyID    string
	Key      string
	Team     string
	Model    string
	Attempts int64
	Usage    abi.Usage // Usage[abi.Requests] counts the answers that were billed
	Cost     abi.NanoUSD
}

// Balance is where one budget of an account stands.
type Balance struct {
	Account  Account
	Period   abi.Period
	Zone     string
	Start    time.Time // of the present period
	End      time.Time // when the budget begins anew; zero: never
	Limit    abi.NanoUSD
	Spent    abi.NanoUSD
	Reserved abi.NanoUSD
}

// Left is what may still be reserved. It is negative after an overrun.
func (b *Balance) Left() abi.NanoUSD { return b.Limit - b.Spent - b.Reserved }

// Verification is the outcome of comparing the journal with the balances.
type Verification struct {
	Segments int64
	Entries  int64 // settled ones
	Open     int64
	Windows  int64    // balances that were compared
	Partial  int64    // of Windows, those that reach back beyond the journal: compared as at least
	Problems []string // empty: all is well
}
