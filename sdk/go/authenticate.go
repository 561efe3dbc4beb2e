package sallyport

import (
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// Authentication is one question of the hook authenticate: a request that nobody has vouched for yet or, for a policy
// with a veto, one that another policy let in.
type Authentication struct{ Request }

// Shape is what can be said of the credential from its characters.
func (*Authentication) Shape() CredentialShape {
	return CredentialShape(number(abi.FieldCredentialShape))
}

// Credential is the credential itself, without "Bearer ", nil if the request has none. It needs the grant
// "credential"; without it the error wraps NotGranted.
func (*Authentication) Credential() ([]byte, error) {
	return answers.element(abi.FieldCredential, 0)
}

// credentialDigest is what Lookup reads it to. As answers, it serves one call at a time.
var credentialDigest [32]byte

// StoredKey is a key of the gateway's store, as Lookup found it. Its fields are those of the latest Lookup.
type StoredKey struct {
	Identity
	handle int64
}

// Lookup finds the key that the request's credential belongs to. It needs the grant "identities: read"; without it the
// error wraps NotGranted. The key may be disabled, revoked or expired: State and Expires say so.
func (*Authentication) Lookup() (key StoredKey, found bool, err error) {
	digest := &credentialDigest
	if host.Get(abi.FieldCredentialDigest, 0, digest[:]) < 0 {
		return StoredKey{}, false, nil // there is no credential
	}
	switch handle := host.IdentityLookup(digest[:]); {
	case handle > 0:
		return StoredKey{handle: int64(handle)}, true, nil
	case handle == int32(NotFound):
		return StoredKey{}, false, nil
	default:
		return StoredKey{}, false, check("identity_lookup", handle)
	}
}

// Allowed is whom another policy let in, and false if nobody did yet. Only a policy with a veto is asked then, and may
// deny or pass. Ask before Lookup, which shows the key that it found in the same place.
func (*Authentication) Allowed() (Identity, bool) {
	return Identity{}, text(abi.FieldIdentityKeyID) != nil
}

// Allow lets the request in as the stored key.
func (*Authentication) Allow(key StoredKey) Verdict {
	return verdict(abi.FieldAllowHandle, host.SetInt(abi.FieldAllowHandle, key.handle))
}

// PolicyIdentity is an identity that exists in no store, but in a policy's verdict. Texts are printable and at most
// 128 bytes long.
type PolicyIdentity struct {
	ID           string    // required; the gateway calls it policy:<policy's name>/<ID>, and counts limits and budgets by that
	Name         string    // for people, records and metrics; default: ID
	Team         string    // default: none
	Models       []string  // at most 64 aliases and chains, exact or "prefix*"; default: all
	DefaultModel string    // for requests that name none; default: none
	Expires      time.Time // default: never
	Labels       []Label   // at most 16, for reports
	Limits       Limits    // default: none
	Budgets      []Budget  // at most 8, no two of the same period and time zone; default: none
}

// Label is a name and a value for reports: 128 bytes with the = between them.
type Label struct{ Name, Value string }

// Limits has a bound for each Limit, 0 for none: Limits{RequestsPerMinute: 60}.
type Limits [NumLimits]int64

// Budget is how much may be spent in a period.
type Budget struct {
	Amount   NanoUSD
	Period   Period
	Timezone string // whose midnights count, as "Europe/Berlin"; default: UTC
}

// AllowAs lets the request in as an identity of the policy's own.
func (*Authentication) AllowAs(who PolicyIdentity) Verdict {
	w := writer{verdict: verdict(abi.FieldAllowID, host.Set(abi.FieldAllowID, 0, who.ID))}
	w.text(abi.FieldAllowName, who.Name)
	w.text(abi.FieldAllowTeam, who.Team)
	w.text(abi.FieldAllowDefaultModel, who.DefaultModel)
	for i, model := range who.Models {
		w.element(abi.FieldAllowModels, i, model)
	}
	for i, label := range who.Labels {
		w.element(abi.FieldAllowLabels, i, label.Name+"="+label.Value)
	}
	if !who.Expires.IsZero() {
		w.number(abi.FieldAllowExpires, 0, who.Expires.UnixMilli())
	}
	for limit, most := range who.Limits {
		if most != 0 { // an older host knows fewer limits
			w.number(abi.FieldAllowLimits, limit, most)
		}
	}
	w.budgets(who.Budgets)
	return w.verdict
}

// Deny refuses the request with an HTTP status, 400 to 499 or 503, and tells the client why: up to 512 bytes, printable.
// Without a message the gateway finds a sentence.
func (*Authentication) Deny(status int, message string) Verdict {
	w := writer{verdict: verdict(abi.FieldDenyStatus, host.SetInt(abi.FieldDenyStatus, int64(status)))}
	w.text(abi.FieldDenyMessage, message)
	return w.verdict
}

// DenyWithCode is Deny with a code by which programs know the reason: 1 to 64 of a to z, 0 to 9 and _.
func (a *Authentication) DenyWithCode(status int, code, message string) Verdict {
	w := writer{verdict: a.Deny(status, message)}
	w.element(abi.FieldDenyCode, 0, code)
	return w.verdict
}

// writer sets one output after the other, until the host refuses one.
type writer struct{ verdict Verdict }

// text sets a text, unless it is empty: then the default holds.
func (w *writer) text(field abi.Field, value string) {
	if value != "" {
		w.element(field, 0, value)
	}
}

func (w *writer) element(field abi.Field, index int, value string) {
	if w.verdict == given {
		w.verdict = verdict(field, host.Set(field, int32(index), value))
	}
}

func (w *writer) number(field abi.Field, index int, value int64) {
	if w.verdict == given {
		w.verdict = verdict(field, host.SetElement(field, int32(index), value))
	}
}

// budgets sets the three lists that budgets consist of. An element may not stand beyond the end of its list: what an
// earlier budget leaves to the default is spelt out.
func (w *writer) budgets(budgets []Budget) {
	for i, b := range budgets {
		w.number(abi.FieldAllowBudgetAmount, i, int64(b.Amount))
		w.number(abi.FieldAllowBudgetPeriod, i, int64(b.Period))
		if b.Timezone == "" {
			b.Timezone = "UTC"
		}
		w.element(abi.FieldAllowBudgetTimezone, i, b.Timezone)
	}
}
