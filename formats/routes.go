package formats

import (
	"bytes"
	"net/url"
	"strings"
)

// MaxModel is the longest model name in bytes that a client may send, in a path or in a body.
const MaxModel = 256

// Route is what a method and a path ask for. Its byte slices alias the path that it was found from.
type Route struct {
	Format    Format
	Operation Operation
	Method    string  // the one method that the endpoint serves, also when Match is WrongMethod
	Model     []byte  // the model that the path names; nil where the body names it
	Verb      string  // gemini: "generateContent", "countTokens", …; "" for the lists
	Tail      string  // openai and anthropic: the path after the version, "/chat/completions"; "" for GetModel
	Framing   Framing // gemini: how the answer to this path is framed; see AnswerFraming for the others
}

// Match says how far a path was recognised.
type Match uint8

// The matches.
const (
	NotFound    Match = iota // no endpoint has this path
	WrongMethod              // an endpoint has it, for Route.Method
	Found
)

// endpoint is one exact path below a version prefix.
type endpoint struct {
	tail      string
	operation Operation
	method    string
}

var openAIEndpoints = [...]endpoint{
	{"/chat/completions", Chat, "POST"},
	{"/responses", Responses, "POST"},
	{"/embeddings", Embeddings, "POST"},
	{"/completions", Completions, "POST"},
	{"/models", ListModels, "GET"},
}

var anthropicEndpoints = [...]endpoint{
	{"/messages", Messages, "POST"},
	{"/messages/count_tokens", CountTokens, "POST"},
	{"/models", ListModels, "GET"},
}

// geminiVerb is one method of a model: models/{model}:verb.
type geminiVerb struct {
	name      string
	operation Operation
	framing   Framing
}

var geminiVerbs = [...]geminiVerb{
	{"generateContent", Generate, Whole},
	{"streamGenerateContent", Generate, JSONArray},
	{"countTokens", CountTokens, Whole},
	{"embedContent", Embed, Whole},
	{"batchEmbedContents", BatchEmbed, Whole},
}

// modelsPrefix begins the path of one model in every format, and the name of a model in gemini.
const modelsPrefix = "/models/"

// FindRoute finds the endpoint of a path by exact comparison. The path is canonical and without the configured
// prefix; sse says that the query asks for alt=sse. It allocates nothing.
func FindRoute(method, path []byte, sse bool) (Route, Match) {
	format, tail, ok := version(path)
	if !ok {
		return Route{}, NotFound
	}
	var r Route
	switch format {
	case Gemini:
		r, ok = findGemini(tail, sse)
	case Anthropic:
		r, ok = findByTail(Anthropic, anthropicEndpoints[:], tail)
	default:
		r, ok = findByTail(OpenAI, openAIEndpoints[:], tail)
	}
	switch {
	case !ok:
		return Route{}, NotFound
	case string(method) != r.Method:
		return r, WrongMethod
	}
	return r, Found
}

// version cuts the version prefix off a path and says which dialect it belongs to. A bare /v1 is openai's, except
// for messages: the official Anthropic clients call it when their base URL is the bare host.
func version(path []byte) (format Format, tail []byte, ok bool) {
	switch {
	case hasPrefix(path, "/v1/"):
		tail = path[len("/v1"):]
		if hasPrefix(tail, "/messages") {
			return Anthropic, tail, true
		}
		return OpenAI, tail, true
	case hasPrefix(path, "/openai/v1/"):
		return OpenAI, path[len("/openai/v1"):], true
	case hasPrefix(path, "/anthropic/v1/"):
		return Anthropic, path[len("/anthropic/v1"):], true
	case hasPrefix(path, "/gemini/v1beta/"):
		return Gemini, path[len("/gemini/v1beta"):], true
	case hasPrefix(path, "/v1beta/"):
		return Gemini, path[len("/v1beta"):], true
	}
	return OpenAI, nil, false
}

func findByTail(format Format, table []endpoint, tail []byte) (Route, bool) {
	for i := range table {
		if e := &table[i]; string(tail) == e.tail {
			return Route{Format: format, Operation: e.operation, Method: e.method, Tail: e.tail}, true
		}
	}
	if !hasPrefix(tail, modelsPrefix) {
		return Route{}, false
	}
	id := tail[len(modelsPrefix):]
	// Names such as meta-llama/Llama-3 are usual in the OpenAI world, and its clients send them unescaped or not at all.
	if !validPathModel(id, format == OpenAI) {
		return Route{}, false
	}
	return Route{Format: format, Operation: GetModel, Method: "GET", Model: id}, true
}

func findGemini(tail []byte, sse bool) (Route, bool) {
	if string(tail) == "/models" {
		return Route{Format: Gemini, Operation: ListModels, Method: "GET"}, true
	}
	if !hasPrefix(tail, modelsPrefix) {
		return Route{}, false
	}
	model := tail[len(modelsPrefix):]
	// A model's own name may hold a colon, so the verb is what follows the last one.
	if colon := bytes.LastIndexByte(model, ':'); colon >= 0 {
		for i := range geminiVerbs {
			v := &geminiVerbs[i]
			if string(model[colon+1:]) != v.name {
				continue
			}
			r := Route{Format: Gemini, Operation: v.operation, Method: "POST", Model: model[:colon], Verb: v.name, Framing: v.framing}
			if sse && r.Framing == JSONArray {
				r.Framing = SSE
			}
			return r, validPathModel(r.Model, false)
		}
	}
	return Route{Format: Gemini, Operation: GetModel, Method: "GET", Model: model}, validPathModel(model, false)
}

// validPathModel says whether a model named by a path is one that can be looked up as it stands: printable ASCII
// without percent-encoding, so that no two spellings name one model, and without empty or dot segments.
func validPathModel(model []byte, slashes bool) bool {
	if len(model) == 0 || len(model) > MaxModel {
		return false
	}
	start := 0 // of the segment
	for i, c := range model {
		switch {
		case c == '/':
			if !slashes || !validSegment(model[start:i]) {
				return false
			}
			start = i + 1
		case c <= ' ' || c >= 0x7f || c == '%' || c == '"' || c == '\\':
			return false
		}
	}
	return validSegment(model[start:])
}

func validSegment(s []byte) bool { return len(s) > 0 && string(s) != "." && string(s) != ".." }

// FormatOf guesses the dialect in which to answer an unknown path. Whoever cannot be recognised gets openai.
func FormatOf(path []byte) Format {
	switch {
	case hasSegment(path, "/anthropic"), hasSegment(path, "/v1/messages"):
		return Anthropic
	case hasSegment(path, "/gemini"), hasSegment(path, "/v1beta"):
		return Gemini
	}
	return OpenAI
}

func hasPrefix(path []byte, prefix string) bool {
	return len(path) >= len(prefix) && string(path[:len(prefix)]) == prefix
}

// hasSegment is hasPrefix for whole path segments.
func hasSegment(path []byte, prefix string) bool {
	return hasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// HasBody says whether the endpoint takes a JSON body, which is then inspected and forwarded. The others are model
// lists, which the gateway answers itself.
func (r *Route) HasBody() bool { return r.Operation != ListModels && r.Operation != GetModel }

// ModelInBody says whether the body has to name the model.
func (r *Route) ModelInBody() bool { return r.HasBody() && r.Format != Gemini }

// HasOutput says whether the endpoint has a model write an answer, which costs what it is long. Embeddings and counts
// of tokens cost their input alone, if anything.
func (r *Route) HasOutput() bool {
	switch r.Operation {
	case Chat, Completions, Responses, Messages, Generate:
		return true
	}
	return false
}

// Streamable says whether the endpoint can answer with a stream.
func (r *Route) Streamable() bool {
	switch r.Operation {
	case Chat, Completions, Responses, Messages:
		return true
	}
	return r.Framing != Whole
}

// AnswerFraming is how a successful answer is framed. bodyStream is what the body asks for (Body.Stream); gemini
// decides by path, and endpoints that are not Streamable ignore it.
func (r *Route) AnswerFraming(bodyStream bool) Framing {
	switch {
	case r.Framing != Whole:
		return r.Framing
	case bodyStream && r.Streamable():
		return SSE
	}
	return Whole
}

// Free says whether the endpoint only counts tokens, which providers do not charge for.
func (r *Route) Free() bool { return r.Operation == CountTokens }

// AppendUpstreamPath appends the provider's path for this route. base is the path of the provider's base_url without
// a trailing slash; a "{model}" in it is replaced. The model is path-escaped wherever it stands.
func AppendUpstreamPath(dst []byte, r *Route, base, model string) []byte {
	model = url.PathEscape(model)
	if before, after, ok := strings.Cut(base, "{model}"); ok {
		dst = append(append(append(dst, before...), model...), after...)
	} else {
		dst = append(dst, base...)
	}
	switch r.Format {
	case Anthropic:
		return append(append(dst, "/v1"...), r.Tail...)
	case Gemini:
		dst = append(append(dst, "/v1beta"+modelsPrefix...), model...)
		return append(append(dst, ':'), r.Verb...)
	}
	return append(dst, r.Tail...)
}
