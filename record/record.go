// Package record is the one record that every exchange leaves: its type, its encoding, and its rendering for people.
//
// It imports abi only. The gateway writes records, state keeps them, admin counts and serves them.
package record

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Outcome says how an exchange ended. The set is closed: it is a metric label.
type Outcome uint8

// The outcomes.
const (
	Served        Outcome = iota // the client got the provider's whole answer, a provider's 4xx included
	Refused                      // the gateway said no: bad request, bad credential, policy
	UpstreamError                // no provider answered usefully
	Interrupted                  // the answer began and was cut by the provider
	ClientGone                   // the client left before the end
	Broken                       // the gateway itself failed
	NumOutcomes
)

var outcomeNames = [NumOutcomes]string{"served", "refused", "upstream_error", "interrupted", "client_gone", "broken"}

// String returns the outcome's name, as in JSON and metrics.
func (o Outcome) String() string {
	if o < NumOutcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// Record is what is kept of one exchange. No bodies, no credentials. Strings may be shared with the snapshot; a
// Record handed to a sink is valid only during the call.
type Record struct {
	ID            string
	Time          time.Time // when the request was read
	KeyID         string
	Key           string // name
	Team          string
	ClientAddress string
	Format        string
	Operation     string
	Model         string // as the client named it, cut at 128 bytes
	Chain         string // the chain or alias it resolved to; "" if none
	Stream        bool
	Attempts      []Attempt
	Provider      string // that answered; "" if none did
	ProviderModel string
	Status        int // as the client saw it; 499 if it left before there was one
	Outcome       Outcome
	Error         string // stable code of the gateway's refusal or failure; "" if none
	Cause         string // what the log says of it, without secrets; "" if none
	Usage         abi.Usage
	UsageSource   UsageSource
	Priced        bool        // Cost is known
	Cost          abi.NanoUSD // of the answer
	Booked        abi.NanoUSD // by the ledger for all attempts together
	Overrun       bool        // an attempt cost more than was reserved for it
	Unbooked      bool        // an attempt passed while the ledger could not be written
	Malformed     int         // events that nobody could read, and that the client was not sent
	Breakdown     [abi.NumDimensions]abi.NanoUSD
	Policies      [abi.NumHooks]string // which policy decided at each hook; "" if none did
	FirstByte     time.Duration        // from Time to the first byte to the client; 0 if none was sent
	Duration      time.Duration        // from Time to the end
	Upstream      time.Duration        // of Duration, spent waiting for providers
}

// Attempt is one upstream try.
type Attempt struct {
	Step     string // alias
	Provider string
	Model    string         // the provider's name of it
	Reason   string         // why the step was chosen, in the policy's words; "" if it said nothing
	Class    abi.ErrorClass // NoError: it answered
	Status   int            // the provider's; 0 without an answer
	Error    string         // short cause in the gateway's words; "" if it answered well
	Reserved abi.NanoUSD    // for it, before it left
	Cost     abi.NanoUSD    // booked for it
	Basis    string         // what Cost rests on, as the ledger calls it; "" if nothing was reserved
	Start    time.Duration  // after Record.Time
	Duration time.Duration

	Credential int // which of the provider's, from 0
}

// UsageSource says where the usage figures come from.
type UsageSource uint8

// The sources.
const (
	NoUsage       UsageSource = iota // nothing was used, or nothing is known
	Authoritative                    // the provider said so
	UsageUntilCut                    // what had been relayed when the answer was cut, or the client left
	Estimated                        // of a whole answer that came without figures
	NumUsageSources
)

var sourceNames = [NumUsageSources]string{"none", "authoritative", "interrupted", "estimated"}

// String returns the source's name.
func (s UsageSource) String() string {
	if s < NumUsageSources {
		return sourceNames[s]
	}
	return "unknown"
}
