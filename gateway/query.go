package gateway

import (
	"bytes"
)

// query is what the gateway reads of a request's query, and what of it may go to a provider.
type query struct {
	raw  []byte
	sse  bool   // alt=sse: gemini streams as server-sent events
	keys int    // how often a credential stood there
	key  []byte // the credential, as key=
}

// parse reads a raw query. It takes names only as they stand there: an escaped one could be a credential to the
// provider and a plain parameter to us.
func (q *query) parse(raw []byte) *refusal {
	q.raw = raw
	if bytes.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return confusing("The query must consist of printable ASCII characters: escape the others.")
	}
	for pair := range pairs(raw) {
		name, value, _ := bytes.Cut(pair, []byte{'='})
		if bytes.IndexByte(name, '%') >= 0 {
			return confusing("A parameter name in the query must not be escaped.")
		}
		switch string(name) {
		case "alt":
			q.sse = string(value) == "sse"
		case "key":
			q.keys++
			q.key = value
		}
	}
	return nil
}

// appendForwarded appends what of the query goes to the provider, without the credential, and the provider's own.
func (q *query) appendForwarded(dst []byte, own string) []byte {
	mark := byte('?')
	add := func(part []byte) {
		if len(part) > 0 {
			dst = append(append(dst, mark), part...)
			mark = '&'
		}
	}
	for pair := range pairs(q.raw) {
		if !bytes.HasPrefix(pair, []byte("key=")) && string(pair) != "key" {
			add(pair)
		}
	}
	add([]byte(own))
	return dst
}

// pairs yields the parts between the ampersands.
func pairs(raw []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(raw) > 0 {
			var pair []byte
			pair, raw, _ = bytes.Cut(raw, []byte{'&'})
			if !yield(pair) {
				return
			}
		}
	}
}
