package extism

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// reader reads JSON by what is expected of it: there is no value that it skips, so its depth is that of the code that
// uses it. It is stricter than most readers: a member that is not known or that comes twice is an error, as is a text
// that is not UTF-8.
type reader struct {
	in     []byte
	at     int
	buffer []byte // where texts with escapes are unescaped
}

// errEnds is what a message that is cut off is refused with.
var errEnds = errors.New("the JSON ends too early")

// unexpected says what stands where something else should.
func (r *reader) unexpected(want string) error {
	if r.at >= len(r.in) {
		return errEnds
	}
	found, _ := utf8.DecodeRune(r.in[r.at:])
	return fmt.Errorf("%q stands at byte %d, where %s should", found, r.at, want)
}

// next skips blanks and returns the byte that follows; 0 at the end, as no JSON has one.
func (r *reader) next() byte {
	for ; r.at < len(r.in); r.at++ {
		switch b := r.in[r.at]; b {
		case ' ', '\n', '\t', '\r':
		default:
			return b
		}
	}
	return 0
}

// take skips a byte if it is what follows.
func (r *reader) take(b byte) bool {
	if r.next() != b {
		return false
	}
	r.at++
	return true
}

// end makes sure that nothing follows.
func (r *reader) end() error {
	if r.next(); r.at < len(r.in) {
		return r.unexpected("the end")
	}
	return nil
}

// object reads an object whose members have these names, in any order, each once. member reads the value of the one
// with that index.
func (r *reader) object(names []string, member func(i int) error) error {
	if !r.take('{') {
		return r.unexpected("an object")
	}
	if r.take('}') {
		return nil
	}
	var seen uint64
	for {
		r.next()
		name, err := r.text()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(names, func(n string) bool { return n == string(name) })
		switch {
		case i < 0:
			return fmt.Errorf("it has the member %q, which is not known here", name[:min(len(name), maxShown)])
		case seen&(1<<i) != 0:
			return fmt.Errorf("it has the member %q twice", name)
		case !r.take(':'):
			return r.unexpected("a colon")
		}
		seen |= 1 << i
		if err := member(i); err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		if r.take('}') {
			return nil
		}
		if !r.take(',') {
			return r.unexpected("a comma or the object's end")
		}
	}
}

// maxShown is how much of what a guest said stands in an error.
const maxShown = 64

// list reads an array. element reads the one with that index.
func (r *reader) list(element func(i int32) error) error {
	if !r.take('[') {
		return r.unexpected("an array")
	}
	if r.take(']') {
		return nil
	}
	for i := int32(0); ; i++ {
		if err := element(i); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		if r.take(']') {
			return nil
		}
		if !r.take(',') {
			return r.unexpected("a comma or the array's end")
		}
	}
}

// text reads a string. It is valid until the next one is read.
func (r *reader) text() ([]byte, error) {
	if !r.take('"') {
		return nil, r.unexpected("a string")
	}
	begin := r.at
	for ; r.at < len(r.in); r.at++ {
		switch b := r.in[r.at]; {
		case b == '"':
			r.at++
			return validText(r.in[begin : r.at-1])
		case b == '\\':
			return r.escapedText(begin)
		case b < ' ':
			return nil, r.unexpected("an escape for it")
		}
	}
	return nil, errEnds
}

func validText(text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("a string is not UTF-8")
	}
	return text, nil
}

// escapedText reads the rest of a string from its first escape on.
func (r *reader) escapedText(begin int) ([]byte, error) {
	r.buffer = append(r.buffer[:0], r.in[begin:r.at]...)
	for r.at < len(r.in) {
		b := r.in[r.at]
		switch {
		case b == '"':
			r.at++
			return validText(r.buffer)
		case b < ' ':
			return nil, r.unexpected("an escape for it")
		case b != '\\':
			r.buffer = append(r.buffer, b)
			r.at++
		default:
			if err := r.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, errEnds
}

// escape reads one escape.
func (r *reader) escape() error {
	if r.at+1 >= len(r.in) {
		return errEnds
	}
	const short, meant = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	for i := range len(short) {
		if r.in[r.at+1] == short[i] {
			r.buffer = append(r.buffer, meant[i])
			r.at += 2
			return nil
		}
	}
	first, ok := r.codeUnit()
	if ok && utf16.IsSurrogate(first) {
		var second rune
		second, ok = r.codeUnit()
		first = utf16.DecodeRune(first, second)
		ok = ok && first != utf8.RuneError
	}
	if !ok {
		return fmt.Errorf("an escape before byte %d is none", r.at)
	}
	r.buffer = utf8.AppendRune(r.buffer, first)
	return nil
}

// codeUnit reads an escape of four hexadecimal digits, which is one of UTF-16.
func (r *reader) codeUnit() (rune, bool) {
	const length = len(`\u0000`)
	if len(r.in)-r.at < length || r.in[r.at] != '\\' || r.in[r.at+1] != 'u' {
		return 0, false
	}
	var unit rune
	for _, b := range r.in[r.at+2 : r.at+length] {
		switch {
		case b >= '0' && b <= '9':
			unit = unit<<4 | rune(b-'0')
		case b|0x20 >= 'a' && b|0x20 <= 'f':
			unit = unit<<4 | rune(b|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	r.at += length
	return unit, true
}

// integer reads a number that is whole, and written so.
func (r *reader) integer() (int64, error) {
	r.next()
	begin := r.at
	for r.at < len(r.in) && isOfNumber(r.in[r.at]) {
		r.at++
	}
	if begin == r.at {
		return 0, r.unexpected("a number")
	}
	return wholeNumber(r.in[begin:r.at])
}

func isOfNumber(b byte) bool {
	return b >= '0' && b <= '9' || b == '-' || b == '+' || b == '.' || b == 'e' || b == 'E'
}

// amount reads money, which is a text of decimal digits.
func (r *reader) amount() (int64, error) {
	digits, err := r.text()
	if err != nil {
		return 0, err
	}
	return wholeNumber(digits)
}

// wholeNumber parses what JSON takes for a whole number: no sign but a minus, and no zeroes before it.
func wholeNumber(digits []byte) (int64, error) {
	const longest = len("-9223372036854775808")
	magnitude := digits
	if len(digits) > 0 && digits[0] == '-' {
		magnitude = digits[1:]
	}
	if len(digits) <= longest && len(magnitude) > 0 && magnitude[0] != '+' && (magnitude[0] != '0' || len(magnitude) == 1) {
		if n, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is not a whole number of 64 bits", digits[:min(len(digits), maxShown)])
}

// yes reads true, which is all that a member may say that is there to say it.
func (r *reader) yes() error {
	const yes = "true"
	r.next()
	if len(r.in)-r.at < len(yes) || string(r.in[r.at:][:len(yes)]) != yes {
		return r.unexpected(yes)
	}
	r.at += len(yes)
	return nil
}
