package formats

import (
	"strings"
	"testing"
)

// bounds are what Inspect finds of the cost of an answer.
type bounds struct {
	max              int64
	has              bool
	choices, answers int
	write5m, write1h bool
	audio            bool
}

func (b *Body) bounds() bounds {
	return bounds{b.MaxOutput, b.HasMaxOutput, b.Choices, b.Answers, b.CacheWrite5m, b.CacheWrite1h, b.AudioOutput}
}

func TestBounds(t *testing.T) {
	completions, responses := Route{Format: OpenAI, Operation: Completions}, Route{Format: OpenAI, Operation: Responses}
	messages, generate := Route{Format: Anthropic, Operation: Messages}, Route{Format: Gemini, Operation: Generate, Model: []byte("g")}
	embeddings := Route{Format: OpenAI, Operation: Embeddings}
	plain := bounds{choices: 1, answers: 1}
	openAI := bounds{choices: 1, answers: 1, write5m: true} // whose cache is written unasked
	with := func(b bounds, change func(*bounds)) bounds { change(&b); return b }
	maximum := func(b bounds, n int64) bounds { b.max, b.has = n, true; return b }
	tests := []struct {
		route Route
		body  string
		want  bounds
	}{
		{chatRoute, `{}`, openAI},
		{chatRoute, `{"max_tokens":5}`, maximum(openAI, 5)},
		{chatRoute, `{"max_completion_tokens":5,"max_tokens":7}`, maximum(openAI, 7)},
		{chatRoute, `{"max_completion_tokens":7,"max_tokens":5}`, maximum(openAI, 7)},
		{chatRoute, `{"max_tokens":null}`, openAI},
		{chatRoute, `{"max_tokens":0}`, openAI},
		{chatRoute, `{"max_tokens":-1}`, openAI},
		{chatRoute, `{"max_tokens":-1,"max_completion_tokens":3}`, maximum(openAI, 3)},
		{chatRoute, `{"max_tokens":0,"max_completion_tokens":3}`, maximum(openAI, 3)},
		{chatRoute, `{"max_output_tokens":5}`, openAI},
		{chatRoute, `{"x":{"max_tokens":5,"n":5}}`, openAI},
		{chatRoute, `{"max_tokens":1000000000000}`, maximum(openAI, 1e12)},
		{chatRoute, `{"n":128}`, with(openAI, func(b *bounds) { b.choices, b.answers = 128, 128 })},
		{chatRoute, `{"n":null}`, openAI},
		{chatRoute, `{"n":3,"best_of":9,"prompt":["a","b"]}`, with(openAI, func(b *bounds) { b.choices, b.answers = 3, 3 })},
		{completions, `{"max_tokens":5}`, maximum(openAI, 5)},
		{completions, `{"max_completion_tokens":5}`, openAI},
		{completions, `{"best_of":3}`, with(openAI, func(b *bounds) { b.answers = 3 })},
		{completions, `{"best_of":3,"n":2,"prompt":"x"}`, with(openAI, func(b *bounds) { b.choices, b.answers = 2, 3 })},
		{completions, `{"prompt":["a","b"],"n":3}`, with(openAI, func(b *bounds) { b.choices, b.answers = 6, 6 })},
		{completions, `{"n":3,"best_of":5,"prompt":[[1,2],[3]]}`, with(openAI, func(b *bounds) { b.choices, b.answers = 6, 10 })},
		{completions, `{"prompt":[1,2,3]}`, openAI},
		{completions, `{"prompt":[]}`, openAI},
		{responses, `{"max_output_tokens":5}`, maximum(openAI, 5)},
		{responses, `{"max_tokens":5}`, openAI},
		{embeddings, `{"max_tokens":5}`, plain},

		{chatRoute, `{"modalities":["text"]}`, openAI},
		{chatRoute, `{"modalities":null}`, openAI},
		{chatRoute, `{"modalities":["text","audio"]}`, with(openAI, func(b *bounds) { b.audio = true })},
		{chatRoute, `{"modalities":["text","\u0061udio"]}`, with(openAI, func(b *bounds) { b.audio = true })},
		{chatRoute, `{"modalities":"audio"}`, with(openAI, func(b *bounds) { b.audio = true })},
		{generate, `{"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}`, plain},
		{generate, `{"generationConfig":{"responseModalities":["AUDIO"]}}`, with(plain, func(b *bounds) { b.audio = true })},
		{generate, `{"generation_config":{"response_modalities":[3]}}`, with(plain, func(b *bounds) { b.audio = true })},

		{messages, `{"max_tokens":5}`, maximum(plain, 5)},
		{messages, `{"max_tokens":5,"max_completion_tokens":9}`, maximum(plain, 5)},
		{messages, `{"cache_control":{"type":"ephemeral"}}`, with(plain, func(b *bounds) { b.write5m = true })},
		{messages, `{"cache_control":null,"ttl":"1h"}`, plain},
		{messages, `{"cache_control":{"ttl":"5m"}}`, with(plain, func(b *bounds) { b.write5m = true })},
		{messages, `{"system":[{"text":"x","cache_control" : {"type":"ephemeral", "ttl" : "1h"}}]}`, with(plain, func(b *bounds) { b.write5m, b.write1h = true, true })},
		{messages, `{"system":[{"cache\u005fcontrol":{"\u0074tl":"\u0031h"}}]}`, with(plain, func(b *bounds) { b.write5m, b.write1h = true, true })},
		{messages, `{"system":"cache_control","x":"\"cache_control\":{\"ttl\":\"1h\"}"}`, plain},
		{messages, `{"tools":[{"cache_control":{},"properties":{"ttl":{"type":"number"},"\u540d\u524d":{}}}]}`, with(plain, func(b *bounds) { b.write5m = true })},
		{responses, `{"prompt_cache_options":{"ttl":"30m"}}`, openAI},
		{responses, `{"prompt_cache_options":{"ttl":"12h"}}`, with(openAI, func(b *bounds) { b.write1h = true })},
		{embeddings, `{"prompt_cache_options":{"ttl":"12h"}}`, plain},

		{generate, `{"generationConfig":{"maxOutputTokens":5,"candidateCount":2}}`, with(maximum(plain, 5), func(b *bounds) { b.choices, b.answers = 2, 2 })},
		{generate, `{"generation_config":{"max_output_tokens":5,"candidate_count":2}}`, with(maximum(plain, 5), func(b *bounds) { b.choices, b.answers = 2, 2 })},
		{generate, `{"generationConfig":null}`, plain},
		{generate, `{"generationConfig":{"maxOutputTokens":null,"candidateCount":null,"x":{"maxOutputTokens":"x"}}}`, plain},
		{generate, `{"max_tokens":"x","n":"x","maxOutputTokens":7}`, plain},
	}
	var b Body
	for _, test := range tests {
		if err := b.Inspect(&test.route, []byte(test.body)); err != nil {
			t.Errorf("%v %s: %v", test.route.Operation, test.body, err)
		} else if got := b.bounds(); got != test.want {
			t.Errorf("%v %s:\n got %+v\nwant %+v", test.route.Operation, test.body, got, test.want)
		}
		if b.Model.Present() || b.ModelName != nil {
			t.Errorf("%s: model %q", test.body, b.ModelName)
		}
	}
}

func TestBoundsRefused(t *testing.T) {
	completions := Route{Format: OpenAI, Operation: Completions}
	generate := Route{Format: Gemini, Operation: Generate, Model: []byte("g")}
	tests := []struct {
		route             Route
		body, code, param string
	}{
		{chatRoute, `{"max_tokens":-1.0}`, CodeInvalidRequest, "max_tokens"},
		{chatRoute, `{"n":-1}`, CodeInvalidRequest, "n"},
		{chatRoute, `{"max_tokens":1.0}`, CodeInvalidRequest, "max_tokens"},
		{chatRoute, `{"max_completion_tokens":1e3}`, CodeInvalidRequest, "max_completion_tokens"},
		{chatRoute, `{"max_output_tokens":"5"}`, CodeInvalidRequest, "max_output_tokens"},
		{chatRoute, `{"max_tokens":1000000000001}`, CodeInvalidRequest, "max_tokens"},
		{chatRoute, `{"max_tokens":99999999999999999999}`, CodeInvalidRequest, "max_tokens"},
		{chatRoute, `{"max_tokens":[5]}`, CodeInvalidRequest, "max_tokens"},
		{chatRoute, `{"max_tokens":01}`, CodeInvalidJSON, ""},
		{chatRoute, `{"max_tokens":1`, CodeInvalidJSON, ""},
		{chatRoute, `{"n":0}`, CodeInvalidRequest, "n"},
		{chatRoute, `{"n":129}`, CodeInvalidRequest, "n"},
		{chatRoute, `{"n":1e1}`, CodeInvalidRequest, "n"},
		{chatRoute, `{"n":10.0}`, CodeInvalidRequest, "n"},
		{chatRoute, `{"n":true}`, CodeInvalidRequest, "n"},
		{chatRoute, `{"modalities":[],"Modalities":["audio"]}`, CodeAmbiguousField, "modalities"},
		{completions, `{"best_of":0}`, CodeInvalidRequest, "best_of"},
		{completions, `{"prompt":["a"],"prompt":["a","b"]}`, CodeDuplicateField, "prompt"},
		{generate, `{"generationConfig":[]}`, CodeInvalidRequest, "generationConfig"},
		{generate, `{"generationConfig":{},"generationConfig":{}}`, CodeDuplicateField, "generationConfig"},
		{generate, `{"generationConfig":{},"generation_config":{}}`, CodeDuplicateField, "generation_config"},
		{generate, `{"GenerationConfig":{}}`, CodeAmbiguousField, "generationConfig"},
		{generate, `{"generation_confi\u0067":{}}`, CodeAmbiguousField, "generation_config"},
		{generate, `{"generationConfig":{"maxOutputTokens":"5"}}`, CodeInvalidRequest, "generationConfig.maxOutputTokens"},
		{generate, `{"generationConfig":{"maxOutputTokens":5,"max_output_tokens":null}}`, CodeDuplicateField, "max_output_tokens"},
		{generate, `{"generationConfig":{"maxOutputtokens":5}}`, CodeAmbiguousField, "maxOutputTokens"},
		{generate, `{"generationConfig":{"maxOutputToKens":5}}`, CodeAmbiguousField, "maxOutputTokens"},
		{generate, `{"generationConfig":{"candidateCount":0}}`, CodeInvalidRequest, "generationConfig.candidateCount"},
		{generate, `{"generationConfig":{"candidate_count":1,"candidateCount":1}}`, CodeDuplicateField, "candidateCount"},
		{generate, `{"generationConfig":{"CandidateCount":1}}`, CodeAmbiguousField, "candidateCount"},
		{generate, `{"generationConfig":{"responseModalities":[],"response_modalities":[]}}`, CodeDuplicateField, "response_modalities"},
		{generate, `{"generationConfig":{"maxOutputTokens":5}`, CodeInvalidJSON, ""},
		{generate, `{"generationConfig":[}`, CodeInvalidJSON, ""},
	}
	for _, test := range tests {
		var b Body
		err := b.Inspect(&test.route, []byte(test.body))
		if err == nil || err.Code != test.code || err.Param != test.param || err.Status != 400 {
			t.Errorf("%s: %+v, want %s of %q", test.body, err, test.code, test.param)
		} else if test.code != CodeInvalidJSON && !strings.Contains(err.Message, test.param[strings.LastIndexByte(test.param, '.')+1:]) {
			t.Errorf("%s: the message does not name %s: %s", test.body, test.param, err.Message)
		}
	}
}

func TestHasOutput(t *testing.T) {
	want := map[Operation]bool{Chat: true, Completions: true, Responses: true, Messages: true, Generate: true}
	for o := range NumOperations {
		r := Route{Operation: o}
		if r.HasOutput() != want[o] {
			t.Errorf("%v: %v", o, r.HasOutput())
		}
	}
}

// TestFieldsLookLikeFields guards the look at a key's first two characters that spares most keys all others.
func TestFieldsLookLikeFields(t *testing.T) {
	for f, name := range fieldNames {
		if f > 0 && (!looksLikeField([]byte(name)) || !looksLikeField([]byte(strings.ToUpper(name)))) {
			t.Errorf("%q is taken for no field", name)
		}
		if lookup([]byte(name)) != field(f) {
			t.Errorf("%q is not found", name)
		}
	}
}
