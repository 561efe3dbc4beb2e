package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// module assembles a plugin. more are further members of its manifest.
func module(t testing.TB, name, version, more string) []byte {
	t.Helper()
	guest := w.NewGuest()
	guest.Hook("authenticate", w.Pass)
	if name == "" {
		return guest.Bytes()
	}
	wasm, err := manifest.Embed(guest.Bytes(), fmt.Appendf(nil, `{"name": %q, "version": %q, "abi": 1%s}`, name, version, more))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Read(wasm); err != nil {
		t.Fatal(err)
	}
	return wasm
}

// shelf is a registry with its cache.
type shelf struct {
	tags     map[string]string // by reference: the manifest's digest
	plugins  map[string][]byte // by the manifest's digest
	attached map[string][]registry.Attachment
	cached   map[string][]registry.Attachment
	away     error
	asked    int // how often the registry was
}

func newShelf() *shelf {
	return &shelf{map[string]string{}, map[string][]byte{}, map[string][]registry.Attachment{}, map[string][]registry.Attachment{}, nil, 0}
}

// put publishes a plugin, and returns the digest of its manifest.
func (s *shelf) put(ref string, wasm []byte, signatures ...[]byte) string {
	digest := trust.Digest(append([]byte("manifest of "), wasm...))
	s.tags[ref], s.plugins[digest] = digest, wasm
	s.attached[digest] = nil
	for _, text := range signatures {
		s.attached[digest] = append(s.attached[digest], Attachment(text))
	}
	return digest
}

func (s *shelf) Pull(_ context.Context, r registry.Ref) (registry.Artifact, error) {
	digest := r.Digest
	a := registry.Artifact{Ref: r, FromCache: true}
	if digest == "" {
		s.asked++
		digest, a.FromCache, a.Away = s.tags[r.String()], s.away != nil, s.away
	}
	wasm, ok := s.plugins[digest]
	if !ok {
		return a, registry.ErrNotFound
	}
	a.ManifestDigest, a.Wasm, a.WasmDigest = digest, wasm, trust.Digest(wasm)
	return a, nil
}

func (s *shelf) Referrers(_ context.Context, _ registry.Ref, digest, _ string) ([]registry.Attachment, error) {
	s.asked++
	if s.away != nil {
		return nil, s.away
	}
	s.cached[digest] = s.attached[digest]
	return s.attached[digest], nil
}

func (s *shelf) CachedReferrers(digest, _ string) ([]registry.Attachment, error) {
	return s.cached[digest], nil
}

func key(t testing.TB) *trust.SecretKey {
	t.Helper()
	k, err := trust.NewSecretKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t testing.TB, k *trust.SecretKey, name, version string, wasm []byte) []byte {
	t.Helper()
	text, err := k.Sign(name, version, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const reference = "oci://registry.example/acme/office-hours:1.2"

// bench is a team's key, its plugin in a registry, and a gateway that trusts the team.
type bench struct {
	key   *trust.SecretKey
	wasm  []byte
	shelf *shelf
	want  Want
	rules Rules
	file  *File
	entry Entry
}

func setUp(t *testing.T) *bench {
	t.Helper()
	b := &bench{key: key(t), shelf: newShelf(), file: &File{}}
	b.wasm = module(t, "office-hours", "1.2.0", `, "grants": [{"kv": "own", "reason": "to count"}]`)
	b.shelf.put(reference, b.wasm, signed(t, b.key, "office-hours", "1.2.0", b.wasm))
	b.want = Want{Name: "hours", Reference: reference, MustBeSigned: true}
	b.rules = Rules{Trust: trust.Policy{{Name: "team-a", Public: b.key.Public(), Names: []string{"acme/*"}}}}
	b.entry = b.lock(t, nil)
	b.file.Set(b.entry)
	return b
}

// lock looks at what the reference names now and returns the entry that pins it.
func (b *bench) lock(t *testing.T, old *Entry) Entry {
	t.Helper()
	v, err := Look(t.Context(), b.want, b.shelf, b.rules)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Advance(b.want, old, v, false)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (b *bench) resolve(t *testing.T) (Module, error) {
	t.Helper()
	all, err := Resolve(t.Context(), []Want{b.want}, b.file, b.shelf, b.rules)
	if err != nil {
		if all != nil {
			t.Errorf("modules beside an error: %v", all)
		}
		return Module{}, err
	}
	return all[0], nil
}

func TestResolve(t *testing.T) {
	b := setUp(t)
	want := Entry{
		Name: "hours", Reference: reference, Plugin: "office-hours", Version: "1.2.0", Manifest: b.shelf.tags[reference], Wasm: trust.Digest(b.wasm), ABI: 1,
		Grants: []string{"kv: own"}, Signer: Signer{"team-a", b.key.Public().ID()},
	}
	if fmt.Sprint(b.entry) != fmt.Sprint(want) {
		t.Errorf("locked as %+v", b.entry)
	}
	b.shelf.asked, b.shelf.away = 0, errors.New("down")
	m, err := b.resolve(t)
	if err != nil || string(m.Content) != string(b.wasm) || m.Signer != want.Signer || !m.FromCache || b.shelf.asked != 0 || len(m.Warnings) > 0 {
		t.Errorf("%+v, %v, asked %d times", m, err, b.shelf.asked)
	}
}

func TestRefusals(t *testing.T) {
	stranger := key(t)
	resigned := func(name, version, more string) func(b *bench) {
		return func(b *bench) {
			signature := signed(t, b.key, name, version, append(slices.Clone(b.wasm), more...))
			clear(b.shelf.cached)
			b.shelf.attached[b.entry.Manifest] = []registry.Attachment{Attachment(signature)}
		}
	}
	for _, test := range []struct {
		name  string
		spoil func(b *bench)
		want  error
		words string
	}{
		{"a tag that no lock pins", func(b *bench) { b.file = &File{} }, ErrNotLocked, "run sallyport plugin lock, or write @sha256:…"},
		{"another reference than the locked one", func(b *bench) { b.want.Reference = strings.Replace(reference, "1.2", "1.3", 1) }, ErrDiffers, ":1.3, and plugins.lock has " + reference + ": run sallyport plugin lock"},
		{"another digest than the locked one", func(b *bench) {
			b.want.Reference = "oci://registry.example/acme/office-hours@" + digestA
			b.entry.Reference = b.want.Reference
			b.file.Set(b.entry)
		}, ErrDiffers, "run sallyport plugin lock"},
		{"a lock without the manifest", func(b *bench) { b.entry.Manifest = ""; b.file.Set(b.entry) }, ErrDiffers, "no digest of a manifest"},
		{"another module in the lock", func(b *bench) { b.entry.Wasm = digestA; b.file.Set(b.entry) }, ErrDiffers, "plugins.lock has " + digestA},
		{"a manifest that is nowhere", func(b *bench) { b.entry.Manifest = digestA; b.file.Set(b.entry) }, registry.ErrNotFound, ""},
		{"a digest that is not locked, with require_lock", func(b *bench) {
			b.want.Reference, b.file, b.rules.Locked = "oci://registry.example/acme/office-hours@"+b.entry.Manifest, &File{}, true
		}, ErrNotLocked, "require_lock is set"},
		{"a bad reference", func(b *bench) { b.want.Reference, b.file = "oci://registry.example/../x:1", &File{} }, nil, "is no name of a repository"},
		{"more than was approved", func(b *bench) { b.entry.Grants = nil; b.file.Set(b.entry) }, ErrNotApproved, `asks for kv: own, with the reason "to count": to allow that, run sallyport plugin approve hours`},
		{"no signature", func(b *bench) { clear(b.shelf.attached); clear(b.shelf.cached) }, trust.ErrUnsigned, "is not signed"},
		{"a key that nobody trusts", func(b *bench) { b.rules.Trust[0].Public = stranger.Public() }, trust.ErrUntrusted, "not among those of trust"},
		{"nobody is trusted", func(b *bench) { b.rules.Trust = nil }, trust.ErrUntrusted, ""},
		{"a revoked key", func(b *bench) { b.rules.Trust[0].Revoked = true }, trust.ErrRevoked, "team-a"},
		{"a revoked key where none is needed", func(b *bench) { b.rules.Trust[0].Revoked, b.want.MustBeSigned = true, false }, trust.ErrRevoked, "team-a"},
		{"a key for other plugins", func(b *bench) { b.rules.Trust[0].Names = []string{"quota"} }, trust.ErrNotAllowed, ""},
		{"a signature of another name", resigned("quota", "1.2.0", ""), trust.ErrOtherName, "team-a signed quota, and this is office-hours"},
		{"a signature of another version", resigned("office-hours", "1.1.0", ""), trust.ErrOtherVersion, "signed office-hours 1.1.0, and this is version 1.2.0"},
		{"a signature of other content", resigned("office-hours", "1.2.0", "x"), trust.ErrOtherDigest, ""},
		{"the registry is away, and no signature is at hand", func(b *bench) { clear(b.shelf.cached); b.shelf.away = registry.ErrAway }, registry.ErrAway, "reading its signatures"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := setUp(t)
			test.spoil(b)
			_, err := b.resolve(t)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) || !strings.HasPrefix(err.Error(), `policy "hours": `) {
				t.Errorf("%v", err)
			}
		})
	}
}

// The lock pins the manifest, so where a tag leads to afterwards does not matter until somebody updates.
func TestTagMovedSinceLock(t *testing.T) {
	b := setUp(t)
	other := module(t, "office-hours", "1.2.1", "")
	b.shelf.put(reference, other, signed(t, b.key, "office-hours", "1.2.1", other))
	if m, err := b.resolve(t); err != nil || string(m.Content) != string(b.wasm) {
		t.Errorf("%v", err)
	}
	if e := b.lock(t, &b.entry); e.Version != "1.2.1" || len(e.Grants) > 0 {
		t.Errorf("updated: %+v", e)
	}
}

func TestRotation(t *testing.T) {
	b := setUp(t)
	next := key(t)
	digest := b.shelf.tags[reference]
	b.shelf.attached[digest] = append(b.shelf.attached[digest], Attachment(signed(t, next, "office-hours", "1.2.0", b.wasm)))
	b.rules.Trust[0].Revoked = true
	b.rules.Trust = append(b.rules.Trust, trust.Key{Name: "team-a-2027", Public: next.Public(), Names: []string{"acme/*"}})
	m, err := b.resolve(t) // what is cached was signed by the old key alone, so the registry is asked
	if err != nil || m.Signer.Name != "team-a-2027" || len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "was signed by team-a (") {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestUnsignedWhereNothingIsRequired(t *testing.T) {
	b := setUp(t)
	b.want.MustBeSigned = false
	clear(b.shelf.attached)
	clear(b.shelf.cached)
	if m, err := b.resolve(t); err != nil || m.Signer != (Signer{}) {
		t.Errorf("%+v, %v", m, err)
	}
	b.rules.Trust = nil
	b.shelf.asked = 0
	if _, err := b.resolve(t); err != nil || b.shelf.asked > 0 {
		t.Errorf("who trusts nobody asks nobody: %v", err)
	}
}

// A digest in policies.yaml pins by itself.
func TestDigestNeedsNoLock(t *testing.T) {
	b := setUp(t)
	b.file, b.want.Reference = &File{}, "oci://registry.example/acme/office-hours@"+b.entry.Manifest
	if m, err := b.resolve(t); err != nil || m.Manifest != b.entry.Manifest {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAllRefusalsAtOnce(t *testing.T) {
	b := setUp(t)
	wants := []Want{{Name: "a", Reference: "oci://r.example/a:1"}, b.want, {Name: "c", File: "/nowhere/c.wasm", Reference: "./c.wasm"}}
	_, err := Resolve(t.Context(), wants, b.file, b.shelf, b.rules)
	var refused Refusals
	if !errors.As(err, &refused) || len(refused) != 2 || refused[0].Index != 0 || refused[1].Index != 2 || !errors.Is(err, os.ErrNotExist) || !errors.Is(err, ErrNotLocked) {
		t.Errorf("%v", err)
	}
}

func TestFiles(t *testing.T) {
	b := setUp(t)
	path := filepath.Join(t.TempDir(), "hours.wasm")
	write := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, b.wasm)
	b.file = &File{}
	b.want = Want{Name: "hours", Reference: "./hours.wasm", File: path, MustBeSigned: true}
	b.rules.Trust[0].Names = []string{"office-hours"}
	if _, err := b.resolve(t); !errors.Is(err, trust.ErrUnsigned) {
		t.Errorf("%v", err)
	}
	write(path+".minisig", signed(t, b.key, "office-hours", "1.2.0", b.wasm))
	if m, err := b.resolve(t); err != nil || m.Signer.Name != "team-a" || m.FromCache {
		t.Errorf("%+v, %v", m, err)
	}
	b.rules.Locked = true
	if _, err := b.resolve(t); !errors.Is(err, ErrNotLocked) {
		t.Errorf("%v", err)
	}
	b.file.Set(b.lock(t, nil))
	if _, err := b.resolve(t); err != nil {
		t.Error(err)
	}
	other := module(t, "office-hours", "1.2.0", `, "author": "somebody else"`)
	write(path, other)
	write(path+".minisig", signed(t, b.key, "office-hours", "1.2.0", other))
	if _, err := b.resolve(t); !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "run sallyport plugin update hours") {
		t.Errorf("%v", err)
	}
	write(path+".minisig", make([]byte, maxSignatureFile+1))
	if _, err := FileSignatures(path); err == nil || !strings.Contains(err.Error(), "is no signature") {
		t.Errorf("%v", err)
	}
}

func TestSignaturesOf(t *testing.T) {
	got := Signatures([]registry.Attachment{
		{ArtifactType: ArtifactTypeMinisign, Data: []byte("m")},
		{ArtifactType: registry.ArtifactTypeCosign, MediaType: mediaTypeCosign, Data: []byte("p"), Annotations: map[string]string{annotationCosign: "s"}},
		{ArtifactType: "application/vnd.dev.sigstore.bundle.v0.3+json", MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", Data: []byte("b")},
		{ArtifactType: "application/spdx+json", MediaType: "application/spdx+json"},
	})
	want := []trust.Signature{{Kind: trust.Minisign, Text: []byte("m")}, {Kind: trust.CosignPayload, Text: []byte("p"), Encoded: "s"}, {Kind: trust.Bundle, Text: []byte("b")}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
}
