package registry

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// The schemes of a reference.
const (
	SchemeOCI = "oci" // a registry
	SchemeDir = "dir" // a folder in the layout of OCI images
)

// Ref says where a plugin is: oci://registry.example/team/office-hours:1.2, or dir:///srv/policies/office-hours@1.2. Its zero
// value is no reference.
type Ref struct {
	Scheme   string // SchemeOCI or SchemeDir
	Registry string // of oci: host, or host:port
	Path     string // of oci: the repository; of dir: the folder, absolute
	Tag      string // empty: none is named
	Digest   string // "sha256:" and 64 hexadecimal digits; empty: none is named. It decides where there is a tag beside it
}

// The grammar of names is that of the distribution specification, version 1.1, section "Pulling manifests".
var (
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestPattern     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	hostPattern       = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$`)
)

// maxRepository is how long a repository's name may be together with its registry's, as Docker's registry has it.
const maxRepository = 255

// ParseRef reads a reference, with or without oci:// before it. A folder needs dir:// and an absolute path, and its version
// stands behind an @. Names that a file system or a registry may read as something else are refused.
func ParseRef(s string) (Ref, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = SchemeOCI, s
	}
	if host, _, _ := strings.Cut(rest, "/"); strings.Contains(host, "@") {
		return Ref{}, errors.New("a reference has no user and no password in it: registries' credentials are Docker's") // and is not repeated
	}
	var r Ref
	var err error
	switch scheme {
	case SchemeOCI:
		r, err = parseOCI(rest)
	case SchemeDir:
		r, err = parseDir(rest)
	default:
		err = fmt.Errorf("there is no scheme %q: it is oci:// or dir://", scheme)
	}
	if err != nil {
		return Ref{}, fmt.Errorf("reading the reference %q: %w", s, err)
	}
	return r, nil
}

func parseOCI(s string) (Ref, error) {
	r := Ref{Scheme: SchemeOCI}
	host, rest, ok := strings.Cut(s, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return r, errors.New("it names no registry: write HOST/NAME:VERSION")
	}
	if err := checkHost(host); err != nil {
		return r, err
	}
	r.Registry = strings.ToLower(host)
	rest, r.Digest, _ = strings.Cut(rest, "@")
	if strings.Contains(rest+r.Digest, "@") || r.Digest == "" && strings.HasSuffix(s, "@") {
		return r, errors.New("what stands behind @ is no digest")
	}
	rest, r.Tag, ok = strings.Cut(rest, ":")
	if ok && r.Tag == "" {
		return r, errors.New("nothing stands behind the colon")
	}
	r.Path = rest
	if !repositoryPattern.MatchString(r.Path) || len(r.Registry)+1+len(r.Path) > maxRepository {
		return r, fmt.Errorf("%q is no name of a repository: small letters, digits and single \"._-\" between slashes", r.Path)
	}
	return r, r.checkVersion()
}

// parseDir reads /srv/policies/office-hours@1.2, and also …@1.2@sha256:….
func parseDir(s string) (Ref, error) {
	r := Ref{Scheme: SchemeDir}
	parts := strings.Split(s, "@")
	r.Path = parts[0]
	switch versions := parts[1:]; {
	case len(versions) == 1 && strings.Contains(versions[0], ":"):
		r.Digest = versions[0]
	case len(versions) == 1:
		r.Tag = versions[0]
	case len(versions) == 2:
		r.Tag, r.Digest = versions[0], versions[1]
	case len(versions) > 2:
		return r, errors.New("it has more than a version and a digest behind its path")
	}
	if len(parts) > 1 && r.Tag == "" && r.Digest == "" {
		return r, errors.New("nothing stands behind the @")
	}
	if !path.IsAbs(r.Path) || path.Clean(r.Path) != r.Path || r.Path == "/" {
		return r, fmt.Errorf("%q is no absolute path of a folder without \"..\" and empty parts", r.Path)
	}
	if i := strings.IndexFunc(r.Path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }); i >= 0 {
		return r, fmt.Errorf("the path has the character %q", r.Path[i])
	}
	return r, r.checkVersion()
}

func (r Ref) checkVersion() error {
	if r.Tag != "" && !tagPattern.MatchString(r.Tag) {
		return fmt.Errorf("%q is no tag: up to 128 letters, digits and \"._-\"", r.Tag)
	}
	if r.Digest != "" && !digestPattern.MatchString(r.Digest) {
		return fmt.Errorf("%q is no digest: sha256: and 64 small hexadecimal digits", r.Digest)
	}
	return nil
}

// checkHost accepts a DNS name, an IPv4 address or an IPv6 one in brackets, with or without a port.
func checkHost(s string) error {
	host, port := s, ""
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q is no port", port)
		}
	} else if inner, ok := strings.CutPrefix(s, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" && (addr.Is4() || s[0] == '[') {
		return nil
	}
	if !hostPattern.MatchString(strings.ToLower(host)) {
		return fmt.Errorf("%q is no name of a registry", s)
	}
	return nil
}

// String writes a reference as ParseRef reads it.
func (r Ref) String() string {
	if r == (Ref{}) {
		return ""
	}
	s := r.Repo()
	text := s.Scheme + "://" + s.Path
	if r.Scheme == SchemeOCI {
		text = s.Scheme + "://" + s.Registry + "/" + s.Path
	}
	if r.Tag != "" && r.Scheme == SchemeDir {
		text += "@" + r.Tag
	} else if r.Tag != "" {
		text += ":" + r.Tag
	}
	if r.Digest != "" {
		text += "@" + r.Digest
	}
	return text
}

// Repo is the reference without its version.
func (r Ref) Repo() Ref { return Ref{Scheme: r.Scheme, Registry: r.Registry, Path: r.Path} }

// At is the reference with a digest in place of its version.
func (r Ref) At(digest string) Ref {
	r = r.Repo()
	r.Digest = digest
	return r
}

// Base is the last part of the name, which is what a plugin is called where it does not say so itself.
func (r Ref) Base() string { return path.Base(r.Path) }

// version is what a place is asked for: the digest where there is one.
func (r Ref) version() (string, error) {
	switch {
	case r.Digest != "":
		return r.Digest, nil
	case r.Tag != "":
		return r.Tag, nil
	case r.Scheme == SchemeDir:
		return "", errors.New("it names no version: write @VERSION or @sha256:… behind it")
	default:
		return "", errors.New("it names no version: write :VERSION or @sha256:… behind it")
	}
}

// IsDigest says whether a text is a digest as this package writes them.
func IsDigest(s string) bool { return digestPattern.MatchString(s) }
