package gateway

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// What the requests of these tests come to, at testPrice: 270 nano-dollars for a token of the prompt, 1,100 for one of
// the answer.
const (
	streamBody = `{"model":"m0","stream":true}` // as long as chatBody: 28 bytes, so 14 tokens
	chatInput  = 14 * 270
	chatHeld   = chatInput + 4096*1100 // with the maximum that is assumed

	chainBody  = `{"model":"chain","messages":[]}` // 31 bytes: 16 tokens
	chainInput = 16 * 270
	chainHeld  = chainInput + 4096*1100

	messageBody  = `{"model":"m0","max_tokens":100}` // 31 bytes: 16 tokens
	messageInput = 16 * 270
	messageHeld  = messageInput + 100*1100

	generateBody  = `{"contents":[]}` // 15 bytes: 8 tokens
	generateInput = 8 * 270
	generateHeld  = generateInput + 4096*1100
)

// wayOut is one way in which an exchange ends, and what is booked then.
type wayOut struct {
	name          string
	path          string // "": chat completions
	body          string
	first, second script // nil: not asked
	set           func(*books)
	until         string // the client leaves then; see send

	booked  []attempt
	status  int
	outcome record.Outcome
	source  record.UsageSource
	cost    abi.NanoUSD // in the record: of the answer
}

func (w *wayOut) check(t *testing.T, b *books) {
	first, second, path := w.first, w.second, w.path
	if first == nil {
		first = never
	}
	if second == nil {
		second = never
	}
	if path == "" {
		path = "/v1/chat/completions"
	}
	b.begin(t, first, second)
	if w.set != nil {
		w.set(b)
	}
	_, n := b.records.counts()
	resp, body := b.send(t, path, w.body, w.until)
	r := b.records.wait(t, n)
	if w.until != "" {
		b.left(t)
	} else if resp.StatusCode != w.status {
		t.Errorf("the client got %d %s, want %d", resp.StatusCode, body, w.status)
	}
	if r.Outcome != w.outcome || r.UsageSource != w.source || r.Cost != w.cost {
		t.Errorf("the record has %v, usage %v, cost %d; want %v, %v, %d\n%+v", r.Outcome, r.UsageSource, r.Cost, w.outcome, w.source, w.cost, r)
	}
	b.booked(t, &r, w.booked)
}

// one is what is booked for an attempt that was the only one.
func one(basis ledger.Basis, reserved, cost abi.NanoUSD, flags ledger.Flags) []attempt {
	return []attempt{{basis, reserved, cost, flags}}
}

func checkWaysOut(t *testing.T, format formats.Format, ways []wayOut) {
	b := newBooks(t, format)
	for i := range ways {
		t.Run(ways[i].name, func(t *testing.T) { ways[i].check(t, b) })
	}
}

const (
	noUsage = `{"choices":[{"index":0,"message":{"content":"hello, you"},"finish_reason":"stop"}]}` // 10 bytes: 3 tokens
	longer  = `{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5000}}`
	refused = `{"error":{"message":"no"}}`
	vectors = `{"object":"list","data":[{"index":0,"embedding":[0.1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}`
	partial = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"choices\":"
)

func TestWaysOutWithAnAnswer(t *testing.T) {
	checkWaysOut(t, formats.OpenAI, []wayOut{
		{name: "whole", body: chatBody, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			cost: 12870, booked: one(ledger.Authoritative, chatHeld, 12870, 0)},
		{name: "stream", body: streamBody, first: streams(event1, event2, event3, usage, done), status: 200, source: record.Authoritative,
			cost: 3550, booked: one(ledger.Authoritative, chatHeld, 5*270+2*1100, 0)},
		{name: "the request's own maximum", body: `{"model":"m0","max_tokens":9}`, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			cost: 12870, booked: one(ledger.Authoritative, 15*270+9*1100, 12870, 0)},
		{name: "three answers", body: `{"model":"m0","n":3,"max_tokens":9}`, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			cost: 12870, booked: one(ledger.Authoritative, 18*270+3*9*1100, 12870, 0)},
		{name: "no more than the model can write", body: chatBody, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			set:  func(b *books) { b.config.Chains["m0"].MaxOutput = 100 },
			cost: 12870, booked: one(ledger.Authoritative, chatInput+100*1100, 12870, 0)},
		{name: "one token a byte", body: chatBody, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			set:  func(b *books) { b.config.Ledger.Estimate = config.Bound },
			cost: 12870, booked: one(ledger.Authoritative, 28*270+4096*1100, 12870, 0)},
		{name: "whole without usage", body: chatBody, first: says(200, noUsage), status: 200, source: record.Estimated,
			cost: chatInput + 3*1100, booked: one(ledger.Estimated, chatHeld, chatInput+3*1100, 0)},
		{name: "stream without usage", body: streamBody, first: streams(event1, event2, event3, done), status: 200, source: record.Estimated,
			cost: chatInput + 2*1100, booked: one(ledger.Estimated, chatHeld, chatInput+2*1100, 0)},
		{name: "more than was reserved", body: chatBody, first: says(200, longer), status: 200, source: record.Authoritative,
			cost: 5502700, booked: one(ledger.Authoritative, chatHeld, 5502700, ledger.Overrun)},
		{name: "embeddings", path: "/v1/embeddings", body: `{"model":"m0","input":"abc"}`, first: says(200, vectors), status: 200, source: record.Authoritative,
			cost: 3 * 270, booked: one(ledger.Authoritative, chatInput, 3*270, 0)},
		{name: "the provider's no", body: chatBody, first: says(400, refused), status: 400, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "the provider's no with a good status", body: chatBody, first: says(200, indecent), status: 200, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "the provider's no within a stream", body: streamBody, first: streams("data: "+indecent+"\n\n", done), status: 200, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "the provider's no, and the stream's end", body: streamBody, first: cuts(streamOf("data: " + indecent + "\n\n")), status: 200, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "the provider's no to a stream", body: streamBody, first: says(404, refused), status: 404, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "the second step's", body: chainBody, first: says(500, refused), second: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			cost: 12870, booked: []attempt{{ledger.Unbilled, chainHeld, 0, 0}, {ledger.Authoritative, chainHeld, 12870, 0}}},
		{name: "the second step's, after one that may have been billed", body: chainBody, first: cuts(""), second: says(200, wholeAnswer),
			status: 200, source: record.Authoritative, cost: 12870,
			booked: []attempt{{ledger.Ambiguous, chainHeld, chainInput, 0}, {ledger.Authoritative, chainHeld, 12870, 0}}},
	})
}

func TestWaysOutWithoutAnAnswer(t *testing.T) {
	ambiguous := func(booking config.Booking) func(*books) {
		return func(b *books) { b.config.Ledger.Ambiguous = booking }
	}
	checkWaysOut(t, formats.OpenAI, []wayOut{
		{name: "connection refused", body: `{"model":"m2","messages":[]}`, status: 502, outcome: record.UpstreamError, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "500", body: chatBody, first: says(500, refused), status: 502, outcome: record.UpstreamError, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "429", body: chatBody, first: says(429, refused), status: 429, outcome: record.UpstreamError, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "401", body: chatBody, first: says(401, refused), status: 502, outcome: record.UpstreamError, booked: one(ledger.Unbilled, chatHeld, 0, 0)},
		{name: "504", body: chatBody, first: says(504, refused), status: 504, outcome: record.UpstreamError, booked: one(ledger.Ambiguous, chatHeld, chatInput, 0)},
		{name: "lost after the request", body: chatBody, first: cuts(""), status: 504, outcome: record.UpstreamError, booked: one(ledger.Ambiguous, chatHeld, chatInput, 0)},
		{name: "lost: all of it", body: chatBody, first: cuts(""), status: 504, outcome: record.UpstreamError,
			set: ambiguous(config.BookReservation), booked: one(ledger.Ambiguous, chatHeld, chatHeld, 0)},
		{name: "lost: its input", body: chatBody, first: cuts(""), status: 504, outcome: record.UpstreamError,
			set: ambiguous(config.BookInput), booked: one(ledger.Ambiguous, chatHeld, chatInput, 0)},
		{name: "lost: nothing", body: chatBody, first: cuts(""), status: 504, outcome: record.UpstreamError,
			set: ambiguous(config.BookNothing), booked: one(ledger.Ambiguous, chatHeld, 0, 0)},
		{name: "cut in a whole answer", body: chatBody, first: cuts(partial), status: 502, outcome: record.UpstreamError, booked: one(ledger.Ambiguous, chatHeld, chatInput, 0)},
		{name: "no answer in time", body: chatBody, status: 504, outcome: record.UpstreamError,
			first: stalls, set: func(b *books) { b.config.Chains["m0"].Steps[0].Patience.Whole.FirstByte = 30 * time.Millisecond },
			booked: one(ledger.Ambiguous, chatHeld, chatInput, 0)},
	})
}

func TestWaysOutOfAStream(t *testing.T) {
	const two = abi.NanoUSD(chatInput + 2*1100)
	gone := func(booking config.Booking) func(*books) {
		return func(b *books) { b.config.Ledger.ClientGone = booking }
	}
	within := streamOf(event1, event2)
	checkWaysOut(t, formats.OpenAI, []wayOut{
		{name: "cut", body: streamBody, first: cuts(within), status: 200, outcome: record.Interrupted, source: record.UsageUntilCut,
			cost: two, booked: one(ledger.Interrupted, chatHeld, two, 0)},
		{name: "cut before the first event", body: streamBody, first: cuts(streamHead), status: 502, outcome: record.UpstreamError,
			booked: one(ledger.Ambiguous, chatHeld, chatInput, 0)},
		{name: "silent for too long", body: streamBody, status: 200, outcome: record.Interrupted, source: record.UsageUntilCut,
			first: func(b *books, c net.Conn) { _, _ = io.WriteString(c, within); stalls(b, c) },
			set:   func(b *books) { b.config.Chains["m0"].Steps[0].Patience.Streamed.Gap = 30 * time.Millisecond },
			cost:  two, booked: one(ledger.Interrupted, chatHeld, two, 0)},
		{name: "cut after the finish reason", body: streamBody, first: cuts(streamOf(event1, event2, event3)), status: 200, source: record.Estimated,
			cost: two, booked: one(ledger.Estimated, chatHeld, two, 0)},
		{name: "cut after the usage", body: streamBody, first: cuts(streamOf(event1, event3, usage)), status: 200, source: record.Authoritative,
			cost: 3550, booked: one(ledger.Authoritative, chatHeld, 3550, 0)},

		{name: "client gone before an answer", body: streamBody, first: waits(""), until: waiting, outcome: record.ClientGone,
			booked: one(ledger.Interrupted, chatHeld, chatInput, 0)},
		{name: "client gone before an answer: all of it", body: streamBody, first: waits(""), until: waiting, outcome: record.ClientGone,
			set: gone(config.BookReservation), booked: one(ledger.Interrupted, chatHeld, chatHeld, 0)},
		{name: "client gone before an answer: its input", body: chatBody, first: waits(""), until: waiting, outcome: record.ClientGone,
			set: gone(config.BookInput), booked: one(ledger.Interrupted, chatHeld, chatInput, 0)},
		{name: "client gone before an answer: nothing", body: chatBody, first: waits(""), until: waiting, outcome: record.ClientGone,
			set: gone(config.BookNothing), booked: one(ledger.Interrupted, chatHeld, 0, 0)},
		{name: "client gone within a whole answer", body: chatBody, first: waits(partial), until: waiting, outcome: record.ClientGone,
			booked: one(ledger.Interrupted, chatHeld, chatInput, 0)},

		{name: "client gone", body: streamBody, first: waits(within), until: event2, outcome: record.ClientGone, source: record.UsageUntilCut,
			cost: two, booked: one(ledger.Interrupted, chatHeld, two, 0)},
		{name: "client gone: all of it", body: streamBody, first: waits(within), until: event2, outcome: record.ClientGone, source: record.UsageUntilCut,
			set: gone(config.BookReservation), cost: two, booked: one(ledger.Interrupted, chatHeld, chatHeld, 0)},
		{name: "client gone: its input", body: streamBody, first: waits(within), until: event2, outcome: record.ClientGone, source: record.UsageUntilCut,
			set: gone(config.BookInput), cost: chatInput, booked: one(ledger.Interrupted, chatHeld, chatInput, 0)},
		{name: "client gone: nothing", body: streamBody, first: waits(within), until: event2, outcome: record.ClientGone, source: record.UsageUntilCut,
			set: gone(config.BookNothing), cost: chatInput, booked: one(ledger.Interrupted, chatHeld, 0, 0)},
		{name: "client gone after the usage", body: streamBody, first: waits(streamOf(event1, event3, usage)), until: event3, outcome: record.ClientGone,
			source: record.Authoritative, set: gone(config.BookNothing), cost: 3550, booked: one(ledger.Authoritative, chatHeld, 3550, 0)},
	})
}

const (
	message      = `{"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":3}}`
	plainMessage = `{"type":"message","content":[{"type":"text","text":"hello, you"}],"stop_reason":"end_turn"}` // 10 bytes: 3 tokens
	messageStart = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n"
	messageDelta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"twenty bytes of text\"}}\n\n"
	messageEnd   = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":6}}\n\n"
	messageBare  = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
	messageStop  = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

func TestWaysOutInAnthropic(t *testing.T) {
	const path, streamed = "/anthropic/v1/messages", `{"model":"m0","max_tokens":100,"stream":true}` // 45 bytes: 23 tokens
	const input, held = 23 * 270, 23*270 + 100*1100
	checkWaysOut(t, formats.Anthropic, []wayOut{
		{name: "whole", path: path, body: messageBody, first: says(200, message), status: 200, source: record.Authoritative,
			cost: 5190, booked: one(ledger.Authoritative, messageHeld, 7*270+3*1100, 0)},
		{name: "whole without usage", path: path, body: messageBody, first: says(200, plainMessage), status: 200, source: record.Estimated,
			cost: messageInput + 3*1100, booked: one(ledger.Estimated, messageHeld, messageInput+3*1100, 0)},
		{name: "stream", path: path, body: streamed, first: streams(messageStart, messageDelta, messageEnd, messageStop), status: 200, source: record.Authoritative,
			cost: 8490, booked: one(ledger.Authoritative, held, 7*270+6*1100, 0)},
		{name: "stream without usage at its end", path: path, body: streamed, first: streams(messageStart, messageDelta, messageBare, messageStop), status: 200,
			source: record.Estimated, cost: 7390, booked: one(ledger.Estimated, held, 7*270+5*1100, 0)},
		{name: "cut when the input is known", path: path, body: streamed, first: cuts(streamOf(messageStart, messageDelta)), status: 200,
			outcome: record.Interrupted, source: record.UsageUntilCut, cost: 7390, booked: one(ledger.Interrupted, held, 7*270+5*1100, 0)},
		{name: "cut before anything is known", path: path, body: streamed, first: cuts(streamHead), status: 502,
			outcome: record.UpstreamError, booked: one(ledger.Ambiguous, held, input, 0)},
		{name: "client gone when the input is known", path: path, body: streamed, first: waits(streamOf(messageStart, messageDelta)), until: "twenty bytes",
			outcome: record.ClientGone, source: record.UsageUntilCut, cost: 7390, booked: one(ledger.Interrupted, held, 7*270+5*1100, 0)},
		{name: "client gone, only the input is booked", path: path, body: streamed, first: waits(streamOf(messageStart, messageDelta)), until: "twenty bytes",
			set:     func(b *books) { b.config.Ledger.ClientGone = config.BookInput },
			outcome: record.ClientGone, source: record.UsageUntilCut, cost: 7 * 270, booked: one(ledger.Interrupted, held, 7*270, 0)},
		{name: "counting tokens is free", path: path + "/count_tokens", body: `{"model":"m0","messages":[]}`, first: says(200, `{"input_tokens":9}`), status: 200},
		{name: "the provider's no", path: path, body: messageBody, first: says(400, `{"type":"error","error":{}}`), status: 400, booked: one(ledger.Unbilled, messageHeld, 0, 0)},
	})
}

func TestWaysOutInGemini(t *testing.T) {
	const plain, sse, array = "/v1beta/models/m0:generateContent", "/v1beta/models/m0:streamGenerateContent?alt=sse", "/v1beta/models/m0:streamGenerateContent"
	part, last := "data: "+geminiPart+"\r\n\r\n", "data: "+geminiLast+"\r\n\r\n"
	jsonHead := strings.Replace(streamHead, "text/event-stream", "application/json", 1)
	checkWaysOut(t, formats.Gemini, []wayOut{
		{name: "whole", path: plain, body: generateBody, first: says(200, geminiLast), status: 200, source: record.Authoritative,
			cost: 3280, booked: one(ledger.Authoritative, generateHeld, 4*270+2*1100, 0)},
		{name: "whole without usage", path: plain, body: generateBody, first: says(200, geminiPart), status: 200, source: record.Estimated,
			cost: 3260, booked: one(ledger.Estimated, generateHeld, generateInput+1100, 0)},
		{name: "stream", path: sse, body: generateBody, first: streams(part, last), status: 200, source: record.Authoritative,
			cost: 3280, booked: one(ledger.Authoritative, generateHeld, 3280, 0)},
		{name: "array", path: array, body: generateBody, first: whole(jsonHead + chunk("["+geminiPart+","+geminiLast+"]") + "0\r\n\r\n"), status: 200, source: record.Authoritative,
			cost: 3280, booked: one(ledger.Authoritative, generateHeld, 3280, 0)},
		{name: "stream cut", path: sse, body: generateBody, first: cuts(streamOf(part)), status: 200, outcome: record.Interrupted, source: record.UsageUntilCut,
			cost: 3260, booked: one(ledger.Interrupted, generateHeld, generateInput+1100, 0)},
		{name: "array cut", path: array, body: generateBody, first: cuts(jsonHead + chunk("["+geminiPart)), status: 200, outcome: record.Interrupted, source: record.UsageUntilCut,
			cost: 3260, booked: one(ledger.Interrupted, generateHeld, generateInput+1100, 0)},
		{name: "client gone", path: array, body: generateBody, first: waits(jsonHead + chunk("["+geminiPart+",")), until: `"a"`, outcome: record.ClientGone, source: record.UsageUntilCut,
			cost: 3260, booked: one(ledger.Interrupted, generateHeld, generateInput+1100, 0)},
		{name: "counting tokens is free", path: "/v1beta/models/m0:countTokens", body: generateBody, first: says(200, `{"totalTokens":4}`), status: 200},
		{name: "embeddings", path: "/v1beta/models/m0:embedContent", body: generateBody, first: says(200, `{"embedding":{"values":[0.1]}}`), status: 200, source: record.Estimated,
			cost: generateInput, booked: one(ledger.Estimated, generateHeld-4096*1100, generateInput, 0)},
	})
}

// What a policy says of the price is booked; where it says nothing, the tariff decides.
func TestWaysOutOfPricing(t *testing.T) {
	verdict := func(p *abi.Pricing) abi.Answer {
		p.Policy, p.Cost = "dear", map[abi.PricePhase]abi.NanoUSD{abi.Estimate: 7_000_000, abi.Final: 6_000_000}[p.Phase]
		return abi.Given
	}
	asked := func(policy func(*abi.Pricing) abi.Answer) func(*books) {
		return func(b *books) { b.policies.price = policy }
	}
	unpriced := func(more func(*books)) func(*books) {
		return func(b *books) { b.tariff("m0", nil); more(b) }
	}
	final := func(answer abi.Answer) func(*abi.Pricing) abi.Answer {
		return func(p *abi.Pricing) abi.Answer { p.Cost = 1; return answer }
	}
	checkWaysOut(t, formats.OpenAI, []wayOut{
		{name: "a policy's price", body: chatBody, first: says(200, wholeAnswer), set: asked(verdict), status: 200, source: record.Authoritative,
			cost: 6_000_000, booked: one(ledger.Authoritative, 7_000_000, 6_000_000, 0)},
		{name: "a policy's price that says nothing of the input", body: chatBody, first: cuts(""), set: asked(verdict), status: 504,
			outcome: record.UpstreamError, booked: one(ledger.Ambiguous, 7_000_000, 7_000_000, 0)},
		{name: "a policy that passes", body: chatBody, first: says(200, wholeAnswer), set: asked(final(abi.NoVerdict)), status: 200, source: record.Authoritative,
			cost: 12870, booked: one(ledger.Authoritative, chatHeld, 12870, 0)},
		{name: "a policy that fails", body: chatBody, first: says(200, wholeAnswer), set: asked(final(abi.Failed)), status: 200, source: record.Authoritative,
			cost: 12870, booked: one(ledger.Authoritative, chatHeld, 12870, 0)},
		{name: "a policy's price for a model without one", body: chatBody, first: says(200, wholeAnswer), set: unpriced(asked(verdict)), status: 200,
			source: record.Authoritative, cost: 6_000_000, booked: one(ledger.Authoritative, 7_000_000, 6_000_000, 0)},
		{name: "no price, and a budget", body: chatBody, set: unpriced(func(*books) {}), status: 403, outcome: record.Refused},
		{name: "no price, and a team's budget", body: chatBody, status: 403, outcome: record.Refused, set: unpriced(func(b *books) {
			b.ids.key.Budgets = nil
			b.ids.teams["core"] = &abi.Team{Name: "core", Parent: "all"}
			b.ids.teams["all"] = &abi.Team{Name: "all", Budgets: []abi.Budget{plenty}}
		})},
		{name: "no price, and a budget for which the operator allows it", body: chatBody, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			set:    unpriced(func(b *books) { b.config.Ledger.Unpriced = config.AllowUnpriced }),
			booked: one(ledger.Authoritative, 0, 0, ledger.Unpriced)},
		{name: "no price, and no budget", body: chatBody, first: says(200, wholeAnswer), status: 200, source: record.Authoritative,
			set:    unpriced(func(b *books) { b.ids.key.Budgets = nil }),
			booked: one(ledger.Authoritative, 0, 0, ledger.Unpriced)},
		{name: "the next step's has no price", body: chainBody, first: says(500, refused), status: 502, outcome: record.UpstreamError,
			set:    func(b *books) { b.tariff("m1", nil) },
			booked: one(ledger.Unbilled, chainHeld, 0, 0)},
	})
}

// A second attempt that no budget has room for ends the exchange with what the first one came to.
func TestSecondAttemptWithoutRoom(t *testing.T) {
	dearer := abi.PriceRow{abi.Input: 2_700_000_000, abi.Output: 11_000_000_000}
	room := func(amount abi.NanoUSD) func(*books) {
		return func(b *books) {
			b.tariff("m1", &dearer)
			b.ids.key.Budgets = []abi.Budget{{Amount: amount, Period: abi.InTotal}}
		}
	}
	checkWaysOut(t, formats.OpenAI, []wayOut{
		{name: "after a failure", body: chainBody, first: says(503, refused), set: room(chainHeld), status: 503, outcome: record.UpstreamError,
			booked: one(ledger.Unbilled, chainHeld, 0, 0)},
		{name: "after one that may have been billed", body: chainBody, first: cuts(""), set: room(10*chainHeld + chainInput - 1), status: 504, outcome: record.UpstreamError,
			booked: one(ledger.Ambiguous, chainHeld, chainInput, 0)},
		{name: "to the last nano-dollar", body: chainBody, first: cuts(""), second: says(200, wholeAnswer), set: room(10*chainHeld + chainInput), status: 200,
			source: record.Authoritative, cost: 128700,
			booked: []attempt{{ledger.Ambiguous, chainHeld, chainInput, 0}, {ledger.Authoritative, 10 * chainHeld, 128700, 0}}},
	})
}

// However the gateway itself breaks, what was reserved is settled once.
func TestWaysOutByPanic(t *testing.T) {
	boom := func(when bool) abi.Answer {
		if when {
			panic("boom")
		}
		return abi.NoVerdict
	}
	priced := func(phase abi.PricePhase) func(*books) {
		return func(b *books) {
			b.policies.price = func(p *abi.Pricing) abi.Answer { return boom(p.Phase == phase) }
		}
	}
	chosen := func(attempt int64) func(*books) {
		return func(b *books) {
			b.policies.chooseStep = func(c *abi.StepChoice) abi.Answer { return boom(c.Attempt == attempt) }
		}
	}
	checkWaysOut(t, formats.OpenAI, []wayOut{
		{name: "authenticating", body: chatBody, status: 500, outcome: record.Broken,
			set: func(b *books) {
				b.policies.authenticate = func(*abi.Authentication) abi.Answer { return boom(true) }
			}},
		{name: "choosing", body: chatBody, status: 500, outcome: record.Broken, set: chosen(1)},
		{name: "choosing again", body: chainBody, first: says(500, refused), status: 500, outcome: record.Broken, set: chosen(2),
			booked: one(ledger.Unbilled, chainHeld, 0, 0)},
		{name: "estimating", body: chatBody, status: 500, outcome: record.Broken, set: priced(abi.Estimate)},
		{name: "pricing", body: chatBody, first: says(200, wholeAnswer), status: 200, outcome: record.Broken, source: record.Authoritative,
			set: priced(abi.Final), cost: 12870, booked: one(ledger.Authoritative, chatHeld, 12870, 0)},
		{name: "pricing a stream", body: streamBody, first: streams(event1, event3, usage, done), status: 200, outcome: record.Broken, source: record.Authoritative,
			set: priced(abi.Final), cost: 3550, booked: one(ledger.Authoritative, chatHeld, 3550, 0)},
	})
}

// brokenLedger breaks when an exchange leaves it.
type brokenLedger struct{ Ledger }

func (l brokenLedger) Leave(a *ledger.Admission, u *abi.Usage) {
	l.Ledger.Leave(a, u)
	panic("boom")
}

// A panic behind the answer leaves a record, and does not touch who uses the exchange next.
func TestPanicWhileSettling(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	sound := b.gateway.ledger
	b.gateway.ledger = brokenLedger{sound}
	for n, body := range []string{chatBody, streamBody} {
		b.begin(t, []script{says(200, wholeAnswer), streams(event1, event3, usage, done)}[n], never)
		resp, answer := b.send(t, "/v1/chat/completions", body, "")
		if resp.StatusCode != 200 || answer != []string{wholeAnswer, event1 + event3 + done}[n] {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
		if r := b.records.wait(t, n); r.Outcome != record.Broken || !strings.Contains(r.Cause, "boom") || r.Booked == 0 {
			t.Errorf("%+v", r)
		}
	}
	b.gateway.ledger = sound
}

// A panic between the reservation of a second attempt and its end is not booked on the first.
func TestPanicAfterReserving(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	b.begin(t, says(500, refused), never)
	snapshot := b.gateway.current.Load()
	target := snapshot.targets[b.config.Providers[1]]
	snapshot.targets[b.config.Providers[1]] = nil
	resp, _ := b.send(t, "/v1/chat/completions", chainBody, "")
	r := b.records.wait(t, 0)
	snapshot.targets[b.config.Providers[1]] = target
	if resp.StatusCode != 500 || r.Outcome != record.Broken {
		t.Errorf("%d, %v", resp.StatusCode, r.Outcome)
	}
	b.booked(t, &r, []attempt{{ledger.Unbilled, chainHeld, 0, 0}, {ledger.Ambiguous, chainHeld, chainInput, 0}})
}

// trapConn writes an answer's header and panics in what follows, and can be written to no more.
type trapConn struct {
	net.Conn
	writes int
}

func (c *trapConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		return 0, net.ErrClosed
	}
	header, _, _ := bytes.Cut(p, []byte("\r\n\r\n"))
	_, _ = c.Conn.Write(p[:len(header)+4])
	panic("boom")
}

func TestPanicWhileRelaying(t *testing.T) {
	h := newTweakedHouse(t, formats.OpenAI, func(g *Gateway) {
		handle := g.server.Handler
		g.server.Handler = func(ctx *fasthttp.RequestCtx) {
			c := ctx.Conn().(*clientConn)
			c.Conn = &trapConn{Conn: c.Conn}
			handle(ctx)
		}
	}, rawProvider(t, func(_ int, _ []byte, c net.Conn) { streams(event1, event2, event3, usage, done)(nil, c) }))
	b := &books{house: h}
	h.ids.key.Budgets = []abi.Budget{plenty}
	c, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, rawRequest(chatLine, streamBody))
	if got := text(t, c); !strings.HasPrefix(got, "HTTP/1.1 200 OK") || strings.Contains(got, "data:") || strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("the client got %q", got)
	}
	r := h.records.wait(t, 0)
	if r.Outcome != record.Broken || !strings.Contains(r.Cause, "boom") {
		t.Errorf("record: %+v", r)
	}
	b.booked(t, &r, one(ledger.Authoritative, chatHeld, 3550, 0))
}

// A shutdown waits for the exchanges under way; those that take longer than it may are booked as far as they came.
func TestWaysOutByShutdown(t *testing.T) {
	facts := []struct {
		name    string
		sends   string
		until   string // what the client has read when the shutdown begins
		grace   time.Duration
		ends    string // what the provider sends then
		booked  attempt
		outcome record.Outcome
	}{
		{"in time", streamOf(event1), event1, patience, chunk(event3+usage+done) + "0\r\n\r\n", attempt{ledger.Authoritative, chatHeld, 3550, 0}, record.Served},
		{"within a stream", streamOf(event1, event2), event2, 20 * time.Millisecond, "", attempt{ledger.Interrupted, chatHeld, chatInput + 2*1100, 0}, record.Interrupted},
		{"before an answer", "", "", 20 * time.Millisecond, "", attempt{ledger.Interrupted, chatHeld, chatInput, 0}, record.UpstreamError},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b, finish := newBooks(t, formats.OpenAI), make(chan struct{})
			b.begin(t, func(b *books, c net.Conn) {
				_, _ = io.WriteString(c, f.sends)
				b.reached <- struct{}{}
				if f.ends != "" {
					<-finish
					_, _ = io.WriteString(c, f.ends)
				}
				_, _ = c.Read(make([]byte, 1))
			}, never)
			c, err := net.Dial("tcp", b.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, rawRequest(chatLine, streamBody))
			<-b.reached
			readUntil(t, c, f.until)
			down := make(chan struct{})
			go func() { b.shutdown(f.grace); close(down) }()
			for refuses := false; !refuses; { // until it has begun
				other, err := net.Dial("tcp", b.address)
				if refuses = err != nil; !refuses {
					_ = other.Close()
				}
			}
			close(finish)
			_, _ = io.Copy(io.Discard, c)
			<-down
			if begun, ended := b.records.counts(); begun != 1 || ended != 1 {
				t.Fatalf("%d exchanges began, %d ended", begun, ended)
			}
			r := b.records.wait(t, 0)
			if r.Outcome != f.outcome {
				t.Errorf("outcome %v, want %v", r.Outcome, f.outcome)
			}
			b.booked(t, &r, []attempt{f.booked})
		})
	}
}
