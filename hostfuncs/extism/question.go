package extism

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// appendQuestion appends what the running hook asks, as JSON: every field that the policy may read and that has a
// value, by the names of abi.Fields. While an instance comes up no hook runs: then it is the policy's configuration.
func appendQuestion(dst []byte, k *kernel, c *runtime.Call) []byte {
	if c.Hook >= abi.NumHooks {
		return append(dst, c.Config()...)
	}
	w := message{dst}
	w.open("")
	w.number("abi", abi.Version)
	text(&w, "hook", c.Hook.String())
	w.request(c)
	switch c.Hook {
	case abi.Authenticate:
		w.authentication(k, c)
	case abi.ChooseStep:
		w.identity(c.Identity)
		w.choice(c.StepChoice)
	default:
		w.identity(c.Identity)
		w.pricing(c.Pricing)
	}
	w.close()
	return w.b
}

// message is JSON that is being written, member by member. An element of an array has no name.
type message struct{ b []byte }

// name begins a member or an element.
func (w *message) name(name string) {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
	if name != "" {
		w.b = append(w.b, '"')
		w.b = append(w.b, name...) // of the contract: nothing in it needs to be escaped
		w.b = append(w.b, '"', ':')
	}
}

func (w *message) open(name string) {
	w.name(name)
	w.b = append(w.b, '{')
}

func (w *message) close() { w.b = append(w.b, '}') }

func (w *message) openList(name string) {
	w.name(name)
	w.b = append(w.b, '[')
}

func (w *message) closeList() { w.b = append(w.b, ']') }

func (w *message) null(name string) {
	w.name(name)
	w.b = append(w.b, "null"...)
}

func (w *message) number(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *message) boolean(name string, v bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, v)
}

// amount writes money as a text: a JSON reader may make a float of a number.
func (w *message) amount(name string, n abi.NanoUSD) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = strconv.AppendInt(w.b, int64(n), 10)
	w.b = append(w.b, '"')
}

// optional writes a text unless it is empty, which means that there is none.
func optional[T string | []byte](w *message, name string, s T) {
	if len(s) > 0 {
		text(w, name, s)
	}
}

// text writes a text. What is not UTF-8 is replaced, as JSON knows nothing else.
func text[T string | []byte](w *message, name string, s T) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = appendEscaped(w.b, s)
	w.b = append(w.b, '"')
}

func appendEscaped[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); {
		b := s[i]
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
			i++
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
			i++
		case b < utf8.RuneSelf:
			dst = append(dst, b)
			i++
		default:
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst
}

func (w *message) request(c *runtime.Call) {
	r := c.Request
	if r == nil {
		return
	}
	w.open("request")
	optional(w, "id", r.ID)
	optional(w, "method", r.Method)
	optional(w, "path", r.Path)
	optional(w, "format", r.Format)
	optional(w, "operation", r.Operation)
	optional(w, "client_address", r.ClientAddress)
	optional(w, "model", r.Model)
	w.boolean("stream", r.Stream)
	w.headers(c)
	w.close()
}

// headers writes those that are granted and there.
func (w *message) headers(c *runtime.Call) {
	if c.Request.Headers == nil {
		return
	}
	w.open("headers")
	for name := range c.GrantedNames(abi.FieldRequestHeaders) {
		if value, ok := c.Request.Headers.Header(name); ok {
			w.header(name, value)
		}
	}
	w.close()
}

// header writes a member whose name the operator chose.
func (w *message) header(name string, value []byte) {
	w.name("")
	w.b = append(w.b, '"')
	w.b = appendEscaped(w.b, name)
	w.b = append(w.b, `":"`...)
	w.b = appendEscaped(w.b, value)
	w.b = append(w.b, '"')
}

// Names of what has only numbers in the fast tier.
var (
	shapeNames = [...]string{"none", "foreign", "generated", "mistyped"}
	phaseNames = [...]string{"", "estimate", "final"}
)

// nameOf finds the name of a number, which may be newer than the names.
func nameOf[T ~int64](names []string, n T) string {
	if n < 0 || int64(n) >= int64(len(names)) {
		return "unknown"
	}
	return names[n]
}

func (w *message) authentication(k *kernel, c *runtime.Call) {
	a := c.Authentication
	w.open("credential")
	if c.GrantedField(abi.FieldCredential) {
		optional(w, "value", a.Credential)
	}
	if a.Digest != (abi.Digest{}) {
		w.name("digest")
		w.b = append(w.b, '"')
		w.b = hex.AppendEncode(w.b, a.Digest[:])
		w.b = append(w.b, '"')
	}
	text(w, "shape", nameOf(shapeNames[:], a.Shape))
	w.close()
	switch {
	case c.Veto:
		w.boolean("veto", true)
		w.identity(c.Identity)
	case !c.GrantedIdentities():
	case k.lookUp(c) > abi.OK:
		w.identity(c.Identity)
	default:
		w.null("identity")
	}
}

func (w *message) identity(i *abi.Identity) {
	if i == nil {
		w.null("identity")
		return
	}
	w.open("identity")
	text(w, "key_id", i.KeyID)
	optional(w, "name", i.Name)
	optional(w, "team", i.Team)
	text(w, "state", i.State.String())
	w.instant("expires", i.Expires)
	w.openList("models")
	for _, model := range i.Models {
		text(w, "", model)
	}
	w.closeList()
	w.openList("labels")
	for l := range i.Labels {
		w.label(&i.Labels[l])
	}
	w.closeList()
	w.open("limits")
	for l := range abi.NumLimits {
		if bound := i.Limits[l]; bound != 0 {
			w.number(l.String(), bound)
		}
	}
	w.close()
	optional(w, "default_model", i.DefaultModel)
	w.close()
}

func (w *message) label(l *abi.Label) {
	w.name("")
	w.b = append(w.b, '"')
	w.b = appendEscaped(w.b, l.Name)
	w.b = append(w.b, '=')
	w.b = appendEscaped(w.b, l.Value)
	w.b = append(w.b, '"')
}

// instant writes a time in milliseconds, unless it is zero, which means that there is none.
func (w *message) instant(name string, t time.Time) {
	if !t.IsZero() {
		w.number(name, t.UnixMilli())
	}
}

func (w *message) choice(s *abi.StepChoice) {
	text(w, "chain", s.Chain)
	w.number("attempt", s.Attempt)
	text(w, "last_error", s.LastError.String())
	if s.LastStep >= 0 {
		w.number("last_step", s.LastStep)
	}
	w.openList("steps")
	for i := range s.Steps {
		step := &s.Steps[i]
		w.open("")
		text(w, "model", step.Model)
		text(w, "provider", step.Provider)
		w.number("priority", step.Priority)
		w.number("weight", step.Weight)
		if i < len(s.Tries) {
			w.number("tries", s.Tries[i])
		}
		w.close()
	}
	w.closeList()
}

func (w *message) pricing(p *abi.Pricing) {
	text(w, "phase", nameOf(phaseNames[:], p.Phase))
	text(w, "provider", p.Provider)
	text(w, "model", p.Model)
	w.open("usage")
	for d := range abi.NumDimensions {
		if units := p.Usage[d]; units != 0 {
			w.number(d.String(), units)
		}
	}
	w.close()
	if p.Price == nil {
		w.null("price")
		return
	}
	w.open("price")
	for d := range abi.NumDimensions {
		if price := p.Price[d]; price != 0 {
			w.amount(d.String(), price)
		}
	}
	w.close()
}
