package config

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/formats"
)

// authHeaders are the headers in which the providers of each format expect their credential.
var authHeaders = [formats.NumFormats]string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"}

// How many connections to one provider may be open.
const (
	defaultConnections = 16384 // two thirds more than 10,000 streams need
	maxConnections     = 1_000_000
)

// provider reads one entry of providers.
func (l *loading) provider(v value) {
	p := &Provider{Format: formats.NumFormats, IncludeUsage: true, MaxConnections: defaultConnections}
	ok := v.object([]field{
		required("name", func(v value) {
			p.Name = v.name()
			l.providerNames.claim(v, p.Name)
		}),
		required("format", func(v value) { v.format(p) }),
		required("base_url", func(v value) { v.baseURL(p) }),
		optional("ca_file", func(v value) { v.caFile(p) }),
		optional("allow_private", func(v value) { v.boolean(&p.AllowPrivate) }),
		optional("max_connections", func(v value) {
			n, _ := v.integer(1, maxConnections)
			p.MaxConnections = int(n)
		}),
		optional("api_key", func(v value) {
			if s, ok := v.secret(1); ok {
				p.Credentials = []string{s}
			}
		}),
		optional("api_keys", func(v value) { v.apiKeys(p) }),
		optional("auth_header", func(v value) { v.authHeader(p) }),
		optional("query", func(v value) { p.Query = v.query() }),
		optional("headers", func(v value) { p.Headers = v.headers(p) }),
		optional("catalog", func(v value) { p.Catalog = v.catalogueID() }),
		optional("timeouts", func(v value) { v.timeouts(&p.Timeouts) }),
		optional("probe", func(v value) { v.probe(&p.Probe) }),
		optional("include_usage", func(v value) { v.boolean(&p.IncludeUsage) }),
	})
	if !ok || p.Name == "" {
		return
	}
	l.providers[p.Name] = p
	l.snapshot.Providers = append(l.snapshot.Providers, p)
}

// Bounds of how often a provider is probed.
const (
	minProbe = time.Second
	maxProbe = time.Hour
)

// probe reads how a provider that failed is asked whether it is back.
func (v value) probe(p *Probe) {
	v.object([]field{
		required("every", func(v value) { v.duration(&p.Every, minProbe, maxProbe) }),
		required("path", func(v value) {
			s, ok := v.text()
			if ok && (!strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })) {
				v.fail("must be a path that begins with /, as it is put behind base_url")
			}
			p.Path = s
		}),
	})
}

// format reads the dialect of a provider. It leaves formats.NumFormats where there is none.
func (v value) format(p *Provider) {
	var names []string
	for f := range formats.NumFormats {
		names = append(names, f.String())
	}
	if name, ok := v.choice(names...); ok {
		p.Format, _ = formats.Parse(name)
		p.AuthHeader = authHeaders[p.Format]
	}
}

// apiKeys reads several credentials, which are used in turn.
func (v value) apiKeys(p *Provider) {
	if len(p.Credentials) > 0 {
		v.fail("stands beside api_key: give one of them")
		return
	}
	if v.items(func(v value) { v.apiKey(p) }) && len(v.node.Content) == 0 {
		v.fail("names no credential: take the field out if the provider wants none")
	}
}

func (v value) apiKey(p *Provider) {
	s, ok := v.secret(1)
	switch {
	case !ok:
	case slices.Contains(p.Credentials, s): // often two variables that hold the same
		v.fail("stands here twice")
	default:
		p.Credentials = append(p.Credentials, s)
	}
}

func (v value) authHeader(p *Provider) {
	name, ok := v.text()
	if !ok {
		return
	}
	if message := checkHeader(name); message != "" {
		v.fail("%s", message)
		return
	}
	p.AuthHeader = http.CanonicalHeaderKey(name)
}

// query reads extra query parameters, and returns them encoded in the order of the file.
func (v value) query() string {
	var parts []string
	v.mapping(func(name string, child value) {
		if s, ok := child.text(); ok {
			parts = append(parts, url.QueryEscape(name)+"="+url.QueryEscape(s))
		}
	})
	return strings.Join(parts, "&")
}

// headers reads extra request headers. The one that carries the credential is not among them.
func (v value) headers(p *Provider) (headers []Header) {
	seen := map[string]bool{}
	if len(p.Credentials) > 0 {
		seen[p.AuthHeader] = true
	}
	v.mapping(func(name string, child value) {
		s, ok := child.text()
		if !ok {
			return
		}
		message := checkHeader(name)
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case message != "":
			child.fail("%s", message)
		case seen[canonical]:
			child.fail("is given twice: once by another spelling, or as the header of the credential")
		case s != strings.TrimSpace(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
			child.fail("must be printable ASCII without white space at its ends")
		default:
			seen[canonical] = true
			headers = append(headers, Header{canonical, s})
		}
	})
	return headers
}

// ownHeaders are those that the gateway writes itself: a second one would let two parsers disagree about the request.
var ownHeaders = [...]string{
	"Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// checkHeader says what is wrong with the name of an extra header; "" if nothing is.
func checkHeader(name string) string {
	switch {
	case name == "" || strings.ContainsFunc(name, notInToken):
		return "must be the name of a header"
	case slices.Contains(ownHeaders[:], http.CanonicalHeaderKey(name)):
		return "is a header that the gateway writes itself"
	}
	return ""
}

// notInToken is true of characters that RFC 9110 does not allow in the name of a header.
func notInToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
