package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// verdict is what came of a question.
type verdict struct {
	hook     abi.Hook
	answer   abi.Answer
	identity *abi.Identity
	status   int
	code     string
	message  string
	step     int
	stop     bool
	cost     abi.NanoUSD
}

// verdictOf reads the verdict where the policies have left it.
func verdictOf(q question, answer abi.Answer) verdict {
	v := verdict{hook: q.hook, answer: answer}
	if answer != abi.Given {
		return v
	}
	switch q.hook {
	case abi.Authenticate:
		a := q.authentication
		v.identity, v.status, v.code, v.message = a.Identity, a.Status, a.Code, a.Message
	case abi.ChooseStep:
		v.step, v.stop = q.choice.Step, q.choice.Stop
		if v.stop {
			v.step = 0
		}
	default:
		v.cost = q.pricing.Cost
	}
	return v
}

// compare says what it would have changed if the policy had been asked in earnest. A veto that passes lets in who was
// allowed.
func compare(would, decided verdict, veto bool) ShadowResult {
	switch {
	case would.answer == abi.Failed:
		return ShadowFailed
	case would.answer == abi.NoVerdict && (decided.answer == abi.NoVerdict || veto && decided.identity != nil):
		return ShadowSame
	case would.answer == abi.NoVerdict:
		return ShadowPassed
	case would.equals(decided):
		return ShadowSame
	default:
		return ShadowDifferent
	}
}

func (v verdict) equals(o verdict) bool {
	if !sameIdentity(v.identity, o.identity) {
		return false
	}
	v.identity, o.identity = nil, nil
	return v == o
}

// String writes the verdict for the log. What of it a guest chose is quoted.
func (v verdict) String() string {
	switch {
	case v.answer == abi.NoVerdict:
		return "no verdict"
	case v.answer == abi.Failed:
		return "failed"
	case v.identity != nil:
		return fmt.Sprintf("allows %q", v.identity.KeyID)
	case v.hook == abi.Authenticate:
		return fmt.Sprintf("denies with %d %s %q", v.status, v.code, v.message)
	case v.stop:
		return "stops"
	case v.hook == abi.ChooseStep:
		return fmt.Sprintf("step %d", v.step)
	default:
		return "costs " + v.cost.String()
	}
}

// sameIdentity reports whether two identities are treated alike. Those that two policies made up differ in the policies'
// names, which say nothing.
func sameIdentity(a, b *abi.Identity) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return withoutPolicy(a.KeyID) == withoutPolicy(b.KeyID) && a.Name == b.Name && a.Team == b.Team && a.State == b.State &&
		a.Expires.Equal(b.Expires) && a.DefaultModel == b.DefaultModel && a.Limits == b.Limits &&
		slices.Equal(a.Models, b.Models) && slices.Equal(a.Labels, b.Labels) && slices.EqualFunc(a.Budgets, b.Budgets, sameBudget)
}

func sameBudget(a, b abi.Budget) bool {
	return a.Amount == b.Amount && a.Period == b.Period && a.Zone() == b.Zone()
}

// ownPrefix begins the ids of identities that policies made up.
const ownPrefix = "policy:"

func withoutPolicy(keyID string) string {
	if rest, ok := strings.CutPrefix(keyID, ownPrefix); ok {
		if _, id, found := strings.Cut(rest, "/"); found {
			return ownPrefix + id
		}
	}
	return keyID
}
