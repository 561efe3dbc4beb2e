package formats

import (
	"bytes"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// field is a member of a request body that decides something: which model, what it may cost, how the answer is read.
type field uint8

const (
	noField field = iota
	fieldModel
	fieldStream
	fieldStreamOptions
	fieldIncludeUsage
	fieldBackground
	fieldN
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldMaxOutputTokens
	fieldServiceTier
	fieldRequests
	fieldGenerateContentRequest
	fieldGenerateContentRequestSnake
	fieldPrompt
	fieldBestOf
	fieldModalities
	fieldGenerationConfig
	fieldGenerationConfigSnake
	fieldMaxOutputTokensCamel
	fieldCandidateCount
	fieldCandidateCountSnake
	fieldResponseModalities
	fieldResponseModalitiesSnake
	numFields
)

// fields is a set of them.
type fields uint32

var fieldNames = [numFields]string{
	"", "model", "stream", "stream_options", "include_usage", "background", "n", "max_tokens", "max_completion_tokens",
	"max_output_tokens", "service_tier", "requests", "generateContentRequest", "generate_content_request", "prompt",
	"best_of", "modalities", "generationConfig", "generation_config", "maxOutputTokens", "candidateCount",
	"candidate_count", "responseModalities", "response_modalities",
}

// spellings are all names of a field for those that Google's parsers know by two: one body may use one of them.
var spellings = [numFields]fields{
	fieldGenerateContentRequest:      generateContentRequests,
	fieldGenerateContentRequestSnake: generateContentRequests,
	fieldGenerationConfig:            generationConfigs,
	fieldGenerationConfigSnake:       generationConfigs,
	fieldMaxOutputTokensCamel:        maxOutputTokens,
	fieldMaxOutputTokens:             maxOutputTokens,
	fieldCandidateCount:              candidateCounts,
	fieldCandidateCountSnake:         candidateCounts,
	fieldResponseModalities:          responseModalities,
	fieldResponseModalitiesSnake:     responseModalities,
}

const (
	generateContentRequests fields = 1<<fieldGenerateContentRequest | 1<<fieldGenerateContentRequestSnake
	generationConfigs       fields = 1<<fieldGenerationConfig | 1<<fieldGenerationConfigSnake
	maxOutputTokens         fields = 1<<fieldMaxOutputTokensCamel | 1<<fieldMaxOutputTokens
	candidateCounts         fields = 1<<fieldCandidateCount | 1<<fieldCandidateCountSnake
	responseModalities      fields = 1<<fieldResponseModalities | 1<<fieldResponseModalitiesSnake
)

// sharedFields decide something at the top level of every body.
const sharedFields fields = 1<<fieldModel | 1<<fieldStream | 1<<fieldStreamOptions | 1<<fieldBackground | 1<<fieldServiceTier

// countedFields bound what an answer may cost, at the top level of the bodies that name their model themselves.
const countedFields fields = 1<<fieldN | 1<<fieldMaxTokens | 1<<fieldMaxCompletionTokens | 1<<fieldMaxOutputTokens

// relevantFields are those of the top level, by format.
var relevantFields = [NumFormats]fields{
	OpenAI:    sharedFields | countedFields | 1<<fieldModalities,
	Anthropic: sharedFields | countedFields,
	Gemini:    sharedFields | 1<<fieldRequests | generateContentRequests | generationConfigs,
}

// completionsFields are those that only openai's completions have.
const completionsFields fields = 1<<fieldPrompt | 1<<fieldBestOf

// configFields are those within gemini's generationConfig.
const configFields = maxOutputTokens | candidateCounts | responseModalities

// longestField is the length of the longest name in the longest spelling that still folds to it: K and S have
// look-alikes of up to three bytes.
const longestField = 3 * len("generate_content_request")

// lookup finds a key that is spelled exactly like a field.
func lookup(key []byte) field {
	switch string(key) {
	case "model":
		return fieldModel
	case "stream":
		return fieldStream
	case "stream_options":
		return fieldStreamOptions
	case "include_usage":
		return fieldIncludeUsage
	case "background":
		return fieldBackground
	case "n":
		return fieldN
	case "max_tokens":
		return fieldMaxTokens
	case "max_completion_tokens":
		return fieldMaxCompletionTokens
	case "max_output_tokens":
		return fieldMaxOutputTokens
	case "service_tier":
		return fieldServiceTier
	case "prompt":
		return fieldPrompt
	case "best_of":
		return fieldBestOf
	case "modalities":
		return fieldModalities
	}
	return lookupGemini(key)
}

// lookupGemini knows the names of gemini's bodies alone.
func lookupGemini(key []byte) field {
	switch string(key) {
	case "requests":
		return fieldRequests
	case "generateContentRequest":
		return fieldGenerateContentRequest
	case "generate_content_request": // Google's parsers take either spelling
		return fieldGenerateContentRequestSnake
	case "generationConfig":
		return fieldGenerationConfig
	case "generation_config":
		return fieldGenerationConfigSnake
	case "maxOutputTokens":
		return fieldMaxOutputTokensCamel
	case "candidateCount":
		return fieldCandidateCount
	case "candidate_count":
		return fieldCandidateCountSnake
	case "responseModalities":
		return fieldResponseModalities
	case "response_modalities":
		return fieldResponseModalitiesSnake
	}
	return noField
}

// field says which of the relevant fields the last key is, refusing it if it was seen before, or if some parser
// would take it for one of them: parsers of this world match keys with or without escapes and letter case.
func (s *scanner) field(relevant fields, seen *fields) (field, *Error) {
	if !s.escaped && !looksLikeField(s.key()) {
		return noField, nil
	}
	f := lookup(s.key())
	if f == noField {
		return noField, s.refuseLookAlike(relevant)
	}
	if relevant&(1<<f) == 0 {
		return noField, nil
	}
	if *seen&(1<<f|spellings[f]) != 0 {
		return noField, s.refuse(s.keyAt, CodeDuplicateField, fieldNames[f], "duplicate key "+quoted(s.key()))
	}
	*seen |= 1 << f
	return f, nil
}

// looksLikeField rules out nearly every key that is no field and cannot fold to one, by its first two characters. Of all
// letters only K and S have look-alikes beyond ASCII, and no name has one of them in the second place.
func looksLikeField(key []byte) bool {
	if len(key) < 2 {
		return len(key) == 1 && key[0]|0x20 == 'n'
	}
	switch uint16(key[0]|0x20)<<8 | uint16(key[1]|0x20) {
	case 'm'<<8 | 'o', 'm'<<8 | 'a', 's'<<8 | 't', 's'<<8 | 'e', 'i'<<8 | 'n', 'b'<<8 | 'a', 'b'<<8 | 'e',
		'r'<<8 | 'e', 'g'<<8 | 'e', 'p'<<8 | 'r', 'c'<<8 | 'a':
		return true
	}
	return key[0] >= utf8.RuneSelf
}

// refuseLookAlike refuses the last key if, its escapes decoded, it equals the name of a relevant field but for case.
func (s *scanner) refuseLookAlike(relevant fields) *Error {
	key := s.key()
	if s.escaped {
		var buf [longestField + utf8.UTFMax]byte
		key = unescape(buf[:0], key)
	}
	plain := isASCII(key)
	for f := fieldModel; f < numFields; f++ {
		if relevant&(1<<f) == 0 || plain && len(key) != len(fieldNames[f]) {
			continue // what is all ASCII folds without growing
		}
		if bytes.EqualFold(key, []byte(fieldNames[f])) {
			return s.refuse(s.keyAt, CodeAmbiguousField, fieldNames[f],
				"key "+quoted(s.key())+` must be written "`+fieldNames[f]+`"`)
		}
	}
	return nil
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unescape appends what a sound JSON string stands for, as far as it fits dst's capacity with room for one character
// more. A surrogate without its other half becomes U+FFFD.
func unescape(dst, text []byte) []byte {
	for i := 0; i < len(text) && len(dst)+utf8.UTFMax <= cap(dst); {
		if text[i] != '\\' {
			dst = append(dst, text[i])
			i++
			continue
		}
		c := text[i+1]
		i += 2
		switch c {
		case 'u':
			r := hex4(text[i:])
			i += 4
			if utf16.IsSurrogate(r) && i+6 <= len(text) && text[i] == '\\' && text[i+1] == 'u' {
				if pair := utf16.DecodeRune(r, hex4(text[i+2:])); pair != unicode.ReplacementChar {
					r = pair
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		case 'b', 'f', 'n', 'r', 't':
			dst = append(dst, ' ') // which control character it is is all the same: no name holds any
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// hex4 reads the four hexadecimal digits that follow \u in a sound string.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		d := rune(c - '0')
		if !isDigit(c) {
			d = rune(c|0x20-'a') + 10
		}
		r = r<<4 | d
	}
	return r
}

// printable says whether a name can be shown in a log, a metric and a header as it is.
func printable(name []byte) bool {
	for i := 0; i < len(name); {
		if c := name[i]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(name[i:])
		if !unicode.IsPrint(r) {
			return false
		}
		i += size
	}
	return true
}

// maxDigits is how many digits of a count are believed.
const maxDigits = len("1000000000000")

// count reads a JSON number that counts something: an integer from 0 to a million millions. ok is false for
// fractions, negative and absurd numbers, and for anything else.
func count(number []byte) (n int64, ok bool) {
	if len(number) == 0 || len(number) > maxDigits {
		return 0, false
	}
	for _, c := range number {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
