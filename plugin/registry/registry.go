// Package registry pushes and pulls plugins as OCI artifacts: to and from registries, folders in the layout of OCI images,
// and archives of such folders. What it hands out has the digest that was asked for; whether anybody should trust it is not
// its business.
//
// It imports plugin/manifest. cmd/sallyport and the packages that check and lock plugins import it.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

// Media types and annotations of what is pushed: the Wasm OCI artifact layout of the CNCF's TAG Runtime.
const (
	ArtifactType    = "application/vnd.sallyport.policy.v1" // of the manifest
	MediaTypeConfig = "application/vnd.wasm.config.v0+json"
	MediaTypeWasm   = "application/wasm"

	AnnotationName      = "dev.sallyport.policy.name"
	AnnotationABI       = "dev.sallyport.policy.abi"
	AnnotationHooks     = "dev.sallyport.policy.hooks" // joined by commas
	AnnotationToolchain = "dev.sallyport.policy.toolchain"
)

// The errors that callers tell apart. What is wrapped in them says more.
var (
	ErrNotFound     = errors.New("is not there")
	ErrUnauthorized = errors.New("the registry wants other credentials")                      // 401
	ErrForbidden    = errors.New("the registry does not allow it")                            // 403
	ErrAway         = errors.New("cannot be asked now")                                       // down, slow, 429, 5xx
	ErrDigest       = errors.New("the content is not what its digest names")                  // changed on the way or on disk
	ErrTooLarge     = errors.New("is larger than allowed")                                    // by Limits
	ErrLayout       = errors.New("is no plugin")                                              // nothing of a known layout with one core module in it
	ErrPrivate      = errors.New("leads to a private address that nobody allowed")            // a token realm or a redirect
	ErrPlainHTTP    = errors.New("would go over plain HTTP, which nobody allowed")            // a registry, a token realm or a redirect
	ErrTampered     = errors.New("the copy in the cache was changed on disk")                 // and cannot be replaced
	errNoCache      = errors.New("there is no cache")                                         // Options.CacheDir is empty
	errNotCached    = errors.New("is not in the cache")                                       // and has to be asked for
	errManyLayers   = fmt.Errorf("%w: it has several layers, and a plugin is one", ErrLayout) // which of them would run is not said
)

// Options are how a client works. The zero value asks registries over TLS with Docker's credentials, and keeps no cache.
type Options struct {
	CacheDir string // where pulled plugins are kept, made when needed; empty: nowhere
	HostOptions
	Hosts       map[string]HostOptions // by host or host:port as references have it; they replace those for all
	PlainHTTP   []string               // hosts to talk to without TLS, beside loopback ones that no CAFile is for
	Credentials CredentialFunc         // nil: DefaultCredentials
	Progress    func(Progress)         // told while something is transferred; nil: nobody is
	UserAgent   string
	Limits      Limits
}

// HostOptions are what differs between registries.
type HostOptions struct {
	CAFile             string // PEM certificates that are trusted beside the system's
	PlainHTTP          bool   // talk without TLS
	AllowPrivateRealms bool   // it may name token servers and redirect to addresses in private ranges
}

// Limits bound what one operation takes. 0 is the default.
type Limits struct {
	Wasm     int64         // bytes of a module, and of a layer compressed or not; 16 MiB, which is what a gateway loads
	Manifest int64         // bytes of a manifest, an index or a configuration; 4 MiB
	Attached int           // attachments of one plugin that are read; 64
	Tags     int           // tags that are listed; 10,000
	Stall    time.Duration // without a byte from a registry; 30 s
	Total    time.Duration // of one operation; 10 min
}

// Progress is how far a transfer is.
type Progress struct {
	Ref        Ref
	Push       bool
	Done, Size int64 // bytes of this layer
}

// Descriptor names content.
type Descriptor struct {
	MediaType    string
	Digest       string
	Size         int64
	ArtifactType string
	Annotations  map[string]string
}

// Artifact is a plugin with what its manifest in the registry says of it. Those annotations are the registry's word: facts
// that matter are read from the module's own manifest.
type Artifact struct {
	Ref            Ref
	ManifestDigest string            // of what the reference resolved to: an image's manifest or an index
	WasmDigest     string            // of the module
	Wasm           []byte            // the module
	Annotations    map[string]string // of the manifest
	Manifest       []byte            // the OCI manifest that ManifestDigest names, as it came
	FromCache      bool              // no content came over the network
	Away           error             // why the registry could not be asked; nil: it was, or did not have to be

	blobs []blob // everything that the artifact consists of, for bundles
}

// Attachment is something that refers to a plugin, such as a signature.
type Attachment struct {
	Digest       string // of its manifest; of cosign's, which share one manifest, that of the layer
	ArtifactType string
	MediaType    string // of Data
	Data         []byte
	Annotations  map[string]string // of the manifest, and over them those of the layer

	blobs []blob
}

// Pushed is what a push made.
type Pushed struct {
	Ref            Ref // with the tag and the digest
	ManifestDigest string
	WasmDigest     string
}

// Client speaks with registries and folders. It is safe for concurrent use, also by several processes with one cache.
type Client struct {
	options Options
	limits  Limits
	cache   *cache
	lookup  func(ctx context.Context, host string) ([]net.IP, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	retries retry.Policy

	mu       sync.Mutex
	sessions map[string]*session // by registry
}

// New makes a client. It touches neither the network nor the disk.
func New(o Options) *Client {
	c := &Client{
		options: o, limits: o.Limits.withDefaults(), sessions: map[string]*session{},
		lookup: func(ctx context.Context, host string) ([]net.IP, error) {
			return net.DefaultResolver.LookupIP(ctx, "ip", host)
		},
		dial:    (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		retries: retryPolicy(),
	}
	if c.options.Credentials == nil {
		c.options.Credentials = DefaultCredentials
	}
	if c.options.UserAgent == "" {
		c.options.UserAgent = "sallyport"
	}
	if o.CacheDir != "" {
		c.cache = &cache{folder: folder{path: o.CacheDir}}
	}
	return c
}

func retryPolicy() retry.Policy {
	return &retry.GenericPolicy{
		Retryable: retry.DefaultPredicate, Backoff: retry.ExponentialBackoff(250*time.Millisecond, 2, 0.1),
		MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second, MaxRetry: 2,
	}
}

func (l Limits) withDefaults() Limits {
	set := func(n *int64, value int64) {
		if *n <= 0 {
			*n = value
		}
	}
	set(&l.Wasm, 16<<20)
	set(&l.Manifest, 4<<20)
	set((*int64)(&l.Stall), int64(30*time.Second))
	set((*int64)(&l.Total), int64(10*time.Minute))
	if l.Attached <= 0 {
		l.Attached = 64
	}
	if l.Tags <= 0 {
		l.Tags = 10_000
	}
	return l
}

// host returns what holds for a registry. One on this machine is taken to have no TLS, unless certificates are named for it.
func (o Options) host(name string) HostOptions {
	h, ok := o.Hosts[name]
	if !ok {
		h = o.HostOptions
	}
	h.PlainHTTP = h.PlainHTTP || slices.Contains(o.PlainHTTP, name) || isLoopbackName(name) && h.CAFile == ""
	return h
}

// Resolve returns what a reference names now, by asking the place: a tag may have been moved.
func (c *Client) Resolve(ctx context.Context, r Ref) (Descriptor, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	d, err := c.ask(ctx, r)
	if err != nil {
		return Descriptor{}, fmt.Errorf("resolving %s: %w", r, err)
	}
	return d, nil
}

func (c *Client) ask(ctx context.Context, r Ref) (Descriptor, error) {
	version, err := r.version()
	if err != nil {
		return Descriptor{}, err
	}
	p, err := c.place(r)
	if err != nil {
		return Descriptor{}, err
	}
	d, err := p.resolve(ctx, version)
	if err != nil {
		return Descriptor{}, err
	}
	if r.Digest != "" && d.Digest != r.Digest {
		return Descriptor{}, fmt.Errorf("%w: asked for %s, the answer names %s", ErrDigest, r.Digest, d.Digest)
	}
	return d, c.limits.checkManifest(d)
}

func (l Limits) checkManifest(d Descriptor) error {
	if !IsDigest(d.Digest) {
		return fmt.Errorf("%w: %q is no sha256 digest", ErrLayout, d.Digest)
	}
	if d.Size < 0 || d.Size > l.Manifest {
		return fmt.Errorf("%w: a manifest of %d bytes, at most %d are read", ErrTooLarge, d.Size, l.Manifest)
	}
	return nil
}

// Tags lists the tags of a repository in the order of their versions, those of attachments aside.
func (c *Client) Tags(ctx context.Context, r Ref) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	p, err := c.place(r)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", r.Repo(), err)
	}
	tags, err := p.tags(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", r.Repo(), err)
	}
	tags = slices.DeleteFunc(tags, attachedTag.MatchString)
	slices.SortFunc(tags, CompareVersions)
	return slices.Compact(tags), nil
}

// place is a registry's repository or a folder. What fetch returns has the digest of its descriptor.
type place interface {
	resolve(ctx context.Context, version string) (Descriptor, error)
	fetch(ctx context.Context, d Descriptor) ([]byte, error)
	tags(ctx context.Context) ([]string, error)
	referrers(ctx context.Context, subject Descriptor, artifactType string) ([]Descriptor, error)
	push(ctx context.Context, d Descriptor, content []byte) error                 // a blob
	publish(ctx context.Context, d Descriptor, manifest []byte, tag string) error // a manifest; tag may be empty
}

func (c *Client) place(r Ref) (place, error) {
	switch r.Scheme {
	case SchemeOCI:
		return c.repository(r)
	case SchemeDir:
		return &layout{folder: folder{path: r.Path}, limits: c.limits}, nil
	default:
		return nil, fmt.Errorf("%q is no reference", r.String())
	}
}

// CompareVersions orders versions and tags: numbers by their value, a version before its pre-releases' end, and what is no number by its
// letters. It follows semver.org as far as tags follow it.
func CompareVersions(a, b string) int {
	coreA, preA, hasA := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	coreB, preB, hasB := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	if n := compareParts(coreA, coreB); n != 0 {
		return n
	}
	switch {
	case hasA && !hasB:
		return -1
	case hasB && !hasA:
		return 1
	}
	if n := compareParts(preA, preB); n != 0 {
		return n
	}
	return strings.Compare(a, b)
}

func compareParts(a, b string) int {
	return slices.CompareFunc(strings.FieldsFunc(a, isDot), strings.FieldsFunc(b, isDot), func(a, b string) int {
		numberA, numberB := isNumber(a), isNumber(b)
		switch {
		case numberA && numberB:
			a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
			if len(a) != len(b) {
				return len(a) - len(b)
			}
		case numberA:
			return -1
		case numberB:
			return 1
		}
		return strings.Compare(a, b)
	})
}

func isDot(c rune) bool { return c == '.' || c == '_' }

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
