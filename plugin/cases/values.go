package cases

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Hook is an abi.Hook by its name.
type Hook abi.Hook

// UnmarshalJSON reads a hook's name.
func (h *Hook) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	hook, ok := abi.ParseHook(name)
	if !ok {
		return fmt.Errorf("%q is no hook", name)
	}
	*h = Hook(hook)
	return nil
}

// MarshalJSON writes the hook's name.
func (h Hook) MarshalJSON() ([]byte, error) { return json.Marshal(abi.Hook(h).String()) }

// These are numbers of the contract that may be written as words.
type (
	// Shape is an abi.CredentialShape.
	Shape abi.CredentialShape
	// ErrorClass is an abi.ErrorClass.
	ErrorClass abi.ErrorClass
	// KeyState is an abi.KeyState.
	KeyState abi.KeyState
	// Health is an abi.StepHealth.
	Health abi.StepHealth
	// Phase is an abi.PricePhase.
	Phase abi.PricePhase
)

// The words, by their numbers.
var (
	shapes = []string{"none", "foreign", "generated", "mistyped"}
	phases = []string{"", "estimate", "final"}
)

// UnmarshalJSON reads a number or none, foreign, generated, mistyped.
func (s *Shape) UnmarshalJSON(text []byte) error { return unmarshalWord(text, s, shapes) }

// UnmarshalJSON reads a number or the name of a class.
func (c *ErrorClass) UnmarshalJSON(text []byte) error {
	var names []string
	for class := range abi.NumErrorClasses {
		names = append(names, class.String())
	}
	return unmarshalWord(text, c, names)
}

// UnmarshalJSON reads a number or active, disabled, revoked.
func (s *KeyState) UnmarshalJSON(text []byte) error {
	var names []string
	for state := abi.KeyActive; state <= abi.KeyRevoked; state++ {
		names = append(names, state.String())
	}
	return unmarshalWord(text, s, names)
}

// UnmarshalJSON reads a number or the name of a health.
func (h *Health) UnmarshalJSON(text []byte) error {
	var names []string
	for health := range abi.NumStepHealths {
		names = append(names, health.String())
	}
	return unmarshalWord(text, h, names)
}

// UnmarshalJSON reads a number or estimate, final.
func (p *Phase) UnmarshalJSON(text []byte) error { return unmarshalWord(text, p, phases) }

func unmarshalWord[T ~int64](text []byte, into *T, names []string) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		*into = T(n)
		return nil
	}
	var word string
	if err := json.Unmarshal(text, &word); err != nil {
		return err
	}
	for n, name := range names {
		if name == word && word != "" {
			*into = T(n)
			return nil
		}
	}
	return fmt.Errorf("%q is none of %q", word, names)
}

// Moment is a time in Unix milliseconds; 0 is none. It may be written as text: 2026-11-21T12:00:00Z.
type Moment int64

// UnmarshalJSON reads a number of milliseconds, or a text as RFC 3339 has it.
func (m *Moment) UnmarshalJSON(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		*m = Moment(n)
		return nil
	}
	var word string
	if err := json.Unmarshal(text, &word); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, word)
	if err != nil {
		return fmt.Errorf("%q is no time such as 2026-11-21T12:00:00Z", word)
	}
	*m = Moment(t.UnixMilli())
	return nil
}

// Time returns the time; the zero time for none.
func (m Moment) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// Amounts has a number for each dimension: units that were used, or nano-dollars. It is written as a list in the order of
// the dimensions, or by their names.
type Amounts [abi.NumDimensions]int64

// UnmarshalJSON reads either form. What is left out is 0.
func (a *Amounts) UnmarshalJSON(text []byte) error {
	var list []int64
	if json.Unmarshal(text, &list) == nil {
		if len(list) > len(a) {
			return fmt.Errorf("there are %d dimensions, not %d", len(a), len(list))
		}
		copy(a[:], list)
		return nil
	}
	var named map[string]int64
	if err := json.Unmarshal(text, &named); err != nil {
		return err
	}
	for name, amount := range named {
		d, ok := parseDimension(name)
		if !ok {
			return fmt.Errorf("%q is no dimension", name)
		}
		a[d] = amount
	}
	return nil
}

func parseDimension(name string) (abi.Dimension, bool) {
	for d := range abi.NumDimensions {
		if d.String() == name {
			return d, true
		}
	}
	return 0, false
}

// MarshalJSON writes what is not 0, by name.
func (a Amounts) MarshalJSON() ([]byte, error) {
	named := map[string]int64{}
	for d, amount := range a {
		if amount != 0 {
			named[abi.Dimension(d).String()] = amount
		}
	}
	return json.Marshal(named)
}

// State is what a policy remembers, by key.
type State map[string]Entry

// Entry is what stands under one key: a value, of which a counter is one, or a sliding window. A value that is text may be
// written as that alone, and so may a counter as its number.
type Entry struct {
	Value string `json:"value,omitempty"`
	Bytes []byte `json:"base64,omitempty"` // a value that is not text
	TTL   int64  `json:"ttl_ms,omitempty"` // before the call; 0: for good

	Used   *int64 `json:"used,omitempty"`      // of a window
	Window int64  `json:"window_ms,omitempty"` // the window's length
}

// UnmarshalJSON reads either form.
func (e *Entry) UnmarshalJSON(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		*e = Entry{Value: strconv.FormatInt(n, 10)}
		return nil
	}
	if text[0] == '"' {
		*e = Entry{}
		return json.Unmarshal(text, &e.Value)
	}
	type plain Entry // without this method
	return json.Unmarshal(text, (*plain)(e))
}

// Content returns the bytes of a value.
func (e Entry) Content() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.Value)
}
