package lock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// Change is one thing that is different in another version of a plugin.
type Change struct {
	Part string // hooks, imports, grants, inputs, limits, size, contract, signer, …
	Text string // one line for people
	More bool   // it is asked at more places, calls more, wants more or is less sure: what to look at first
}

// Diff says what is different in the next version of a plugin, as far as that can be seen without running it. Nothing is
// different between versions that are the same to the byte.
func Diff(old, next *Version) []Change {
	d := &differ{}
	if old.Wasm != next.Wasm {
		d.texts(old, next)
		if old.Report != nil && next.Report != nil {
			d.reports(old.Report, next.Report)
		}
		d.code(old.Content, next.Content)
		d.size(len(old.Content), len(next.Content))
	}
	if old.Signer != next.Signer {
		d.say("signer", next.Signer.Key == "", "was signed by %s, is signed by %s", old.Signer, next.Signer)
	}
	return d.changes
}

// WriteChanges writes changes for people, those to look at first marked with an exclamation mark.
func WriteChanges(out io.Writer, changes []Change) error {
	var b strings.Builder
	for _, c := range changes {
		mark := " "
		if c.More {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %-13s %s\n", mark, c.Part, c.Text)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

type differ struct{ changes []Change }

func (d *differ) say(part string, more bool, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, fmt.Sprintf(format, args...))
	d.changes = append(d.changes, Change{part, text, more})
}

// text says how a fact has changed that is one word or line.
func (d *differ) text(part, old, next string) {
	if old != next {
		d.say(part, false, "%s → %s", orNone(old), orNone(next))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// lists says what has come to a list and what has left it.
func (d *differ) lists(part, come, gone string, more bool, old, next []string) {
	if added := without(next, old); len(added) > 0 {
		d.say(part, more, "%s %s", come, strings.Join(added, ", "))
	}
	if removed := without(old, next); len(removed) > 0 {
		d.say(part, false, "%s %s", gone, strings.Join(removed, ", "))
	}
}

// without returns what of a list is not in another one.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// texts compares what plugins say of themselves.
func (d *differ) texts(old, next *Version) {
	before, after := orEmpty(old.manifest()), orEmpty(next.manifest())
	d.text("name", before.Name, after.Name)
	d.text("version", before.Version, after.Version)
	d.text("author", before.Author, after.Author)
	d.text("licence", before.Licence, after.Licence)
	d.text("source", before.Source, after.Source)
	d.text("revision", before.Revision, after.Revision)
	d.text("built by", before.Toolchain, after.Toolchain)
	if old.Report != nil && next.Report != nil && before.ABI != after.ABI {
		d.say("contract", true, "version %s → version %s", orNone(abiText(before.ABI)), orNone(abiText(after.ABI)))
	}
	d.grants(before.Grants, after.Grants)
	d.lists("inputs", "now reads", "no longer reads", false, before.Inputs, after.Inputs)
	d.limits(before.Limits, after.Limits)
	d.configuration(before.ConfigSchema, after.ConfigSchema)
	if a, b := len(before.Cases()), len(after.Cases()); a != b {
		d.say("self-test", b < a, "%d cases → %d cases", a, b)
	}
}

// code says that something else runs, which nothing beside it need tell. What a plugin says of itself does not run.
func (d *differ) code(old, next []byte) {
	if len(old) == 0 || len(next) == 0 {
		return // it is not at hand
	}
	if a, err := manifest.Strip(old); err == nil {
		old = a
	}
	if b, err := manifest.Strip(next); err == nil {
		next = b
	}
	if !bytes.Equal(old, next) {
		d.say("code", false, "is not the same")
	}
}

func orEmpty(m *manifest.Manifest) *manifest.Manifest {
	if m == nil {
		return &manifest.Manifest{}
	}
	return m
}

func abiText(version int) string {
	if version == 0 {
		return ""
	}
	return fmt.Sprint(version)
}

func (d *differ) grants(old, next []manifest.Ask) {
	reasons := map[string]string{}
	for _, a := range old {
		reasons[a.String()] = a.Reason
	}
	for _, a := range next {
		reason, had := reasons[a.String()]
		delete(reasons, a.String())
		switch {
		case !had:
			d.say("grants", true, "now asks for %s, with the reason %q", a, a.Reason)
		case reason != a.Reason:
			d.say("grants", false, "asks for %s with another reason: %q", a, a.Reason)
		}
	}
	for _, gone := range slices.Sorted(maps.Keys(reasons)) {
		d.say("grants", false, "no longer asks for %s", gone)
	}
}

func (d *differ) limits(old, next manifest.Limits) {
	limit := func(what string, old, next int64, text func(int64) string) {
		if old != next {
			d.say("limits", next > old, "%s %s → %s", what, text(old), text(next))
		}
	}
	orDefault := func(text func(int64) string) func(int64) string {
		return func(n int64) string {
			if n == 0 {
				return "the default"
			}
			return text(n)
		}
	}
	limit("fuel", old.Fuel, next.Fuel, orDefault(func(n int64) string { return fmt.Sprint(n) }))
	limit("time", old.Time, next.Time, orDefault(func(n int64) string { return (time.Duration(n) * time.Millisecond).String() }))
	limit("memory", old.Memory, next.Memory, orDefault(manifest.Size))
}

// configuration compares the members that configurations may have.
func (d *differ) configuration(old, next json.RawMessage) {
	if string(old) == string(next) {
		return
	}
	before, needed := members(old)
	after, needs := members(next)
	count := len(d.changes)
	d.lists("configuration", "now takes", "no longer takes", false, before, after)
	if added := without(needs, needed); len(added) > 0 {
		d.say("configuration", true, "now needs %s", strings.Join(added, ", "))
	}
	if len(d.changes) == count {
		d.say("configuration", false, "is checked by another schema")
	}
}

// members returns what a schema of the usual kind names.
func members(text json.RawMessage) (all, required []string) {
	var schema struct {
		Required   []string                   `json:"required"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(text, &schema) != nil {
		return nil, nil // there is none, or it is of another kind
	}
	return slices.Sorted(maps.Keys(schema.Properties)), schema.Required
}

// reports compares what is seen in the modules themselves.
func (d *differ) reports(old, next *inspect.Report) {
	d.lists("hooks", "is now asked at", "is no longer asked at", true, hooks(old), hooks(next))
	if a, b := orEmpty(old.Manifest).Veto, orEmpty(next.Manifest).Veto; a != b {
		d.say("hooks", true, "%s", map[bool]string{true: "is now meant to be bound with veto: true", false: "is no longer meant to be bound with veto: true"}[b])
	}
	for _, module := range slices.Sorted(maps.Keys(union(old.Imports, next.Imports))) {
		d.lists("imports", "now calls", "no longer calls", true, within(module, old), within(module, next))
	}
	if a, b := old.Script > 0, next.Script > 0; a != b {
		d.say("module", true, "%s", map[bool]string{true: "now runs a script", false: "no longer runs a script"}[b])
	}
	if !old.Start && next.Start {
		d.say("module", true, "now runs code when it is instantiated")
	}
	d.text("memory", old.Memory.String(), next.Memory.String())
	if fresh := without(next.Problems, old.Problems); len(fresh) > 0 {
		d.say("problems", true, "would not be loaded: %s", strings.Join(fresh, "; "))
	}
}

// hooks are those that a plugin is asked at where policies.yaml does not say.
func hooks(r *inspect.Report) []string {
	if m := r.Manifest; m != nil && len(m.Hooks) > 0 {
		return m.Hooks
	}
	return r.Hooks
}

func union(a, b map[string][]string) map[string][]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// within names what a plugin imports from a module; those of the contract need no prefix.
func within(module string, r *inspect.Report) []string {
	names := slices.Clone(r.Imports[module])
	if module != abi.ModulePolicy {
		for i := range names {
			names[i] = module + "." + names[i]
		}
	}
	return names
}

func (d *differ) size(old, next int) {
	if old != next {
		d.say("size", next > 2*old, "%s → %s", kib(old), kib(next))
	}
}

func kib(bytes int) string {
	if bytes < 10<<10 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%d KiB", (bytes+512)>>10)
}
