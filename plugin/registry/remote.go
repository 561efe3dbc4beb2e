package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// repository is a place in a registry.
type repository struct {
	client *Client
	ref    Ref
	oras   *remote.Repository
}

// repository joins a reference with the connections to its registry.
func (c *Client) repository(r Ref) (*repository, error) {
	theirs := orasregistry.Reference{Registry: r.Registry, Repository: r.Path}
	if err := theirs.Validate(); err != nil {
		return nil, fmt.Errorf("%q is no reference: %w", r.String(), err)
	}
	options := c.options.host(r.Registry)
	s, err := c.session(theirs, options)
	if err != nil {
		return nil, err
	}
	return &repository{client: c, ref: r.Repo(), oras: &remote.Repository{
		Client: s, Reference: theirs, PlainHTTP: options.PlainHTTP, MaxMetadataBytes: c.limits.Manifest,
		TagListMaxPages: 100, ReferrerListMaxPages: 10,
		SkipReferrersGC: true, // many registries allow no deletion, and would fail an attachment that is there
	}}, nil
}

// session is made once for a repository, so that tokens and connections are used again.
func (c *Client) session(r orasregistry.Reference, options HostOptions) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := r.Registry + "/" + r.Repository
	if s := c.sessions[name]; s != nil {
		return s, nil
	}
	g, err := c.newGuard(r.Host(), options)
	if err != nil {
		return nil, err
	}
	s := &session{
		guard: g, host: g.host, name: r.Host(), credentials: c.options.Credentials, userAgent: c.options.UserAgent,
		shown: map[bool]string{},
		http: &http.Client{
			Transport:     &retry.Transport{Base: g, Policy: func() retry.Policy { return c.retries }},
			CheckRedirect: g.redirect,
		},
	}
	c.sessions[name] = s
	return s, nil
}

// Close ends the connections that nothing uses any more. The client may be used again.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		s.guard.base.CloseIdleConnections()
	}
	clear(c.sessions)
}

func (r *repository) resolve(ctx context.Context, version string) (Descriptor, error) {
	d, err := r.oras.Manifests().Resolve(ctx, version)
	if err != nil {
		return Descriptor{}, r.translate(err)
	}
	return descriptor(d).own(), nil
}

func (r *repository) fetch(ctx context.Context, d Descriptor) ([]byte, error) {
	ctx = r.client.metered(ctx, Progress{Ref: r.ref, Size: d.Size})
	fetch := r.oras.Blobs().Fetch
	if isManifest(d.MediaType) {
		fetch = r.oras.Manifests().Fetch
	}
	body, err := fetch(ctx, d.theirs())
	if err != nil {
		return nil, r.translate(err)
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, d.Size+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s ended after %d of %d bytes: %w", d.Digest, len(content), d.Size, r.translate(err))
	case int64(len(content)) < d.Size:
		return nil, fmt.Errorf("%w: %s ended after %d of %d bytes", ErrDigest, d.Digest, len(content), d.Size)
	case int64(len(content)) > d.Size:
		return nil, fmt.Errorf("%w: %s has more than the %d bytes that were said", ErrDigest, d.Digest, d.Size)
	}
	if actual := digestOf(content); actual != d.Digest {
		return nil, fmt.Errorf("%w: %s came as %s", ErrDigest, d.Digest, actual)
	}
	return content, nil
}

func (r *repository) tags(ctx context.Context) ([]string, error) {
	var all []string
	err := r.oras.Tags(ctx, "", func(some []string) error {
		all = append(all, some...)
		if len(all) > r.client.limits.Tags {
			return fmt.Errorf("%w: over %d tags", ErrTooLarge, r.client.limits.Tags)
		}
		return nil
	})
	return all, r.translate(err)
}

func (r *repository) referrers(ctx context.Context, subject Descriptor, artifactType string) ([]Descriptor, error) {
	var all []Descriptor
	err := r.oras.Referrers(ctx, subject.theirs(), artifactType, func(some []ocispec.Descriptor) error {
		for _, d := range some {
			all = append(all, descriptor(d).own())
		}
		if len(all) > r.client.limits.Attached {
			return fmt.Errorf("%w: over %d attachments", ErrTooLarge, r.client.limits.Attached)
		}
		return nil
	})
	return all, r.translate(err)
}

func (r *repository) push(ctx context.Context, d Descriptor, content []byte) error {
	exists, err := r.oras.Blobs().Exists(ctx, d.theirs())
	if err != nil || exists {
		return r.translate(err)
	}
	ctx = r.client.metered(ctx, Progress{Ref: r.ref, Push: true, Size: d.Size})
	return r.translate(r.oras.Blobs().Push(ctx, d.theirs(), bytes.NewReader(content)))
}

func (r *repository) publish(ctx context.Context, d Descriptor, manifest []byte, tag string) error {
	if tag == "" {
		return r.translate(r.oras.Manifests().Push(ctx, d.theirs(), bytes.NewReader(manifest)))
	}
	return r.translate(r.oras.Manifests().PushReference(ctx, d.theirs(), bytes.NewReader(manifest), tag))
}

// translate makes errors of the network and the library ours. Addresses are shortened to their hosts: those that storage is
// redirected to hold signatures that give access.
func (r *repository) translate(err error) error {
	var answered *errcode.ErrorResponse
	var address *url.Error
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		said := ""
		if len(answered.Errors) > 0 {
			said = answered.Errors.Error()
		}
		return statusError(answered.StatusCode, answered.URL.Host, said)
	case errors.As(err, &address):
		host := address.URL
		if u, parseErr := url.Parse(address.URL); parseErr == nil {
			host = u.Host
		}
		return fmt.Errorf("%s: %w", host, r.translate(address.Err))
	case errors.Is(err, errdef.ErrNotFound):
		return fmt.Errorf("%s %w", r.ref, ErrNotFound)
	case errors.Is(err, errdef.ErrSizeExceedsLimit):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w (a registry with a certificate of its own needs ca_file)", err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("it speaks plain HTTP, and nobody allowed that: %w", ErrPlainHTTP)
	case errors.Is(err, ErrAway), errors.Is(err, ErrPrivate), errors.Is(err, ErrPlainHTTP), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrAway, err)
	case strings.Contains(err.Error(), "mismatch"): // the library has no name for it, and writes the whole address
		return fmt.Errorf("%w: %s announces other content than was asked for", ErrDigest, r.ref.Registry)
	case query.MatchString(err.Error()):
		return errors.New(query.ReplaceAllString(err.Error(), "$1"))
	}
	return err
}

// query is that of an address in a text, with the address before it.
var query = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)

// maxSaid is how much of what a registry says is repeated.
const maxSaid = 200

func statusError(status int, host, said string) error {
	kind := errors.New("the registry refuses it")
	switch {
	case status == http.StatusUnauthorized:
		kind = ErrUnauthorized
	case status == http.StatusForbidden:
		kind = ErrForbidden
	case status == http.StatusNotFound:
		kind = ErrNotFound
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		kind = ErrAway
	}
	text := fmt.Sprintf("%s answers %d %s", host, status, http.StatusText(status))
	if said = strings.ToValidUTF8(strings.TrimSpace(said), ""); said != "" {
		text += fmt.Sprintf(" (%q)", said[:min(len(said), maxSaid)])
	}
	return fmt.Errorf("%s: %w", text, kind)
}

var _ place = (*repository)(nil)
