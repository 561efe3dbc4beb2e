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

// StoredKey is a key of the gateway's store, as Lookup found it. Its fields are those of the latest Lookup.
type StoredKey struct {
	Identity
	handle int64
}

// Lookup finds the key that the request's credential belongs to. It needs the grant "identities: read"; without it the
// error wraps NotGranted. The key may be disabled, revoked or expired: State and Expires say so.
func (*Authentication) Lookup() (key StoredKey, found bool, err error) {
	digest := text(abi.FieldCredentialDigest)
	if digest == nil {
		return StoredKey{}, false, nil
	}
	switch handle := host.IdentityLookup(digest); {
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
	ID      string    // required; the gateway calls it policy:<policy's name>/<ID>
	Name    string    // for people, records and metrics; default: ID
	Team    string    // default: none
	Models  []string  // at most 64 aliases and chains, exact or "prefix*"; default: all
	Expires time.Time // default: never
}

// AllowAs lets the request in as an identity of the policy's own.
func (*Authentication) AllowAs(who PolicyIdentity) Verdict {
	texts := [...]struct {
		field abi.Field
		value string
	}{{abi.FieldAllowID, who.ID}, {abi.FieldAllowName, who.Name}, {abi.FieldAllowTeam, who.Team}}
	for _, t := range texts {
		if t.value == "" && t.field != abi.FieldAllowID {
			continue
		}
		if v := verdict(t.field, host.Set(t.field, 0, t.value)); v != given {
			return v
		}
	}
	for i, model := range who.Models {
		if v := verdict(abi.FieldAllowModels, host.Set(abi.FieldAllowModels, int32(i), model)); v != given {
			return v
		}
	}
	if who.Expires.IsZero() {
		return given
	}
	return verdict(abi.FieldAllowExpires, host.SetInt(abi.FieldAllowExpires, who.Expires.UnixMilli()))
}

// Deny refuses the request with an HTTP status, 400 to 499 or 503, and tells the client why: up to 512 bytes, printable.
// Without a message the gateway finds a sentence.
func (*Authentication) Deny(status int, message string) Verdict {
	if v := verdict(abi.FieldDenyStatus, host.SetInt(abi.FieldDenyStatus, int64(status))); v != given || message == "" {
		return v
	}
	return verdict(abi.FieldDenyMessage, host.Set(abi.FieldDenyMessage, 0, message))
}
