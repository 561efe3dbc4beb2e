package gateway

import (
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
)

// admit resolves the model that the client named and checks that this identity may use it here. A name that the
// identity may not use and one that does not exist get different answers only where the name exists.
func (x *exchange) admit() *refusal {
	chain, ok := x.snapshot.Config.Chains[string(x.facts.Model)]
	switch {
	case !ok:
		return bad(&formats.Error{Status: 404, Code: formats.CodeModelNotFound, Param: "model", NoRetry: true,
			Message: "There is no model " + quote(x.facts.Model) + " here. GET " + listPath[x.route.Format] + " lists those that there are."})
	case !mayUse(x.auth.Identity, chain):
		return denied(403, formats.CodeModelNotAllowed, "This key may not use the model "+quote(x.facts.Model)+".")
	case chain.Format != x.route.Format:
		return bad(&formats.Error{Status: 400, Code: formats.CodeWrongFormat, Param: "model",
			Message: "The model " + quote(x.facts.Model) + " speaks the " + chain.Format.String() + " format; this endpoint speaks " + x.route.Format.String() + "."})
	}
	x.chain = chain
	x.record.Chain = chain.Name
	return nil
}

// listPath is where each format lists its models.
var listPath = [formats.NumFormats]string{
	formats.OpenAI:    "/v1/models",
	formats.Anthropic: "/anthropic/v1/models",
	formats.Gemini:    "/v1beta/models",
}

// mayUse reports whether an identity may use a chain. Nobody (a public model list) may see all of them.
func mayUse(id *abi.Identity, chain *config.Chain) bool {
	if id == nil || len(id.Models) == 0 {
		return true
	}
	for _, pattern := range id.Models {
		prefix, wild := strings.CutSuffix(pattern, "*")
		if pattern == chain.Name || wild && strings.HasPrefix(chain.Name, prefix) {
			return true
		}
	}
	return false
}

// quote shows a client's model name in a message.
func quote(name []byte) string {
	const most = 64
	if len(name) > most {
		return `"` + string(name[:most]) + `…"`
	}
	return `"` + string(name) + `"`
}
