package lock

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/registry"
)

// Version is one version of a plugin, looked into and not run.
type Version struct {
	Reference string
	Content   []byte // the module; of a script the script
	Wasm      string // digest of Content
	Manifest  string // digest of the OCI manifest; empty for files
	Report    *inspect.Report
	Signer    Signer
	Unsigned  error // why Signer is nobody; nil if somebody is, or where nobody is trusted
}

// Name is what the plugin calls itself; empty if it does not.
func (v *Version) Name() string {
	if m := v.manifest(); m != nil {
		return m.Name
	}
	return ""
}

// Number is its version as it says; empty if it does not.
func (v *Version) Number() string {
	if m := v.manifest(); m != nil {
		return m.Version
	}
	return ""
}

// Hooks are where it is asked if policies.yaml does not say; none of a script, which nothing is known of.
func (v *Version) Hooks() []string {
	if v.Report == nil {
		return nil
	}
	return hooks(v.Report)
}

func (v *Version) manifest() *manifest.Manifest {
	if v.Report == nil {
		return nil
	}
	return v.Report.Manifest
}

// Look brings what a policy's reference names now. A policy that must be signed and is not is an error, as it is when it is
// loaded. So is a tag that its registry could not be asked about: what it named once is no ground to lock it.
func Look(ctx context.Context, w Want, s Store, r Rules) (*Version, error) {
	c, err := w.fetch(ctx, nil, s)
	if err != nil {
		return nil, err
	}
	if c.artifact.Away != nil {
		return nil, fmt.Errorf("%w: %w", ErrStale, c.artifact.Away)
	}
	return r.look(ctx, &w, c, s)
}

// LookLocked brings what an entry pins, for comparison with what comes after it.
func LookLocked(ctx context.Context, w Want, e *Entry, s Store, r Rules) (*Version, error) {
	w.Reference, w.MustBeSigned = e.Reference, false
	c, err := w.fetch(ctx, e, s)
	if err != nil {
		return nil, err
	}
	if c.digest != e.Wasm {
		return nil, fmt.Errorf("%w: it has the digest %s, and plugins.lock has %s", ErrDiffers, c.digest, e.Wasm)
	}
	v, err := r.look(ctx, &w, c, s)
	if v != nil {
		v.Signer = e.Signer
	}
	return v, err
}

func (r Rules) look(ctx context.Context, w *Want, c *content, s Store) (*Version, error) {
	v := &Version{Reference: w.Reference, Content: c.content, Wasm: c.digest, Manifest: c.artifact.ManifestDigest}
	if !strings.HasSuffix(w.File, ".js") { // a script has nothing to look into
		report, err := inspect.Module(c.content)
		if err != nil {
			return nil, err
		}
		v.Report = report
	}
	if len(r.Trust) == 0 && !w.MustBeSigned {
		return v, nil
	}
	signer, err := r.verify(ctx, c, s)
	if err != nil && w.MustBeSigned {
		return nil, err
	}
	v.Signer, v.Unsigned = Signer{Name: signer.Name, Key: signer.Key}, err
	return v, nil
}

// Advance returns the entry that pins a version, in the place of old, which is nil for a policy that is locked for the first
// time. What a policy may ask for comes from old: what an upgrade wants beyond that waits for Approve. A plugin of another name
// is refused, and so is an older version, unless downgrade says that it is meant.
func Advance(w Want, old *Entry, v *Version, downgrade bool) (Entry, error) {
	e := Entry{
		Name: w.Name, Reference: w.Reference, Plugin: v.Name(), Version: v.Number(), Manifest: v.Manifest, Wasm: v.Wasm,
		ABI: abi.Version, Signer: v.Signer,
	}
	m := v.manifest()
	if m != nil {
		e.ABI = m.ABI
	}
	if old == nil {
		e.Grants = sorted(append(asks(m), w.Given...)) // who locks it first has it before them
		return e, nil
	}
	switch {
	case old.Plugin != "" && e.Plugin != old.Plugin:
		return Entry{}, fmt.Errorf("%w: it calls itself %q, and plugins.lock has %s: if that is meant, take the entry out of plugins.lock", ErrOtherPlugin, e.Plugin, old.Plugin)
	case !downgrade && old.Version != "" && registry.CompareVersions(e.Version, old.Version) < 0:
		return Entry{}, fmt.Errorf("%w: it is version %s, and plugins.lock has %s", ErrRollback, orNone(e.Version), old.Version)
	}
	e.Grants = slices.Clone(old.Grants)
	if m != nil { // what it does not ask for any more would have to be asked for anew
		e.Grants = slices.DeleteFunc(e.Grants, func(g string) bool { return !slices.Contains(asks(m), g) && !slices.Contains(w.Given, g) })
	}
	return e, nil
}

// Approve lets a policy ask for what its version asks for, and returns what of that is new.
func Approve(e *Entry, v *Version) (added []manifest.Ask, err error) {
	if v.Wasm != e.Wasm {
		return nil, fmt.Errorf("%w: it has the digest %s, and plugins.lock has %s", ErrDiffers, v.Wasm, e.Wasm)
	}
	added = unapproved(e, v.manifest())
	e.Grants = sorted(append(slices.Clone(e.Grants), asks(v.manifest())...))
	return added, nil
}

// Unapproved is what a version asks for that its entry does not allow.
func Unapproved(e *Entry, v *Version) []manifest.Ask { return unapproved(e, v.manifest()) }

func asks(m *manifest.Manifest) (all []string) {
	if m == nil {
		return nil
	}
	for _, a := range m.Grants {
		all = append(all, a.String())
	}
	return all
}

// Remarks are what a person should look at twice before locking a version: a plugin that does not call itself what its place
// says, and a tag that says another version than the plugin.
func Remarks(w Want, v *Version) (all []string) {
	ref, err := registry.ParseRef(w.Reference)
	if err != nil || w.File != "" {
		return nil
	}
	if name := v.Name(); name != "" && name != ref.Base() {
		all = append(all, fmt.Sprintf("it calls itself %s, and stands at %s", name, ref.Repo()))
	}
	if number := v.Number(); ref.Digest == "" && number != "" && IsVersion(ref.Tag) && !sameVersion(ref.Tag, number) {
		all = append(all, fmt.Sprintf("it says to be version %s, and stands under the tag %s", number, ref.Tag))
	}
	return all
}

// IsVersion reports whether a tag is meant as a version, and not as a name such as latest.
func IsVersion(tag string) bool {
	tag = strings.TrimPrefix(tag, "v")
	return tag != "" && tag[0] >= '0' && tag[0] <= '9'
}

// sameVersion reports whether a tag is a version or the first parts of it.
func sameVersion(tag, version string) bool {
	tag = strings.TrimPrefix(tag, "v")
	plain := strings.ReplaceAll(version, "+", "_") // tags have no plus, and this is the habit
	return tag == version || tag == plain || strings.HasPrefix(version, tag+".")
}
