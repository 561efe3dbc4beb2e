package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// admit resolves the model that the client named, checks that this identity may use it here, and counts the request
// against the limits of its key, its teams and the model. A name that the identity may not use and one that does not
// exist get different answers only where the name exists.
func (x *exchange) admit() *refusal {
	if no := x.standing(); no != nil {
		return no
	}
	if no := x.resolve(); no != nil {
		return no
	}
	return x.count()
}

// standing checks that the key and its teams are in force, and finds the levels that the request counts against. A
// policy may let in whom it likes; whom the operator has shut out it cannot let in again.
func (x *exchange) standing() *refusal {
	id := x.auth.Identity
	switch {
	case id.State == abi.KeyRevoked:
		return denied(401, formats.CodeKeyRevoked, "This key is revoked.")
	case id.State != abi.KeyActive:
		return denied(403, formats.CodeKeyDisabled, "This key is disabled.")
	case !id.Expires.IsZero() && !x.start.Before(id.Expires):
		return denied(401, formats.CodeKeyExpired, "This key has expired.")
	}
	x.level(ledger.KeyAccount, id.KeyID, id.Name, &id.Limits, id.Budgets)
	for name := id.Team; name != ""; {
		team, ok := x.snapshot.Identities.Team(name)
		switch {
		case !ok && name == id.Team && strings.HasPrefix(id.KeyID, policyIdentity):
			return nil // a policy may put its callers into teams that exist nowhere else: they are labels
		case !ok:
			return denied(403, formats.CodeTeamUnknown, "The team "+quote([]byte(name))+" of this key does not exist any more.")
		case team.State != abi.KeyActive:
			return denied(403, formats.CodeTeamDisabled, "The team "+quote([]byte(name))+" is disabled.")
		case len(x.admission.Levels) > maxLevels:
			return broken(fmt.Errorf("team %q has more than %d teams above it", id.Team, maxLevels))
		}
		x.teams = append(x.teams, team)
		x.level(ledger.TeamAccount, team.Name, team.Name, &team.Limits, team.Budgets)
		name = team.Parent
	}
	return nil
}

const (
	policyIdentity = "policy:" // begins the key id of identities that policies make up
	maxLevels      = 16        // more teams above each other are a circle
)

func (x *exchange) level(kind ledger.Kind, id, name string, limits *abi.Limits, budgets []abi.Budget) {
	x.admission.Levels = append(x.admission.Levels, ledger.Level{
		Account: ledger.Account{Kind: kind, ID: id}, Name: name, Limits: limits, Budgets: budgets,
	})
}

// resolve finds the chain that the model stands for. Where the request names none, the identity's own is meant.
func (x *exchange) resolve() *refusal {
	if len(x.facts.Model) == 0 {
		if x.auth.Identity.DefaultModel == "" {
			return bad(formats.Refuse(formats.CodeModelMissing, "model", `The body has no "model", and this key has no default one.`))
		}
		x.facts.Model = []byte(x.auth.Identity.DefaultModel)
	}
	chain, ok := x.snapshot.Config.Chains[string(x.facts.Model)]
	switch {
	case !ok:
		return bad(&formats.Error{Status: 404, Code: formats.CodeModelNotFound, Param: "model", NoRetry: true,
			Message: "There is no model " + quote(x.facts.Model) + " here. GET " + listPath[x.route.Format] + " lists those that there are."})
	case !x.mayUse(chain.Name):
		return denied(403, formats.CodeModelNotAllowed, "This key may not use the model "+quote(x.facts.Model)+".")
	case chain.Format != x.route.Format:
		return bad(&formats.Error{Status: 400, Code: formats.CodeWrongFormat, Param: "model",
			Message: "The model " + quote(x.facts.Model) + " speaks the " + chain.Format.String() + " format; this endpoint speaks " + x.route.Format.String() + "."})
	}
	x.chain = chain
	x.record.Chain = chain.Name
	x.level(ledger.ModelAccount, chain.Name, chain.Name, &chain.Limits, nil)
	return nil
}

// listPath is where each format lists its models.
var listPath = [formats.NumFormats]string{
	formats.OpenAI:    "/v1/models",
	formats.Anthropic: "/anthropic/v1/models",
	formats.Gemini:    "/v1beta/models",
}

// mayUse reports whether the identity, and each team that it belongs to, may use a chain. Nobody (a public model
// list) may see all of them.
func (x *exchange) mayUse(chain string) bool {
	id := x.auth.Identity
	if id == nil {
		return true
	}
	forbids := func(team *abi.Team) bool { return !allows(team.Models, chain) }
	return allows(id.Models, chain) && !slices.ContainsFunc(x.teams, forbids)
}

// allows reports whether a list of names and "prefix*" has a chain on it. An empty list has all.
func allows(models []string, chain string) bool {
	return len(models) == 0 || slices.ContainsFunc(models, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return pattern == chain || wild && strings.HasPrefix(chain, prefix)
	})
}

// quote shows a name that the client sent.
func quote(name []byte) string { return fmt.Sprintf("%q", name) }

// count estimates what the request may come to, and counts it against all its limits or, if one has no room, none.
func (x *exchange) count() *refusal {
	if no := x.estimateTokens(); no != nil {
		return no
	}
	x.admission.Input, x.admission.Output = x.tokens.input, x.tokens.output
	no, err := x.gateway.ledger.Admit(&x.admission)
	switch {
	case err != nil:
		return unbookable(err)
	case no != nil:
		return limited(no)
	}
	return nil
}

// limited is the refusal of a request for which a limit has no room.
func limited(no *ledger.Refusal) *refusal {
	most := no.Level.Limits[no.Limit]
	e := &formats.Error{Status: 429, Code: formats.CodeRateLimited, RetryAfter: no.RetryAfter}
	e.Message = fmt.Sprintf("The %s %q has used up its limit %s of %d. Try again in %s.",
		no.Level.Account.Kind, no.Level.Name, no.Limit, most, no.RetryAfter.Round(time.Millisecond))
	if no.Limit == abi.Concurrent {
		e.Message = fmt.Sprintf("The %s %q has %d requests under way, which is its limit (%s).",
			no.Level.Account.Kind, no.Level.Name, most, no.Limit)
	}
	return &refusal{Error: e, outcome: record.Refused, cause: no}
}

// unbookable is the refusal of what the ledger cannot book at the moment.
func unbookable(cause error) *refusal {
	return &refusal{
		Error: &formats.Error{
			Status: 503, Code: formats.CodeLedgerUnavailable, RetryAfter: ledgerPause,
			Message: "The gateway cannot book requests at the moment.",
		},
		outcome: record.Broken, cause: cause,
	}
}

// ledgerPause is how long a client is told to wait for a ledger that cannot be written.
const ledgerPause = 5 * time.Second

// estimate is what a request may come to, in tokens.
type estimate struct {
	input  int64
	output int64 // of all answers together
	inject int64 // a maximum that is put into the body, for each answer; 0: none
}

// estimateTokens bounds the request's tokens, and holds it to its levels' largest requests.
func (x *exchange) estimateTokens() *refusal {
	if x.route.Free() {
		return nil
	}
	x.tokens.input = x.estimateInput(&x.chain.Steps[0])
	if most, level := x.most(abi.MaxInputTokens); most > 0 && x.tokens.input > most {
		return tooLarge(formats.CodeInputTooLarge, fmt.Sprintf("The request has about %d tokens; the %s %q allows %d.",
			x.tokens.input, level.Account.Kind, level.Name, most))
	}
	if !x.route.HasOutput() {
		return nil
	}
	return x.estimateOutput()
}

// estimateOutput bounds the answers. What the request states counts, else what the operator assumes; a limit that the
// request could ignore is put into it.
func (x *exchange) estimateOutput() *refusal {
	settings := &x.snapshot.Config.Ledger
	answers := int64(max(x.body.Answers, 1))
	each := x.body.MaxOutput
	most, level := x.most(abi.MaxOutputTokens)
	switch {
	case x.body.HasMaxOutput && most > 0 && each > most/answers:
		return tooLarge(formats.CodeOutputTooLarge, fmt.Sprintf("The request asks for up to %d tokens in %d answers; the %s %q allows %d.",
			each, answers, level.Account.Kind, level.Name, most))
	case x.body.HasMaxOutput:
	case most > 0:
		each = max(min(settings.AssumedOutput, most/answers), 1)
		x.tokens.inject = each
	default:
		each = settings.AssumedOutput
		if settings.InjectMaximum {
			x.tokens.inject = each
		}
	}
	if largest := x.chain.MaxOutput; largest > 0 {
		each = min(each, largest)
	}
	x.tokens.output = min(each, maxTokens/answers) * answers
	return nil
}

// maxTokens is more than any answer has; it keeps products in range.
const maxTokens = 1 << 40

// estimateInput bounds the tokens of the prompt for a step's model.
func (x *exchange) estimateInput(step *config.Step) int64 {
	body := len(x.ctx.Request.Body())
	if x.snapshot.Config.Ledger.Estimate == config.Bound {
		return int64(body)
	}
	return x.gateway.ledger.EstimateInput(step.Model, body)
}

// most returns the smallest of the levels' limits of one kind, and whose it is; 0 if there is none.
func (x *exchange) most(limit abi.Limit) (most int64, level *ledger.Level) {
	for i := range x.admission.Levels {
		l := &x.admission.Levels[i]
		if n := l.Limits[limit]; n > 0 && (most == 0 || n < most) {
			most, level = n, l
		}
	}
	return most, level
}

func tooLarge(code, message string) *refusal {
	return bad(&formats.Error{Status: 400, Code: code, Message: message, NoRetry: true})
}
