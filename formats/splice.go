package formats

import "io"

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

// maxChoices is the largest n that is believed; the providers' own bound is 128.
const maxChoices = 128

// AppendEdits appends what has to change in the inspected body before it goes to a provider, in order and without
// overlaps: every place that names the model, and, if includeUsage is set and the route is a chat or completions
// stream, the request for usage, which overrides what the client said. modelJSON is the provider's model as a JSON
// string with its quotes; the edits alias it.
func (b *Body) AppendEdits(dst []Edit, r *Route, modelJSON []byte, includeUsage bool) []Edit {
	for _, span := range b.Models {
		dst = append(dst, Edit{span, modelJSON[1 : len(modelJSON)-1]})
	}
	if !b.Model.Present() {
		return dst
	}
	model := Edit{b.Model, modelJSON}
	usage, ok := b.usageEdit()
	switch {
	case !ok || !includeUsage || !b.Stream || r.Operation != Chat && r.Operation != Completions:
		return append(dst, model)
	case usage.Start < model.Start:
		return append(dst, usage, model)
	}
	return append(dst, model, usage)
}

// usageEdit is what makes the body ask for usage; ok is false if it asks already.
func (b *Body) usageEdit() (edit Edit, ok bool) {
	switch {
	case b.AskedUsage:
		return Edit{}, false
	case b.IncludeUsage.Present():
		return Edit{b.IncludeUsage, usageAsked}, true
	case !b.Options.Present():
		end := b.Model.End
		return Edit{Span{end, end}, usageMember}, true
	case b.scan.buf[b.Options.Start] != '{':
		return Edit{b.Options, usageOptions}, true
	}
	inside := Edit{Span{b.Options.Start + 1, b.Options.Start + 1}, usageFirstOption}
	if b.optionsEmpty() {
		inside.With = usageOnlyOption
	}
	return inside, true
}

// optionsEmpty says whether stream_options is an object without members.
func (b *Body) optionsEmpty() bool {
	for _, c := range b.scan.buf[b.Options.Start+1 : b.Options.End-1] {
		if c > ' ' {
			return false
		}
	}
	return true
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
		n, err := w.Write(body[at:edits[i].Start])
		if total += n; err != nil {
			return total, err
		}
		n, err = w.Write(edits[i].With)
		if total += n; err != nil {
			return total, err
		}
		at = edits[i].End
	}
	n, err := w.Write(body[at:])
	return total + n, err
}
