package abi

import "time"

// Limit is one thing of which an identity, a team or a model may have only so much.
type Limit uint8

// The limits. New ones are appended: a guest names them by number.
const (
	RequestsPerMinute Limit = iota
	RequestsPerHour
	RequestsPerDay
	TokensPerMinute // input and output together
	TokensPerDay
	InputTokensPerMinute
	InputTokensPerDay
	OutputTokensPerMinute
	OutputTokensPerDay
	Concurrent      // requests at one time
	MaxInputTokens  // of one request, as estimated before it is sent
	MaxOutputTokens // of one request: what it may ask for
	NumLimits
)

var limitNames = [NumLimits]string{
	"rpm", "rph", "rpd", "tpm", "tpd", "input_tpm", "input_tpd", "output_tpm", "output_tpd",
	"concurrent", "max_input_tokens", "max_output_tokens",
}

// String returns the limit's name, as in policies.yaml, the admin API and the command line.
func (l Limit) String() string {
	if l < NumLimits {
		return limitNames[l]
	}
	return "unknown"
}

// ParseLimit finds a limit by its name.
func ParseLimit(name string) (Limit, bool) {
	for l, n := range limitNames {
		if n == name {
			return Limit(l), true
		}
	}
	return NumLimits, false
}

// Limits holds a bound for each limit. 0 is none: whoever may have nothing is disabled, not limited.
type Limits [NumLimits]int64

// Period is how long a budget lasts before it begins anew.
type Period uint8

// The periods. New ones are appended.
const (
	PerDay   Period = iota // from midnight
	PerWeek                // from midnight before Monday
	PerMonth               // from midnight before the first
	InTotal                // never anew
	NumPeriods
)

var periodNames = [NumPeriods]string{"day", "week", "month", "total"}

// String returns the period's name, as in policies.yaml, the admin API and the command line.
func (p Period) String() string {
	if p < NumPeriods {
		return periodNames[p]
	}
	return "unknown"
}

// ParsePeriod finds a period by its name.
func ParsePeriod(name string) (Period, bool) {
	for p, n := range periodNames {
		if n == name {
			return Period(p), true
		}
	}
	return NumPeriods, false
}

// Budget is how much money may be spent in each period.
type Budget struct {
	Amount   NanoUSD
	Period   Period
	Location *time.Location // whose midnights count; nil: UTC
}

// Zone returns the name of the budget's time zone.
func (b *Budget) Zone() string {
	if b.Location == nil {
		return time.UTC.String()
	}
	return b.Location.String()
}

// Label is a name and a value that the operator put on a key or a team, for reports.
type Label struct{ Name, Value string }

// Team is a group of keys, or of teams, with what they share. It is immutable once it has been handed out.
type Team struct {
	Name    string
	Parent  string   // the team that this one belongs to; "" for none
	State   KeyState // all keys of a disabled or revoked team are refused
	Models  []string // what its keys may use, as Identity.Models; empty: all
	Labels  []Label
	Limits  Limits   // shared by all its keys
	Budgets []Budget // shared by all its keys
}
