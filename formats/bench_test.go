package formats

import (
	"encoding/json"
	"strings"
	"testing"
)

// chatBody is a typical small request: 250 bytes.
const chatBody = `{"model":"coding","messages":[{"role":"system","content":"You are a helpful assistant."},` +
	`{"role":"user","content":"Summarise the plot of Hamlet in one sentence, please, and name its author."}],` +
	`"temperature":0.7,"max_tokens":256,"stream":true,"user":"u1"}`

// prose is prompt text as people send it: lines, quotes, and code, which JSON escapes.
const prose = `The quick brown fox jumps over the lazy dog, and then it says: \"what a day\".\nfor i := range n {\n\treturn nil\n}\n`

func promptBody(text string, size int) []byte {
	return []byte(`{"model":"coding","messages":[{"role":"user","content":"` + strings.Repeat(text, size/len(text)) + `"}],"stream":true}`)
}

func bodies() []struct {
	name string
	body []byte
} {
	plain := strings.ReplaceAll(strings.ReplaceAll(prose, `\n`, " "), `\"`, "'")
	plain = strings.ReplaceAll(plain, `\t`, " ")
	return []struct {
		name string
		body []byte
	}{
		{"250B", []byte(chatBody)},
		{"512KB/plain", promptBody(plain, 512<<10)},
		{"512KB/escapes", promptBody(prose, 512<<10)},
		{"512KB/cjk", promptBody("你好，世界。请帮我总结这篇文章的主要内容", 512<<10)},
		{"512KB/messages", []byte(`{"model":"coding","messages":[` + strings.Repeat(`{"role":"user","content":"And what then?"},`, 12000) + `{}]}`)},
		{"512KB/tokens", []byte(`{"model":"embed","input":[` + strings.Repeat(`1024,50256,`, 48000) + `0]}`)},
	}
}

// BenchmarkInspect stands beside json.Valid, which does less: it checks neither UTF-8 nor duplicates, and finds nothing.
func BenchmarkInspect(b *testing.B) {
	route := Route{Format: OpenAI, Operation: Chat}
	for _, c := range bodies() {
		b.Run(c.name, func(b *testing.B) {
			var body Body
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := body.Inspect(&route, c.body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				if !json.Valid(c.body) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
