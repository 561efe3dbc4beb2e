package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/sallyport-dev/sallyport/formats"
)

// listen reads the address of a listener: host:port, where no host means all interfaces and port 0 any free one.
func (v value) listen(target *string) {
	s, ok := v.plain()
	if !ok {
		return
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host != "" && !isHost(host) || !isPort(port, 0) {
		v.fail("must be host:port, such as 127.0.0.1:8080")
		return
	}
	*target = s
}

// prefix reads a path that is put before others: "" or "/x/y".
func (v value) prefix() string {
	s, ok := v.text()
	if !ok || s == "" {
		return ""
	}
	if s[0] != '/' || !isPath(s) || strings.Contains(s, "%") {
		v.fail(`must be empty, or a path such as /llm that begins with "/" and does not end with it`)
		return ""
	}
	return s
}

// baseURL reads the address of a provider.
func (v value) baseURL(p *Provider) {
	s, u, ok := v.httpURL("credentials go into api_key")
	switch {
	case !ok:
	case strings.ContainsAny(s, "?#"):
		v.fail("must not hold a query or a fragment: use query")
	default:
		p.TLS, p.HostHeader = u.Scheme == "https", u.Host
		port := u.Port()
		if port == "" {
			port = map[bool]string{true: "443", false: "80"}[p.TLS]
		}
		p.Host = net.JoinHostPort(u.Hostname(), port)
		p.AllowPrivate = namesItself(u.Hostname())
		v.basePath(p, s)
	}
}

// namesItself reports whether a host is an address, or the machine itself: what it leads to is what was written, so it
// needs no leave to be private. A name is another thing, since somebody else may say where it leads.
func namesItself(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// httpURL reads an absolute URL. secrets says where a user and a password belong, which it must not hold. Messages do
// not quote the URL, and not what url.Parse says of it: people put credentials into URLs.
func (v value) httpURL(secrets string) (s string, u *url.URL, ok bool) {
	if s, ok = v.plain(); !ok {
		return "", nil, false
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		v.fail("must be a URL that begins with https:// or http://")
	case u.User != nil:
		v.fail("must not hold a user or a password: %s", secrets)
	case !isHost(u.Hostname()):
		v.fail("must name a host")
	case !hasGoodPort(u):
		v.fail("must have a port from 1 to 65535, or none")
	default:
		return s, u, true
	}
	return "", nil, false
}

// basePath takes the path of a base URL as it is written: a provider sees its own spelling.
func (v value) basePath(p *Provider, s string) {
	_, rest, _ := strings.Cut(s, "://")
	slash := strings.IndexByte(rest, '/')
	if slash < 0 {
		return
	}
	path := strings.TrimSuffix(rest[slash:], "/")
	const model = "{model}"
	switch {
	case path != "" && !isPath(strings.Replace(path, model, "model", 1)):
		v.fail("has a path with empty or dot segments, or with characters that a path must not hold")
	case strings.Contains(path, model) && p.Format != formats.OpenAI && p.Format != formats.NumFormats:
		v.fail("may hold %s for openai providers only", model)
	case p.Format == formats.Anthropic && strings.HasSuffix(path, "/v1"), p.Format == formats.Gemini && strings.HasSuffix(path, "/v1beta"):
		v.fail("must end before the version: %s is put behind it", path[strings.LastIndexByte(path, '/'):])
	default:
		p.Path = path
	}
}

// isPath says whether a path is absolute and means the same to everybody: printable, nothing unescaped that has to be
// escaped, no empty or dot segments, no slash at the end.
func isPath(s string) bool {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok {
		return false
	}
	for segment := range strings.SplitSeq(rest, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\") {
			return false
		}
		if strings.ContainsFunc(segment, notInSegment) {
			return false
		}
	}
	return true
}

// notInSegment is true of characters that RFC 3986 does not allow in a segment of a path.
func notInSegment(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-._~!$&'()*+,;=:@%", r)
}

// isHost says whether s is a host name or an IP address without a zone. Underscores are not in any standard and are
// in the names of many container networks. Other spellings of addresses, such as 0x7f.1 or 2130706433, are neither:
// resolvers disagree about them.
func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == ""
	}
	if isNumber(s[strings.LastIndexByte(strings.TrimSuffix(s, "."), '.')+1:]) {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	return len(s) <= 253
}

// isNumber says whether the last label of a name is a number in one of C's spellings, which makes the name an address
// (WHATWG URL, 4.3).
func isNumber(label string) bool {
	label = strings.ToLower(strings.TrimSuffix(label, "."))
	hex, isHex := strings.CutPrefix(label, "0x")
	if isHex {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

func notInLabel(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}

// isPort says whether s is a port number from low.
func isPort(s string, low uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= low
}

// hasGoodPort says whether a URL has a port that can be dialled, or none.
func hasGoodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	return isPort(u.Port(), 1)
}
