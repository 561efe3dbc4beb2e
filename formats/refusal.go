package formats

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// faultTexts complete the sentence "invalid JSON at …: ".
var faultTexts = [...]string{
	unexpectedEnd:       "the body ends too early",
	expectedObject:      "the body must be one JSON object",
	expectedValue:       "expected a value",
	expectedKey:         "expected a key in double quotes",
	expectedColon:       "expected ':' after key ",
	expectedCommaObject: "expected ',' or '}'",
	expectedCommaArray:  "expected ',' or ']'",
	trailingData:        "unexpected data after the JSON object",
	byteOrderMark:       "the body begins with a byte order mark",
	badLiteral:          "expected true, false or null",
	badNumber:           "expected a digit",
	badEscape:           "unknown escape in a string",
	controlCharacter:    "control character in a string",
	badUTF8:             "not UTF-8",
	tooDeep:             "nested deeper than 64 levels",
}

// refusal says to the client what is wrong with its JSON and where. within is the top-level key whose value holds
// the fault, nil if it lies outside.
func (s *scanner) refusal(within []byte) *Error {
	text := faultTexts[s.fault]
	if s.fault == expectedColon {
		text += quoted(s.key())
	}
	if within != nil {
		text += ", in the value of " + quoted(within)
	}
	switch s.fault {
	case badUTF8:
		return Refuse(CodeInvalidUTF8, "", "invalid UTF-8 at %s: %s", s.place(s.faultAt), text)
	case tooDeep:
		return Refuse(CodeTooDeep, "", "too deep at %s: %s", s.place(s.faultAt), text)
	}
	return Refuse(CodeInvalidJSON, "", "invalid JSON at %s: %s", s.place(s.faultAt), text)
}

// refuse refuses sound JSON for what it means.
func (s *scanner) refuse(at int, code, param, message string) *Error {
	return Refuse(code, param, "%s, at %s", message, s.place(at))
}

// place says where a byte stands: counted from 0 as a byte, and from 1 as line and column, as editors do.
func (s *scanner) place(at int) string {
	before := s.buf[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("byte %d (line %d, column %d)", at, line, column)
}

// quoted shows a part of the body in a message, cut where it would grow long.
func quoted(text []byte) string {
	const most = 64
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "…"
	}
	return strconv.Quote(string(text))
}
