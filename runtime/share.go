package runtime

import (
	"fmt"

	"github.com/sallyport-dev/sallyport/abi"
)

// everybody is the share of a policy that is asked about all callers.
const everybody = 100

func checkPercent(percent int) error {
	if percent < 0 || percent > everybody {
		return fmt.Errorf("percent is %d, but must be 1 to %d", percent, everybody)
	}
	return nil
}

// concerns reports whether the policy is asked about whoever sent the request.
func (b *binding) concerns(q question) bool {
	return b.percent == everybody || b.place(q) < b.percent
}

// place puts a caller into one of everybody's places, for this policy: two policies have shares of their own, not the
// same callers both.
//
// A caller is the key, by its id, so that all of its credentials and all hooks agree. At authenticate nobody has looked the
// key up yet; that is done here. A credential of no stored key is a caller of its own. It may be one of many that its
// holder can get, so a policy that keeps people out is to be a veto: by then the identity is known.
func (b *binding) place(q question) uint64 {
	h := newPlacing(b.name)
	switch q.hook {
	case abi.Authenticate:
		h = placeCredential(h, q)
	case abi.ChooseStep:
		h = placeIdentity(h, q.choice.Identity, q.choice.Request)
	default:
		h = placeIdentity(h, q.pricing.Identity, q.pricing.Request)
	}
	return h.mixed() % everybody
}

func placeCredential(h placing, q question) placing {
	a := q.authentication
	switch {
	case q.veto:
		return placeIdentity(h, a.Identity, a.Request)
	case a.Digest == (abi.Digest{}):
		return placeIdentity(h, nil, a.Request)
	}
	if a.Identities != nil {
		if identity, ok := a.Identities.Lookup(&a.Digest); ok {
			return placeIdentity(h, identity, a.Request)
		}
	}
	return addTo(h, a.Digest[:])
}

// placeIdentity takes the key's id or, where there is none, the address that the request came from.
func placeIdentity(h placing, identity *abi.Identity, request *abi.Request) placing {
	switch {
	case identity != nil:
		return addTo(h, identity.KeyID)
	case request != nil:
		return addTo(h, request.ClientAddress)
	default:
		return h
	}
}

// placing is a hash that is the same in every process: FNV-1a, whose low bits are then mixed with the high ones.
type placing uint64

func newPlacing(policy string) placing {
	const offset = 14695981039346656037
	return addTo(addTo(placing(offset), policy), "\x00")
}

func addTo[T string | []byte](h placing, text T) placing {
	const prime = 1099511628211
	for i := range len(text) {
		h = (h ^ placing(text[i])) * prime
	}
	return h
}

func (h placing) mixed() uint64 {
	n := uint64(h)
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}
