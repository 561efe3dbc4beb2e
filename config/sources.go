package config

import (
	"net"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// Sources says where policies may come from, and what of them is trusted.
type Sources struct {
	Trust      trust.Policy // in the order of the file; none: nobody is trusted, and nobody asked for
	KeyFiles   []string     // absolute paths of the files that keys of Trust were read from
	Signatures Signatures
	Locked     bool // nothing is loaded that plugins.lock does not list (`require_lock: true`)
	Registries []Registry
}

// Signatures says which policies have to be signed by a key of Trust. Built-in ones are part of the program.
type Signatures uint8

// What require_signature says.
const (
	SignedFromRegistries Signatures = iota // those of oci:// once there is any key of trust: the default
	SignedAlways                           // all, files too
	SignedNever                            // none; a signature of a revoked key still counts against a policy
)

// Registry is how one registry is asked.
type Registry struct {
	Host              string // host or host:port, as references have it
	CAFile            string // absolute path of certificates from which its own may come, beside the system's; "" for none
	PlainHTTP         bool   // without TLS
	AllowPrivateRealm bool   // it may name token servers and redirect to addresses that are not public
}

// lockFile is the name of the file that pins policies. It stands beside the configuration.
const lockFile = "plugins.lock"

// LockFile returns the absolute path of the file that pins policies. It need not be there.
func (s *Snapshot) LockFile() string { return filepath.Join(filepath.Dir(s.File), lockFile) }

// MustBeSigned says whether a policy loads with a signature of a trusted key only.
func (s *Snapshot) MustBeSigned(p *Policy) bool {
	switch {
	case p.Builtin != "" || s.Sources.Signatures == SignedNever:
		return false
	case s.Sources.Signatures == SignedAlways:
		return true
	}
	return len(s.Sources.Trust) > 0 && strings.HasPrefix(p.Source, schemeOCI)
}

// sourcePaths are the files beside the policies' own that decide what is loaded.
func (s *Snapshot) sourcePaths() []string {
	paths := append([]string{s.LockFile()}, s.Sources.KeyFiles...)
	if len(s.Sources.Trust) == 0 {
		return paths
	}
	for i := range s.Policies {
		if p := s.Policies[i].Path; p != "" {
			paths = append(paths, p+trust.SignatureSuffix)
		}
	}
	return paths
}

// sourceFields are the fields of the file that are about where policies come from.
func (l *loading) sourceFields() []field {
	s := &l.snapshot.Sources
	return []field{
		optional("trust", l.trustedKeys),
		optional("require_signature", func(v value) {
			var required bool
			v.boolean(&required)
			s.Signatures = SignedNever
			if required {
				s.Signatures = SignedAlways
			}
			if required && len(s.Trust) == 0 {
				v.fail("needs keys under trust: without any, nothing would be loaded")
			}
		}),
		optional("require_lock", func(v value) { v.boolean(&s.Locked) }),
		optional("registries", l.registries),
	}
}

// sources are the fields of the file that say where policies come from, or where they are kept.
var sources = [...]string{"data", "policy_dir", "trust", "require_signature", "require_lock", "registries", "policies"}

// decidesSource says whether a value is part of what says where policies come from. What they are configured with is not.
func (v value) decidesSource() bool {
	top, rest, _ := strings.Cut(v.path, "[")
	top, _, _ = strings.Cut(top, ".")
	_, rest, _ = strings.Cut(rest, "].")
	return slices.Contains(sources[:], top) && (top != "policies" || rest != "config" && !strings.HasPrefix(rest, "config.") && !strings.HasPrefix(rest, "config["))
}

func (l *loading) registries(v value) {
	hosts := claims{}
	v.items(func(v value) {
		var r Registry
		ok := v.object([]field{
			required("host", func(v value) {
				r.Host = v.registryHost()
				hosts.claim(v, r.Host)
			}),
			optional("ca_file", func(v value) {
				var p Provider
				v.caFile(&p)
				r.CAFile = p.CAFile
			}),
			optional("plain_http", func(v value) {
				v.boolean(&r.PlainHTTP)
				if r.PlainHTTP && r.CAFile != "" {
					v.fail("leaves nothing for ca_file to do")
				}
			}),
			optional("allow_private_realm", func(v value) { v.boolean(&r.AllowPrivateRealm) }),
		})
		if ok {
			l.snapshot.Sources.Registries = append(l.snapshot.Sources.Registries, r)
		}
	})
}

// registryHost reads the name of a registry.
func (v value) registryHost() string {
	s, ok := v.plain()
	if !ok {
		return ""
	}
	host := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if h, port, err := net.SplitHostPort(s); err == nil && isPort(port, 1) {
		host = h
	}
	if !isHost(host) {
		v.fail("must be a registry's host or host:port, as references to it begin behind oci://")
		return ""
	}
	return strings.ToLower(s)
}

// The schemes of policies that are no files.
const (
	schemeOCI = "oci://"
	schemeDir = "dir://"
)

// source reads a reference to a policy in a registry or in a folder, as far as that can be judged without asking: whether the
// names in it are good ones is said by whoever asks.
func (v value) source(p *Policy, s string) {
	scheme, rest, _ := strings.Cut(s, "://")
	if scheme += "://"; scheme != schemeOCI && scheme != schemeDir {
		written, _, _ := strings.Cut(v.written(), "://")
		v.fail("must be builtin:%s, the path of a file, or begin with oci:// or dir://%s", defaultPolicyName,
			DidYouMean(written+"://", []string{schemeOCI, schemeDir}))
		return
	}
	host, _, _ := strings.Cut(rest, "/")
	_, version := splitVersion(scheme, rest)
	switch {
	case strings.Contains(host, "@"):
		v.fail("must not hold a user or a password: credentials of registries are Docker's")
	case scheme == schemeDir && (!strings.HasPrefix(rest, "/") || path.Clean(rest) != rest):
		v.fail("must name a folder by an absolute path behind dir://, without empty and dot segments")
	case scheme == schemeOCI && (host == "" || host == rest):
		v.fail("must name a registry and a plugin in it, such as oci://registry.example/team/office-hours:1.2")
	case version == "" && scheme == schemeDir:
		v.fail("names no version: write @VERSION or @sha256:… behind it")
	case version == "":
		v.fail("names no version: write :VERSION or @sha256:… behind it")
	default:
		p.Source = s
	}
}

// splitVersion parts a reference without its scheme from its tag or digest.
func splitVersion(scheme, rest string) (name, version string) {
	if name, version, found := strings.Cut(rest, "@"); found {
		return name, version
	}
	if slash := strings.LastIndexByte(rest, '/'); scheme == schemeOCI {
		if colon := strings.LastIndexByte(rest, ':'); colon > slash { // one before it is the registry's port
			return rest[:colon], rest[colon+1:]
		}
	}
	return rest, ""
}
