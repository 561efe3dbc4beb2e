package formats

import (
	"io"
	"strconv"
)

// Edit replaces a span of a body; an empty span inserts.
type Edit struct {
	Span
	With []byte
}

// What is put into a body that does not ask for usage, by what is there already.
var (
	usageOptions     = []byte(`{"include_usage":true}`)
	usageMember      = []byte(`,"stream_options":{"include_usage":true}`)
	usageOnlyOption  = []byte(`"include_usage":true`)
	usageFirstOption = []byte(`"include_usage":true,`)
	usageAsked       = []byte(`true`)
)

// What is put into a body that names no model or no maximum, around the name and the number.
var (
	modelKey      = []byte(`"model":`)
	comma         = []byte(`,`)
	closing       = []byte(`}`)
	configKey     = []byte(`"generationConfig":{"maxOutputTokens":`)
	config        = []byte(`{"maxOutputTokens":`)
	configMaximum = []byte(`"maxOutputTokens":`)
)

// maximumKeys begin the member that bounds the answer, by the operation.
var maximumKeys = [NumOperations][]byte{
	Chat:        []byte(`,"max_completion_tokens":`),
	Completions: []byte(`,"max_tokens":`),
	Responses:   []byte(`,"max_output_tokens":`),
	Messages:    []byte(`,"max_tokens":`),
}

// AppendEdits appends what has to change in the inspected body before it goes to a provider, in order and without
// overlaps; insertions that share a place stand there in the order of the edits.
//
//   - Every place that names the model gets modelJSON: the provider's model as a JSON string with its quotes. Where a
//     body has to name it and does not, it becomes the first member.
//   - If includeUsage is set and the route is a chat or completions stream, usage is asked for, whatever the client said.
//   - If maxOutput is above 0 and the body states no maximum for its answer, that many tokens become it, unless the
//     endpoint has no output.
//
// The edits alias modelJSON and the Body, and are valid until it is used again.
func (b *Body) AppendEdits(dst []Edit, r *Route, modelJSON []byte, includeUsage bool, maxOutput int64) []Edit {
	first := len(dst)
	for _, span := range b.Models {
		dst = append(dst, Edit{span, modelJSON[1 : len(modelJSON)-1]})
	}
	at := Span{b.Model.End, b.Model.End} // new members stand behind the model
	switch {
	case b.Model.Present():
		dst = append(dst, Edit{b.Model, modelJSON})
	case r.ModelInBody():
		at = b.inside()
		dst = append(dst, Edit{at, modelKey}, Edit{at, modelJSON})
	default:
		at = b.inside()
	}
	if includeUsage && b.Stream && (r.Operation == Chat || r.Operation == Completions) {
		dst = b.appendUsage(dst, at)
	}
	if maxOutput > 0 && !b.bounded && r.HasOutput() {
		dst = b.appendMaximum(dst, r, at, maxOutput)
	}
	if !b.Model.Present() && !b.empty(at.Start) && insertsAt(dst[first:], at) {
		dst = append(dst, Edit{at, comma})
	}
	sortEdits(dst[first:])
	return dst
}

// insertsAt says whether new members come first in the object, so that a comma has to follow them.
func insertsAt(edits []Edit, at Span) bool {
	for i := range edits {
		if edits[i].Span == at {
			return true
		}
	}
	return false
}

// inside is the place of a first member.
func (b *Body) inside() Span {
	at, _ := next(b.scan.buf, 0)
	return Span{at + 1, at + 1}
}

// empty says whether the object whose first member would stand at i has none.
func (b *Body) empty(i int) bool {
	_, c := next(b.scan.buf, i)
	return c == '}'
}

// appendUsage makes the body ask for usage if it does not.
func (b *Body) appendUsage(dst []Edit, at Span) []Edit {
	switch {
	case b.AskedUsage:
		return dst
	case b.IncludeUsage.Present():
		return append(dst, Edit{b.IncludeUsage, usageAsked})
	case !b.Options.Present():
		return append(dst, Edit{at, usageMember})
	case b.scan.buf[b.Options.Start] != '{':
		return append(dst, Edit{b.Options, usageOptions})
	}
	within := b.Options.Start + 1
	if b.empty(within) {
		return append(dst, Edit{Span{within, within}, usageOnlyOption})
	}
	return append(dst, Edit{Span{within, within}, usageFirstOption})
}

// appendMaximum bounds the answer.
func (b *Body) appendMaximum(dst []Edit, r *Route, at Span, tokens int64) []Edit {
	b.number = strconv.AppendInt(b.number[:0], tokens, 10)
	switch {
	case b.nothing.Present():
		return append(dst, Edit{b.nothing, b.number})
	case r.Format != Gemini:
		return append(dst, Edit{at, maximumKeys[r.Operation]}, Edit{at, b.number})
	case !b.config.Present():
		return append(dst, Edit{at, configKey}, Edit{at, b.number}, Edit{at, closing})
	case b.scan.buf[b.config.Start] != '{':
		end := Span{b.config.End, b.config.End}
		return append(dst, Edit{b.config, config}, Edit{end, b.number}, Edit{end, closing})
	}
	within := Span{b.config.Start + 1, b.config.Start + 1}
	dst = append(dst, Edit{within, configMaximum}, Edit{within, b.number})
	if b.empty(within.Start) {
		return dst
	}
	return append(dst, Edit{within, comma})
}

// sortEdits puts the few edits that are out of place where they belong; those of one place keep their order.
func sortEdits(edits []Edit) {
	for i := 1; i < len(edits); i++ {
		for j := i; j > 0 && edits[j].Start < edits[j-1].Start; j-- {
			edits[j], edits[j-1] = edits[j-1], edits[j]
		}
	}
}

// SplicedLen is the length of the body after the edits.
func SplicedLen(body []byte, edits []Edit) int {
	n := len(body)
	for i := range edits {
		n += len(edits[i].With) - (edits[i].End - edits[i].Start)
	}
	return n
}

// WriteSpliced writes the edited body piece by piece, so that a large one is never copied. It returns the number of
// bytes written.
func WriteSpliced(w io.Writer, body []byte, edits []Edit) (int, error) {
	total, at := 0, 0
	for i := range edits {
		if kept := body[at:edits[i].Start]; len(kept) > 0 {
			n, err := w.Write(kept)
			if total += n; err != nil {
				return total, err
			}
		}
		n, err := w.Write(edits[i].With)
		if total += n; err != nil {
			return total, err
		}
		at = edits[i].End
	}
	n, err := w.Write(body[at:])
	return total + n, err
}
