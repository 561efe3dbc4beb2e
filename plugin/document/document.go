// Package document reads YAML and JSON that people write, and checks it by a JSON Schema: all problems at once, each with
// its line. What it reads is bounded, and means the same to every reader: nothing may stand there twice.
//
// It imports nothing of ours. The packages of the plugin tool import it, and whoever checks a policy's configuration by
// the schema of its manifest.
package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of a document.
const (
	MaxSize  = 1 << 20 // bytes of text
	maxDepth = 64      // values within values
)

// Document is a text that was read. Its value is as encoding/json has it, with numbers as json.Number, so that none loses
// digits.
type Document struct {
	Value any
	lines map[string]int // by JSON pointer
}

// Line returns the line on which a part stands, from 1, or 0 if that is not known. A part that is missing stands where
// what it is missing from does.
func (d *Document) Line(pointer string) int {
	for {
		if line, ok := d.lines[pointer]; ok {
			return line
		}
		last := strings.LastIndexByte(pointer, '/')
		if last < 0 {
			return 0
		}
		pointer = pointer[:last]
	}
}

// Member returns a member of the document's mapping as a document of its own, with the lines that it has here. It answers
// false if there is no such member.
func (d *Document) Member(name string) (*Document, bool) {
	members, _ := d.Value.(map[string]any)
	value, ok := members[name]
	if !ok {
		return nil, false
	}
	part := &Document{Value: value, lines: map[string]int{}}
	within := member("", name)
	for pointer, line := range d.lines {
		if rest, ok := strings.CutPrefix(pointer, within); ok && (rest == "" || rest[0] == '/') {
			part.lines[rest] = line
		}
	}
	return part, true
}

// Set sets a member of the document, which is a mapping. The member has no lines.
func (d *Document) Set(name string, value any) {
	if members, ok := d.Value.(map[string]any); ok {
		members[name] = value
	}
}

// JSON returns the document's value as JSON.
func (d *Document) JSON() (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d.Value); err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// Decode stores the document's value as encoding/json does. It is for documents that were checked: what does not fit is
// told without a line.
func (d *Document) Decode(into any) error {
	text, err := d.JSON()
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// ReadJSON reads one JSON value. The error is Problems.
func ReadJSON(text []byte) (*Document, error) {
	if problem := checkSize(text); problem != nil {
		return nil, problem
	}
	r := &jsonReader{text: text, decoder: json.NewDecoder(bytes.NewReader(text)), document: &Document{lines: map[string]int{}}}
	r.decoder.UseNumber()
	r.document.Value = r.value("", 0)
	if len(r.problems) == 0 {
		if _, err := r.decoder.Token(); err != io.EOF {
			r.fail("", "something follows the value")
		}
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return r.document, nil
}

func checkSize(text []byte) error {
	if len(text) > MaxSize {
		return Problems{{Message: fmt.Sprintf("has %d bytes, at most %d are read", len(text), MaxSize)}}
	}
	return nil
}

// jsonReader builds a document from the tokens of a JSON text.
type jsonReader struct {
	text     []byte
	decoder  *json.Decoder
	document *Document
	problems Problems
}

func (r *jsonReader) fail(pointer, format string, args ...any) {
	r.problems = append(r.problems, Problem{Pointer: pointer, Line: r.line(), Message: fmt.Sprintf(format, args...)})
}

// line is the one up to which the text was read.
func (r *jsonReader) line() int {
	return 1 + bytes.Count(r.text[:r.decoder.InputOffset()], []byte("\n"))
}

// value reads a value. After a problem nothing more is read.
func (r *jsonReader) value(pointer string, depth int) any {
	token, err := r.decoder.Token()
	if err != nil {
		r.fail(pointer, "is not JSON: %v", err)
		return nil
	}
	r.document.lines[pointer] = r.line()
	delim, ok := token.(json.Delim)
	number, isNumber := token.(json.Number)
	switch {
	case isNumber && !isReasonable(number.String()):
		r.fail(pointer, tooLarge)
		return nil
	case !ok:
		return token
	case depth == maxDepth:
		r.fail(pointer, "is nested deeper than %d values", maxDepth)
		return nil
	case delim == '{':
		return r.object(pointer, depth)
	default:
		return r.array(pointer, depth)
	}
}

func (r *jsonReader) object(pointer string, depth int) any {
	members := map[string]any{}
	for r.decoder.More() && len(r.problems) == 0 {
		token, err := r.decoder.Token()
		if err != nil {
			r.fail(pointer, "is not JSON: %v", err)
			return nil
		}
		name := token.(string) //nolint:errcheck // the decoder accepts no other names
		if _, twice := members[name]; twice {
			r.fail(pointer, "the member %s stands here twice", quote(name))
			return nil
		}
		members[name] = r.value(member(pointer, name), depth+1)
	}
	r.end(pointer)
	return members
}

func (r *jsonReader) array(pointer string, depth int) any {
	list := []any{}
	for r.decoder.More() && len(r.problems) == 0 {
		list = append(list, r.value(element(pointer, len(list)), depth+1))
	}
	r.end(pointer)
	return list
}

// end reads the bracket that closes an object or an array.
func (r *jsonReader) end(pointer string) {
	if len(r.problems) > 0 {
		return
	}
	if _, err := r.decoder.Token(); err != nil {
		r.fail(pointer, "is not JSON: %v", err)
	}
}

// tooLarge says what is wrong with numbers that are not reasonable.
const tooLarge = "is a number that is too long, or too large"

// isReasonable reports whether a number can be computed with: one of a few characters may have a billion digits.
func isReasonable(number string) bool {
	const maxNumber, maxExponent = 64, 308
	if len(number) > maxNumber {
		return false
	}
	_, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	if exponent == "" {
		return true
	}
	n, err := strconv.Atoi(exponent)
	return err == nil && n >= -maxExponent && n <= maxExponent
}

// member is the pointer of a member.
func member(pointer, name string) string {
	return pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// element is the pointer of an element.
func element(pointer string, index int) string { return pointer + "/" + strconv.Itoa(index) }

// quote puts a name of the document into a message.
func quote(s string) string { return fmt.Sprintf("%.80q", s) }
