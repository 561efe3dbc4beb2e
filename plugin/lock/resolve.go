package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// Want is a policy of policies.yaml that has to be resolved.
type Want struct {
	Name         string   // of the policy
	Reference    string   // "oci://…" or "dir://…"; of files what plugins.lock calls them
	File         string   // absolute path; empty for references
	MustBeSigned bool     // by a key of Rules.Trust
	Given        []string // grants that policies.yaml gives it, as manifest.Ask writes them
}

// Rules are those of policies.yaml that all of them are under.
type Rules struct {
	Trust  trust.Policy
	Locked bool // nothing is loaded that is not in plugins.lock
}

// Store is where references lead to. *registry.Client is one.
type Store interface {
	Pull(ctx context.Context, r registry.Ref) (registry.Artifact, error)
	Referrers(ctx context.Context, r registry.Ref, manifestDigest, artifactType string) ([]registry.Attachment, error)
	CachedReferrers(manifestDigest, artifactType string) ([]registry.Attachment, error)
}

// Module is what a policy was resolved to.
type Module struct {
	Content   []byte // the module; of a file the file, which may be a script
	Digest    string // of Content
	Manifest  string // digest of the OCI manifest; empty for files
	Signer    Signer
	FromCache bool     // no registry was asked for it
	Warnings  []string // what an operator should know though it loads
}

// Refusal is why a policy is not loaded.
type Refusal struct {
	Index int // among the wants
	Name  string
	Err   error
}

// Refusals is the error of Resolve: one for each policy that is not loaded, in their order.
type Refusals []Refusal

// Error returns one line per policy.
func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i := range r {
		lines[i] = fmt.Sprintf("policy %q: %v", r[i].Name, r[i].Err)
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is find each.
func (r Refusals) Unwrap() []error {
	all := make([]error, len(r))
	for i := range r {
		all[i] = r[i].Err
	}
	return all
}

// Resolve returns the modules of policies, in their order, or Refusals. What is pinned by a digest and is in the store's cache
// needs no registry. Nothing is written but that cache.
func Resolve(ctx context.Context, wants []Want, f *File, s Store, r Rules) ([]Module, error) {
	modules := make([]Module, len(wants))
	var refused Refusals
	for i := range wants {
		m, err := r.resolve(ctx, &wants[i], f.Find(wants[i].Name), s)
		if err != nil {
			refused = append(refused, Refusal{i, wants[i].Name, err})
			continue
		}
		modules[i] = *m
	}
	if len(refused) > 0 {
		return nil, refused
	}
	return modules, nil
}

func (r Rules) resolve(ctx context.Context, w *Want, e *Entry, s Store) (*Module, error) {
	if err := r.checkPin(w, e); err != nil {
		return nil, err
	}
	c, err := w.fetch(ctx, e, s)
	if err != nil {
		return nil, err
	}
	if e != nil && e.Wasm != c.digest {
		return nil, fmt.Errorf("%w: it has the digest %s, and plugins.lock has %s: if that is meant, run sallyport plugin update %s", ErrDiffers, c.digest, e.Wasm, w.Name)
	}
	if e != nil {
		if err := checkApproved(e, c.manifest); err != nil {
			return nil, err
		}
	}
	m := &Module{Content: c.content, Digest: c.digest, Manifest: c.artifact.ManifestDigest, FromCache: c.artifact.FromCache}
	if away := c.artifact.Away; away != nil {
		m.Warnings = append(m.Warnings, fmt.Sprintf("its registry could not be asked, so it is loaded from the cache: %v", away))
	}
	signer, err := r.signer(ctx, w, c, s)
	if err != nil {
		return nil, err
	}
	m.Signer = signer
	if e != nil && e.Signer.Key != "" && signer.Key != e.Signer.Key {
		m.Warnings = append(m.Warnings, fmt.Sprintf("was signed by %s when it was locked, and is signed by %s now", e.Signer, signer))
	}
	return m, nil
}

// checkPin says whether what policies.yaml names is one thing and no other.
func (r Rules) checkPin(w *Want, e *Entry) error {
	switch {
	case e != nil && e.Reference != w.Reference:
		return fmt.Errorf("%w: policies.yaml names %s, and plugins.lock has %s: run sallyport plugin lock", ErrDiffers, w.Reference, e.Reference)
	case e == nil && r.Locked:
		return fmt.Errorf("%w, and require_lock is set: run sallyport plugin lock", ErrNotLocked)
	case e != nil && (e.Manifest == "") != (w.File != ""):
		return fmt.Errorf("%w: plugins.lock has no digest of a manifest for it: run sallyport plugin lock", ErrDiffers)
	case e != nil || w.File != "":
		return nil
	}
	ref, err := registry.ParseRef(w.Reference)
	if err == nil && ref.Digest == "" {
		err = fmt.Errorf("%w: %s may name something else tomorrow: run sallyport plugin lock, or write @sha256:… in place of the version", ErrNotLocked, w.Reference)
	}
	return err
}

// content is what was found for a policy.
type content struct {
	ref      registry.Ref // its zero value for files
	place    string
	content  []byte
	digest   string
	manifest *manifest.Manifest // nil if it has none, or one that is not right: those who load it say so
	artifact registry.Artifact  // empty for files
}

// fetch brings a policy: what the entry pins, or without one what the reference names.
func (w *Want) fetch(ctx context.Context, e *Entry, s Store) (*content, error) {
	if w.File != "" {
		text, err := os.ReadFile(filepath.Clean(w.File))
		if err != nil {
			return nil, err
		}
		return newContent(text, w.File), nil
	}
	ref, err := registry.ParseRef(w.Reference)
	if err != nil {
		return nil, err
	}
	pinned := ref
	if e != nil {
		if ref.Digest != "" && ref.Digest != e.Manifest {
			return nil, fmt.Errorf("%w: policies.yaml names %s, and plugins.lock has the manifest %s: run sallyport plugin lock", ErrDiffers, w.Reference, e.Manifest)
		}
		pinned = ref.At(e.Manifest)
	}
	a, err := s.Pull(ctx, pinned)
	if err != nil {
		return nil, err
	}
	c := newContent(a.Wasm, place(ref))
	c.ref, c.artifact = ref, a
	return c, nil
}

func newContent(text []byte, place string) *content {
	c := &content{content: text, digest: trust.Digest(text), place: place}
	if m, err := manifest.Read(text); err == nil {
		c.manifest = m
	}
	return c
}

// place is where a reference leads to, as names of trust have it.
func place(r registry.Ref) string {
	if r.Scheme == registry.SchemeDir {
		return r.Path
	}
	return r.Registry + "/" + r.Path
}

// checkApproved says whether a plugin asks for something that nobody approved.
func checkApproved(e *Entry, m *manifest.Manifest) error {
	more := unapproved(e, m)
	if len(more) == 0 {
		return nil
	}
	words := make([]string, len(more))
	for i, a := range more {
		words[i] = fmt.Sprintf("%s, with the reason %q", a, a.Reason)
	}
	return fmt.Errorf("%w: it asks for %s: to allow that, run sallyport plugin approve %s", ErrNotApproved, strings.Join(words, "; for "), e.Name)
}

// unapproved is what a plugin asks for beyond what was approved.
func unapproved(e *Entry, m *manifest.Manifest) (more []manifest.Ask) {
	if m == nil {
		return nil // it asks for nothing; policies.yaml alone says what it gets
	}
	for _, a := range m.Grants {
		if !slices.Contains(e.Grants, a.String()) {
			more = append(more, a)
		}
	}
	return more
}

// signer returns who signed a policy. Where no signature is needed, a revoked key's still counts against it: who revoked the
// key did not want what it signed.
func (r Rules) signer(ctx context.Context, w *Want, c *content, s Store) (Signer, error) {
	if len(r.Trust) == 0 && !w.MustBeSigned {
		return Signer{}, nil
	}
	signer, err := r.verify(ctx, c, s)
	switch {
	case err == nil:
		return Signer{Name: signer.Name, Key: signer.Key}, nil
	case w.MustBeSigned || errors.Is(err, trust.ErrRevoked):
		return Signer{}, err
	default:
		return Signer{}, nil
	}
}

// verify looks at the signatures that are at hand. Only if none of them is good the registry is asked for others, so that a
// gateway whose registry is away starts, and one whose policies were signed anew with the next key sees that.
func (r Rules) verify(ctx context.Context, c *content, s Store) (trust.Signer, error) {
	facts := c.facts()
	if c.ref == (registry.Ref{}) {
		signatures, err := FileSignatures(c.place)
		if err != nil {
			return trust.Signer{}, err
		}
		return r.Trust.Verify(facts, signatures)
	}
	if cached, err := s.CachedReferrers(c.artifact.ManifestDigest, ""); err == nil {
		if signer, err := r.Trust.Verify(facts, Signatures(cached)); err == nil {
			return signer, nil
		}
	}
	all, err := s.Referrers(ctx, c.ref, c.artifact.ManifestDigest, "")
	if err != nil {
		return trust.Signer{}, fmt.Errorf("reading its signatures: %w", err)
	}
	return r.Trust.Verify(facts, Signatures(all))
}

func (c *content) facts() trust.Facts {
	f := trust.Facts{Wasm: c.content, Manifest: c.artifact.ManifestDigest, Place: c.place}
	if c.manifest != nil {
		f.Name, f.Version = c.manifest.Name, c.manifest.Version
	}
	return f
}

var _ Store = (*registry.Client)(nil)
