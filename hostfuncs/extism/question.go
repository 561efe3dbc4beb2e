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
// value, by the names of abi.Fields; of them only those that its manifest names, if it names any. While an instance comes up no hook runs: then it is the policy's configuration.
func appendQuestion(dst []byte, k *kernel, c *runtime.Call) []byte {
	if c.Hook >= abi.NumHooks {
		return append(dst, c.Config()...)
	}
	w := message{dst, c}
	w.open("")
	w.number(always, "abi", abi.Version)
	text(&w, always, "hook", c.Hook.String())
	w.request(c)
	switch c.Hook {
	case abi.Authenticate:
		w.authentication(k, c)
	case abi.ChooseStep:
		w.knownIdentity()
		w.choice(c.StepChoice)
	default:
		w.knownIdentity()
		w.pricing(c.Pricing)
	}
	w.close()
	return w.b
}

// message is JSON that is being written, member by member. An element of an array has no name. A member that the policy does
// not want is left out.
type message struct {
	b    []byte
	call *runtime.Call
}

// always is the field of what every message has.
const always abi.FieldID = 0

func (w *message) wants(field abi.FieldID) bool { return field == always || w.call.Wants(field) }

// wantsAny reports whether the policy wants one of a range of fields.
func (w *message) wantsAny(first, last abi.FieldID) bool {
	for field := first; field <= last; field++ {
		if w.wants(field) {
			return true
		}
	}
	return false
}

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

func (w *message) number(field abi.FieldID, name string, n int64) {
	if w.wants(field) {
		w.name(name)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

func (w *message) boolean(field abi.FieldID, name string, v bool) {
	if w.wants(field) {
		w.name(name)
		w.b = strconv.AppendBool(w.b, v)
	}
}

// amount writes money as a text: a JSON reader may make a float of a number.
func (w *message) amount(field abi.FieldID, name string, n abi.NanoUSD) {
	if !w.wants(field) {
		return
	}
	w.name(name)
	w.b = append(w.b, '"')
	w.b = strconv.AppendInt(w.b, int64(n), 10)
	w.b = append(w.b, '"')
}

// optional writes a text unless it is empty, which means that there is none.
func optional[T string | []byte](w *message, field abi.FieldID, name string, s T) {
	if len(s) > 0 {
		text(w, field, name, s)
	}
}

// text writes a text. What is not UTF-8 is replaced, as JSON knows nothing else.
func text[T string | []byte](w *message, field abi.FieldID, name string, s T) {
	if !w.wants(field) {
		return
	}
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
	optional(w, abi.FieldRequestID, "id", r.ID)
	optional(w, abi.FieldRequestMethod, "method", r.Method)
	optional(w, abi.FieldRequestPath, "path", r.Path)
	optional(w, abi.FieldRequestFormat, "format", r.Format)
	optional(w, abi.FieldRequestOperation, "operation", r.Operation)
	optional(w, abi.FieldRequestClientAddress, "client_address", r.ClientAddress)
	optional(w, abi.FieldRequestModel, "model", r.Model)
	w.boolean(abi.FieldRequestStream, "stream", r.Stream)
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
		optional(w, abi.FieldCredential, "value", a.Credential)
	}
	if a.Digest != (abi.Digest{}) && w.wants(abi.FieldCredentialDigest) {
		w.name("digest")
		w.b = append(w.b, '"')
		w.b = hex.AppendEncode(w.b, a.Digest[:])
		w.b = append(w.b, '"')
	}
	text(w, abi.FieldCredentialShape, "shape", nameOf(shapeNames[:], a.Shape))
	w.close()
	if c.Veto {
		w.boolean(always, "veto", true)
	}
	switch {
	case !w.wantsAny(abi.FieldIdentityKeyID, abi.FieldIdentityDefaultModel):
	case c.Veto:
		w.identity(c.Identity)
	case !c.GrantedIdentities():
	case k.lookUp(c) > abi.OK:
		w.identity(c.Identity)
	default:
		w.null("identity")
	}
}

// knownIdentity writes whose request it is.
func (w *message) knownIdentity() {
	if w.wantsAny(abi.FieldIdentityKeyID, abi.FieldIdentityDefaultModel) {
		w.identity(w.call.Identity)
	}
}

func (w *message) identity(i *abi.Identity) {
	if i == nil {
		w.null("identity")
		return
	}
	w.open("identity")
	text(w, abi.FieldIdentityKeyID, "key_id", i.KeyID)
	optional(w, abi.FieldIdentityName, "name", i.Name)
	optional(w, abi.FieldIdentityTeam, "team", i.Team)
	text(w, abi.FieldIdentityState, "state", i.State.String())
	w.instant(abi.FieldIdentityExpires, "expires", i.Expires)
	if w.wants(abi.FieldIdentityModels) {
		w.openList("models")
		for _, model := range i.Models {
			text(w, always, "", model)
		}
		w.closeList()
	}
	if w.wants(abi.FieldIdentityLabels) {
		w.openList("labels")
		for l := range i.Labels {
			w.label(&i.Labels[l])
		}
		w.closeList()
	}
	if w.wants(abi.FieldIdentityLimits) {
		w.limits(&i.Limits)
	}
	optional(w, abi.FieldIdentityDefaultModel, "default_model", i.DefaultModel)
	w.close()
}

func (w *message) limits(limits *abi.Limits) {
	w.open("limits")
	for l := range abi.NumLimits {
		if bound := limits[l]; bound != 0 {
			w.number(always, l.String(), bound)
		}
	}
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
func (w *message) instant(field abi.FieldID, name string, t time.Time) {
	if !t.IsZero() {
		w.number(field, name, t.UnixMilli())
	}
}

func (w *message) choice(s *abi.StepChoice) {
	text(w, abi.FieldChain, "chain", s.Chain)
	w.number(abi.FieldAttempt, "attempt", s.Attempt)
	text(w, abi.FieldLastError, "last_error", s.LastError.String())
	if s.LastStep >= 0 {
		w.number(abi.FieldLastStep, "last_step", s.LastStep)
	}
	optional(w, abi.FieldStrategy, "strategy", s.Strategy)
	if n, ok := s.AffinityNumber(); ok {
		w.number(abi.FieldAffinity, "affinity", n)
	}
	if !w.wants(abi.FieldStepCount) && !w.wantsAny(abi.FieldStepModel, abi.FieldStepContext) {
		return
	}
	w.openList("steps")
	for i := range s.Steps {
		w.step(s, i)
	}
	w.closeList()
}

func (w *message) step(s *abi.StepChoice, i int) {
	step, state := &s.Steps[i], s.State(i)
	w.open("")
	text(w, abi.FieldStepModel, "model", step.Model)
	text(w, abi.FieldStepProvider, "provider", step.Provider)
	w.number(abi.FieldStepPriority, "priority", step.Priority)
	w.number(abi.FieldStepWeight, "weight", step.Weight)
	if i < len(s.Tries) {
		w.number(abi.FieldStepTries, "tries", s.Tries[i])
	}
	w.boolean(abi.FieldStepAvailable, "available", state.Available)
	text(w, abi.FieldStepHealth, "health", state.Health.String())
	w.number(abi.FieldStepCooldown, "cooldown", state.CooldownMillis())
	w.number(abi.FieldStepLatency, "latency", state.LatencyMicros())
	w.number(abi.FieldStepActive, "active", state.Active)
	w.number(abi.FieldStepContext, "context", step.Context)
	if step.Price != nil {
		w.amount(abi.FieldStepPriceInput, "price_input", step.PriceOf(abi.Input))
		w.amount(abi.FieldStepPriceOutput, "price_output", step.PriceOf(abi.Output))
	}
	w.close()
}

func (w *message) pricing(p *abi.Pricing) {
	text(w, abi.FieldPricePhase, "phase", nameOf(phaseNames[:], p.Phase))
	text(w, abi.FieldProvider, "provider", p.Provider)
	text(w, abi.FieldModel, "model", p.Model)
	if w.wants(abi.FieldUsage) {
		w.open("usage")
		for d := range abi.NumDimensions {
			if units := p.Usage[d]; units != 0 {
				w.number(always, d.String(), units)
			}
		}
		w.close()
	}
	if w.wants(abi.FieldPrice) {
		w.price(p.Price)
	}
}

func (w *message) price(row *abi.PriceRow) {
	if row == nil {
		w.null("price")
		return
	}
	w.open("price")
	for d := range abi.NumDimensions {
		if price := row[d]; price != 0 {
			w.amount(always, d.String(), price)
		}
	}
	w.close()
}
