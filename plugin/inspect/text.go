package inspect

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// tiers says what they mean.
var tiers = map[string]string{
	Fast:     "the fast tier",
	Portable: "the portable tier, of Extism plugins",
	Mixed:    "the fast tier and the portable one",
	NoTier:   "no tier: it asks its host nothing",
}

// grantMeanings says what a grant lets a policy do.
var grantMeanings = map[string]string{
	"identities: read":   "look up which stored key a credential is, with its limits and models",
	"kv: own":            "remember values, counters and windows of its own",
	"inputs: credential": "see the credentials that clients send, as they are",
}

// Write writes the report for people. file is what the module is called in it.
func (r *Report) Write(out io.Writer, file string) error {
	w := &writer{}
	r.head(w, file)
	r.grants(w)
	r.configuration(w)
	w.title("Imports")
	for _, module := range slices.Sorted(maps.Keys(r.Imports)) {
		w.entry(module, strings.Join(r.Imports[module], ", "))
	}
	if len(r.Imports) == 0 {
		w.line("nothing")
	}
	if len(r.Newer) > 0 {
		w.line("It is newer than this Sallyport, which answers \"not supported\" to %s.", strings.Join(r.Newer, ", "))
	}
	w.list("Problems", r.Problems)
	w.list("Remarks", r.Remarks)
	if m := r.Manifest; m != nil {
		w.title("In policies.yaml")
		w.line("%s", m.Entry(file))
	}
	_, err := io.WriteString(out, w.String())
	return err
}

func (r *Report) head(w *writer, file string) {
	m := r.Manifest
	if m == nil {
		m = &manifest.Manifest{}
		w.line("%s, without a manifest", r.Name(file))
	} else {
		w.line("%s %s", m.Name, m.Version)
		w.optional("", m.Description)
	}
	w.title("Module")
	w.entry("file", fmt.Sprintf("%s, %s", file, humanSize(int64(r.Size))))
	w.entry("sha256", r.SHA256)
	w.entry("contract", fmt.Sprintf("version %d, %s", abi.Version, tiers[r.Tier]))
	hooks := strings.Join(r.Hooks, ", ")
	if len(m.Hooks) > 0 && len(m.Hooks) < len(r.Hooks) {
		hooks += "; to be asked at " + strings.Join(m.Hooks, ", ")
	}
	if m.Veto {
		hooks += "; as a veto"
	}
	w.entry("hooks", hooks)
	w.entry("memory", r.Memory.String())
	w.entry("functions", fmt.Sprint(r.Functions))
	if r.Script > 0 {
		w.entry("script", humanSize(int64(r.Script))+", which the module runs")
	}
	w.optional("author", m.Author)
	w.optional("licence", m.Licence)
	w.optional("source", m.Source)
	w.optional("revision", m.Revision)
	w.optional("built by", m.Toolchain)
	w.optional("limits", limits(m.Limits))
	if tests := len(m.Cases()); tests > 0 {
		w.entry("self-test", fmt.Sprintf("%d cases, before it goes live", tests))
	}
}

// String says how much memory an instance takes.
func (m *Memory) String() string {
	switch {
	case m == nil:
		return "none"
	case m.Most > 0:
		return fmt.Sprintf("%s to begin with, at most %s", humanSize(m.Initial), humanSize(m.Most))
	default:
		return humanSize(m.Initial) + " to begin with"
	}
}

func limits(l manifest.Limits) string {
	var all []string
	if l.Fuel > 0 {
		all = append(all, fmt.Sprintf("%d units of fuel a call", l.Fuel))
	}
	if l.Time > 0 {
		all = append(all, fmt.Sprintf("%s a call", time.Duration(l.Time)*time.Millisecond))
	}
	if l.Memory > 0 {
		all = append(all, humanSize(l.Memory)+" of memory")
	}
	return strings.Join(all, ", ")
}

// grants says what the plugin wants to be allowed, and why.
func (r *Report) grants(w *writer) {
	w.title("Asks for")
	m := r.Manifest
	switch {
	case m == nil:
		w.line("It has no manifest to ask for anything in. What it imports needs: %s", orNothing(strings.Join(r.Needs, ", ")))
		return
	case len(m.Grants) == 0:
		w.line("no grants")
		return
	}
	for _, a := range m.Grants {
		meaning := grantMeanings[a.String()]
		if header, ok := strings.CutPrefix(a.Input, "request.headers."); ok {
			meaning = "see the request's header " + header
		}
		w.entry(a.String(), fmt.Sprintf("to %s: %q", meaning, a.Reason))
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// configuration shows the schema, its members where it is of the usual kind.
func (r *Report) configuration(w *writer) {
	w.title("Configuration")
	m := r.Manifest
	if m == nil || m.ConfigSchema == nil {
		none := "none"
		if r.Configure {
			none = "It reads one, and does not say which."
		}
		w.line("%s", none)
		return
	}
	var schema struct {
		Required   []string `json:"required"`
		Properties map[string]struct {
			Type        any    `json:"type"`
			Description string `json:"description"`
			Default     any    `json:"default"`
			Enum        []any  `json:"enum"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(m.ConfigSchema, &schema); err != nil || len(schema.Properties) == 0 {
		w.line("%s", m.ConfigSchema)
		return
	}
	names := slices.Sorted(maps.Keys(schema.Properties))
	width := entryWidth
	for _, name := range names {
		width = max(width, utf8.RuneCountInString(name))
	}
	for _, name := range names {
		p := schema.Properties[name]
		var words []string
		if p.Type != nil {
			words = append(words, strings.Trim(fmt.Sprint(p.Type), "[]"))
		}
		if p.Enum != nil {
			words = append(words, "one of "+strings.Trim(fmt.Sprint(p.Enum), "[]"))
		}
		if slices.Contains(schema.Required, name) {
			words = append(words, "required")
		} else if p.Default != nil {
			words = append(words, fmt.Sprintf("default %v", p.Default))
		}
		text := strings.Join(words, ", ")
		if p.Description != "" {
			text += ": " + p.Description
		}
		w.aligned(width, name, text)
	}
}

// writer writes lines under titles. What a terminal would obey is replaced.
type writer struct{ strings.Builder }

func (w *writer) title(text string) { fmt.Fprintf(w, "\n%s\n", text) }

func (w *writer) line(format string, args ...any) {
	indent := "  "
	if w.Len() == 0 {
		indent = ""
	}
	for i, line := range strings.Split(fmt.Sprintf(format, args...), "\n") {
		if i > 0 {
			w.WriteString("\n")
		}
		w.WriteString(indent + printable(line))
	}
	w.WriteString("\n")
}

// list writes what there is, if there is something.
func (w *writer) list(title string, all []string) {
	if len(all) == 0 {
		return
	}
	w.title(title)
	for _, text := range all {
		w.line("- %s", strings.ReplaceAll(text, "\n", "\n    "))
	}
}

// entryWidth is the width of the names of entries.
const entryWidth = 11

func (w *writer) entry(name, text string) { w.aligned(entryWidth, name, text) }

func (w *writer) aligned(width int, name, text string) {
	fmt.Fprintf(w, "  %-*s %s\n", width, printable(name), printable(text))
}

// optional is an entry that is left out when there is nothing to say.
func (w *writer) optional(name, text string) {
	switch {
	case text == "":
	case name == "":
		fmt.Fprintf(w, "%s\n", printable(text))
	default:
		w.entry(name, text)
	}
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// humanSize writes a number of bytes roughly.
func humanSize(bytes int64) string {
	switch {
	case bytes < 10<<10:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", (bytes+512)>>10)
	default:
		return fmt.Sprintf("%d MiB", (bytes+(512<<10))>>20)
	}
}
