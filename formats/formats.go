// Package formats knows the three provider dialects: which paths they serve, where the model's name sits, how a
// request body is inspected and spliced, how usage, errors and the end of a stream look.
//
// It works on bytes and imports abi and the standard library only. It neither reads nor writes a connection.
package formats

// Format is a provider dialect.
type Format uint8

// The formats.
const (
	OpenAI Format = iota
	Anthropic
	Gemini
	NumFormats
)

var formatNames = [NumFormats]string{"openai", "anthropic", "gemini"}

// String returns the format's name, as in policies.yaml, records and metrics.
func (f Format) String() string {
	if f < NumFormats {
		return formatNames[f]
	}
	return "unknown"
}

// Parse finds a format by its name.
func Parse(name string) (Format, bool) {
	for f, n := range formatNames {
		if n == name {
			return Format(f), true
		}
	}
	return NumFormats, false
}

// Operation is what an endpoint does.
type Operation uint8

// The operations.
const (
	Chat        Operation = iota // openai: chat/completions
	Completions                  // openai: completions
	Responses                    // openai: responses
	Embeddings                   // openai: embeddings
	Messages                     // anthropic: messages
	CountTokens                  // anthropic: messages/count_tokens; gemini: countTokens
	Generate                     // gemini: generateContent, streamGenerateContent
	Embed                        // gemini: embedContent
	BatchEmbed                   // gemini: batchEmbedContents
	ListModels                   // all: models
	GetModel                     // all: models/{id}
	NumOperations
)

var operationNames = [NumOperations]string{
	"chat", "completions", "responses", "embeddings", "messages", "count_tokens",
	"generate", "embed", "batch_embed", "models", "model",
}

// String returns the operation's name, as policies, records and metrics see it.
func (o Operation) String() string {
	if o < NumOperations {
		return operationNames[o]
	}
	return "unknown"
}

// Framing is how a streamed answer is cut into events.
type Framing uint8

// The framings.
const (
	Whole     Framing = iota // not streamed: one JSON document
	SSE                      // server-sent events
	JSONArray                // gemini without alt=sse: a JSON array whose elements are the events
)
