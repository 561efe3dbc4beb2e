package main

import (
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
)

// findKey lets in who has a stored key that is in order. It passes on credentials that it does not know, so that a
// team's own authenticator can follow it; but one that was meant to be ours and is mistyped is known to fit nowhere,
// and whoever typed it is told.
func findKey(a *sallyport.Authentication) sallyport.Verdict {
	key, found, err := a.Lookup() // nothing is found where there is no credential
	switch {
	case err != nil:
		return sallyport.Fail(err)
	case found:
		return admit(a, key)
	case a.Shape() == sallyport.CredentialMistyped:
		return a.Deny(401, "The key is mistyped: its checksum does not fit.")
	default:
		return sallyport.Pass
	}
}

func admit(a *sallyport.Authentication, key sallyport.StoredKey) sallyport.Verdict {
	switch key.State() {
	case sallyport.KeyActive:
	case sallyport.KeyDisabled:
		return a.DenyWithCode(403, "key_disabled", "The key is disabled.")
	case sallyport.KeyRevoked:
		return a.DenyWithCode(401, "key_revoked", "The key is revoked.")
	default: // a state that a newer gateway has: whatever it means, it is not active
		return a.Deny(401, "The key is not active.")
	}
	if key.Expired() {
		return a.DenyWithCode(401, "key_expired", "The key expired at "+key.Expires().UTC().Format(time.RFC3339)+".")
	}
	return a.Allow(key)
}
