package gateway

import (
	"bytes"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/identity"
)

// authenticate asks the policies who the request belongs to. Without a verdict nobody is let in; the one exception
// is a model list that the operator made public.
func (x *exchange) authenticate() *refusal {
	if no := x.findCredential(); no != nil {
		return no
	}
	if x.credential == nil && !x.route.HasBody() && x.snapshot.Config.PublicModels {
		return nil
	}
	x.stateFacts()
	call := &x.auth
	call.Request, call.Credential, call.Identities = &x.facts, x.credential, x.snapshot.Identities
	if x.credential != nil {
		call.Shape = identity.Shape(x.credential)
		call.Digest = x.snapshot.Identities.Digest(x.credential)
	}
	answer := x.snapshot.Policies.Authenticate(call)
	x.record.Policies[abi.Authenticate] = call.Policy
	x.recordIdentity(call.Identity)
	x.recordIdentity(call.Vetoed)
	switch {
	case answer == abi.Failed:
		return bad(&formats.Error{Status: 503, Code: formats.CodePolicyFailed, Message: "A policy failed, and without it nobody is let in.", NoRetry: true})
	case answer == abi.Given && call.Identity != nil:
		return nil
	case answer == abi.Given:
		return denied(call.Status, codeOfDenial(call), call.Message)
	case x.credential == nil:
		return denied(401, formats.CodeInvalidAPIKey, "The request has no API key: send it in "+credentialPlace[x.route.Format]+".")
	}
	return denied(401, formats.CodeInvalidAPIKey, "Nobody knows this API key.")
}

// recordIdentity notes who the request belongs to, if that is known.
func (x *exchange) recordIdentity(id *abi.Identity) {
	if id != nil {
		x.record.KeyID, x.record.Key, x.record.Team = id.KeyID, id.Name, id.Team
	}
}

// codeOfDenial is the stable code of a policy's no: its own, or the one that fits the status.
func codeOfDenial(call *abi.Authentication) string {
	switch {
	case call.Code != "":
		return call.Code
	case call.Status == 401:
		return formats.CodeInvalidAPIKey
	}
	return formats.CodePolicyDenied
}

// credentialPlace says where the clients of each format put their key.
var credentialPlace = [formats.NumFormats]string{
	formats.OpenAI:    "Authorization: Bearer",
	formats.Anthropic: "x-api-key",
	formats.Gemini:    "x-goog-api-key",
}

// credentialHeaders are the headers that can carry a credential, and the formats whose clients use them.
var credentialHeaders = [...]struct {
	name    string
	bearer  bool
	formats [formats.NumFormats]bool
}{
	{"Authorization", true, [...]bool{formats.OpenAI: true, formats.Anthropic: true, formats.Gemini: true}},
	{"X-Api-Key", false, [...]bool{formats.OpenAI: true, formats.Anthropic: true, formats.Gemini: false}},
	{"X-Goog-Api-Key", false, [...]bool{formats.OpenAI: false, formats.Anthropic: false, formats.Gemini: true}},
}

// findCredential finds the one credential of the request. Two of them, wherever they stand, are refused: which one
// counts would depend on who reads them.
func (x *exchange) findCredential() *refusal {
	found := x.query.keys
	if x.route.Format == formats.Gemini {
		x.credential = x.query.key
	}
	for i := range credentialHeaders {
		c := &credentialHeaders[i]
		values := x.ctx.Request.Header.PeekAll(c.name)
		found += len(values)
		if len(values) == 0 || !c.formats[x.route.Format] {
			continue
		}
		value := values[0]
		if c.bearer {
			scheme, token, _ := bytes.Cut(value, []byte{' '})
			if !bytes.EqualFold(scheme, []byte("Bearer")) {
				return denied(401, formats.CodeInvalidAPIKey, "Authorization must be Bearer, a space and the API key.")
			}
			value = bytes.TrimSpace(token)
		}
		x.credential = value
	}
	if found > 1 {
		return confusing("The request has more than one credential.")
	}
	if len(x.credential) == 0 {
		x.credential = nil
	}
	return nil
}

// stateFacts fills in what every hook may know of the request.
func (x *exchange) stateFacts() {
	h := &x.ctx.Request.Header
	x.facts.ID, x.facts.Method, x.facts.Path = x.id, h.Method(), x.path
	x.facts.Format, x.facts.Operation = x.route.Format.String(), x.route.Operation.String()
	x.facts.ClientAddress, x.facts.Stream = x.client.text, x.streamed
	x.facts.Headers = x
}

// Header implements abi.Headers.
func (x *exchange) Header(name string) (value []byte, ok bool) {
	value = x.ctx.Request.Header.Peek(name)
	return value, value != nil
}
