package main

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/sallyport-dev/sallyport/abi"
)

//go:embed templates
var templates embed.FS

// output is one thing that is written.
type output struct {
	path     string // relative to package abi
	template string
	whole    bool // the file is written as a whole; else what stands between its markers
}

func outputs() []output {
	return []output{
		{"../sdk/go/abi_gen.go", "public.go.tmpl", true},
		{"../sdk/go/internal/abi/abi_gen.go", "internal.go.tmpl", true},
		{"../sdk/c/sallyport.h", "header.h.tmpl", false},
		{"../sdk/rust/src/abi.rs", "abi.rs.tmpl", true},
		{"../sdk/assemblyscript/assembly/abi.ts", "abi.ts.tmpl", true},
		{"SPEC.md", "spec.md.tmpl", false},
	}
}

// The markers between which a part of a file is generated. They stand in comments, each on a line of its own. A file
// may have several parts; the template is a definition by the part's name.
const (
	beginMarker = "generated:begin "
	endMarker   = "generated:end"
)

// render returns the text of the output. old is what the file holds now.
func (o output) render(c *contract, old []byte) ([]byte, error) {
	t, err := template.New(o.template).Funcs(c.functions()).ParseFS(templates, "templates/"+o.template)
	if err != nil {
		return nil, err
	}
	if !o.whole {
		return replaceParts(t, c, string(old))
	}
	var out bytes.Buffer
	if err := t.Execute(&out, c); err != nil {
		return nil, err
	}
	if path.Ext(o.path) != ".go" {
		return out.Bytes(), nil
	}
	return format.Source(out.Bytes())
}

// replaceParts keeps every line that is not between markers.
func replaceParts(t *template.Template, c *contract, old string) ([]byte, error) {
	var out bytes.Buffer
	inside, found := false, 0
	for line := range strings.Lines(old) {
		_, rest, begins := strings.Cut(line, beginMarker)
		ends := strings.Contains(line, endMarker)
		if begins == inside && (begins || ends) || ends && !inside {
			return nil, fmt.Errorf("the markers do not pair at %q", strings.TrimSpace(line))
		}
		if !inside || ends {
			out.WriteString(line)
		}
		switch {
		case begins:
			part := strings.Fields(rest)[0]
			if err := t.ExecuteTemplate(&out, part, c); err != nil {
				return nil, err
			}
			inside = true
			found++
		case ends:
			inside = false
		}
	}
	if inside || found == 0 {
		return nil, fmt.Errorf("%d parts are marked, the last of them unfinished: %t", found, inside)
	}
	return out.Bytes(), nil
}

// functions are what templates may call.
func (c *contract) functions() template.FuncMap {
	return template.FuncMap{
		"enum":      func(kind string) []enumerator { return c.enums[kind] },
		"doc":       func(name string) string { return c.docs[name] },
		"docAs":     func(name, as string) string { return strings.ReplaceAll(c.docs[name], name, as) },
		"comment":   func(text string) string { return wrap("// ", text) },
		"document":  func(text string) string { return wrap("/// ", text) },
		"indented":  func(text string) string { return wrap("    /// ", text) },
		"jsdoc":     func(text string) string { return "/** " + wrap(" * ", text)[len(" * "):] + " */" },
		"sentence":  sentence,
		"kinds":     kinds,
		"typeName":  typeName,
		"imports":   func(f abi.Function) string { return parameters(f, ": ") },
		"remark":    func(text string) string { return "/* " + wrap(" * ", text)[len(" * "):] + " */" },
		"value":     func(name string) int64 { return c.values[name] },
		"upper":     func(name string) string { return strings.ToUpper(strings.ReplaceAll(name, ".", "_")) },
		"snake":     snake,
		"lower":     func(name string) string { return strings.ToLower(strings.ReplaceAll(name, ".", "_")) },
		"pascal":    pascal,
		"words":     func(name string) string { return strings.ReplaceAll(strings.ToLower(snake(name)), "_", " ") },
		"without":   func(prefix, name string) string { return strings.TrimPrefix(name, prefix) },
		"inputs":    func(hook string) []field { return c.fieldsOf(hook, false) },
		"outputs":   func(hook string) []field { return c.fieldsOf(hook, true) },
		"prototype": prototype,
		"signature": signature,
	}
}

// wrap breaks a text into lines of a comment.
func wrap(prefix, text string) string {
	var out strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			out.WriteString(prefix)
			column = len(prefix)
		case column+1+len(word) > maxColumn:
			out.WriteString("\n" + prefix)
			column = len(prefix)
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String()
}

// maxColumn is how long lines of comments become.
const maxColumn = 116

// fieldsOf returns the fields of one hook alone or, for "", of every hook.
func (c *contract) fieldsOf(hook string, output bool) []field {
	var all []field
	for _, f := range c.Fields {
		owner := ""
		for h := range abi.NumHooks {
			if f.Hooks == 1<<h {
				owner = h.String()
			}
		}
		if owner == hook && f.Output == output {
			all = append(all, f)
		}
	}
	return all
}

// snake turns MixedCaps into MIXED_CAPS.
func snake(name string) string {
	var out strings.Builder
	lower := false
	for _, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && lower {
			out.WriteByte('_')
		}
		lower = !upper
		out.WriteRune(r)
	}
	return strings.ToUpper(out.String())
}

// kinds are the enumerations that are a type of their own in every SDK, with the word that their constants in package
// abi begin with.
func kinds() map[string]string {
	return map[string]string{"CredentialShape": "Credential", "KeyState": "Key", "ErrorClass": "", "PricePhase": "", "Period": "", "StepHealth": "Step"}
}

// parameters are a function's parameters: name, separator, type.
func parameters(f abi.Function, separator string) string {
	var params []string
	for i, p := range f.Params {
		params = append(params, f.Names[i]+separator+typeName(p))
	}
	return strings.Join(params, ", ")
}

// pascal turns dotted.and_snaked into MixedCaps.
func pascal(name string) string {
	var out strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '_' }) {
		out.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return out.String()
}

// sentence makes a sentence of a remark. One that begins with a file's name keeps its small letter.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, _, _ := strings.Cut(text, " ")
	if !strings.Contains(strings.TrimSuffix(first, "."), ".") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return strings.TrimSuffix(text, ".") + "."
}

// signature is a function's type as SPEC.md writes it.
func signature(f abi.Function) string {
	return fmt.Sprintf("%s(%s) -> %s", f.Name, parameters(f, " "), typeName(f.Results[0]))
}

func typeName(t abi.Type) string {
	if t == abi.I64 {
		return "i64"
	}
	return "i32"
}

// pointers are the parameters that point to what the host reads.
var pointers = []string{"ptr", "name", "digest", "key", "prefix", "cursor"}

// prototype is a function's declaration in C. What a parameter is called says whether it is a pointer.
func prototype(f abi.Function) string {
	params := []string{"void"}
	for i, p := range f.Params {
		name := f.Names[i]
		kind := "int32_t "
		switch {
		case name == "buf" || name == "out" || f.Name == "random" && name == "ptr":
			kind = "void *"
		case name == "len" || name == "cap" || strings.HasSuffix(name, "_len"):
			kind = "uint32_t "
		case p == abi.I64:
			kind = "int64_t "
		case slices.Contains(pointers, name):
			kind = "const void *"
		}
		if i == 0 {
			params = nil
		}
		params = append(params, kind+name)
	}
	result := "int32_t"
	if f.Results[0] == abi.I64 {
		result = "int64_t"
	}
	return fmt.Sprintf("%s sp_%s(%s)", result, f.Name, strings.Join(params, ", "))
}
