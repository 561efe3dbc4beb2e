package lock

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// version looks into a module.
func version(t *testing.T, wasm []byte) *Version {
	t.Helper()
	report, err := inspect.Module(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return &Version{Reference: reference, Content: wasm, Wasm: trust.Digest(wasm), Manifest: digestA, Report: report}
}

func TestAdvance(t *testing.T) {
	w := Want{Name: "hours", Reference: reference, Given: []string{"kv: own"}}
	const wants = `, "grants": [{"kv": "own", "reason": "x"}, {"input": "credential", "reason": "y"}]`
	first, err := Advance(w, nil, version(t, module(t, "office-hours", "1.2.0", "")), false)
	if err != nil || !slices.Equal(first.Grants, []string{"kv: own"}) {
		t.Fatalf("what policies.yaml gives is approved by who locks it: %+v, %v", first, err)
	}
	next := version(t, module(t, "office-hours", "1.3.0", wants))
	second, err := Advance(w, &first, next, false)
	if err != nil || second.Version != "1.3.0" || !slices.Equal(second.Grants, first.Grants) {
		t.Fatalf("an upgrade gets no more than was approved: %+v, %v", second, err)
	}
	if more := Unapproved(&second, next); len(more) != 1 || more[0].Input != "credential" {
		t.Errorf("%v", more)
	}
	added, err := Approve(&second, next)
	if err != nil || len(added) != 1 || added[0].Reason != "y" || !slices.Equal(second.Grants, []string{"inputs: credential", "kv: own"}) {
		t.Errorf("approved: %+v, %v, %v", second, added, err)
	}
	if _, err := Approve(&second, version(t, module(t, "office-hours", "1.4.0", wants))); !errors.Is(err, ErrDiffers) {
		t.Errorf("what is approved is what is locked: %v", err)
	}
	older := version(t, module(t, "office-hours", "1.2.9", wants))
	if _, err := Advance(w, &second, older, false); !errors.Is(err, ErrRollback) || !strings.Contains(err.Error(), "it is version 1.2.9, and plugins.lock has 1.3.0") {
		t.Errorf("%v", err)
	}
	if e, err := Advance(w, &second, older, true); err != nil || e.Version != "1.2.9" {
		t.Errorf("meant: %v", err)
	}
	if _, err := Advance(w, &second, version(t, module(t, "", "", "")), false); !errors.Is(err, ErrOtherPlugin) {
		t.Errorf("a plugin that lost its name: %v", err)
	}
	if _, err := Advance(w, &second, version(t, module(t, "quota", "9.0.0", "")), true); !errors.Is(err, ErrOtherPlugin) || !strings.Contains(err.Error(), `calls itself "quota"`) {
		t.Errorf("another plugin: %v", err)
	}
	w.Given = nil
	third, err := Advance(w, &second, version(t, module(t, "office-hours", "2.0.0", "")), false)
	if err != nil || len(third.Grants) != 0 {
		t.Errorf("what is no longer asked for would have to be approved anew: %+v, %v", third, err)
	}
}

func TestLook(t *testing.T) {
	b := setUp(t)
	b.shelf.away = errors.New("down")
	if _, err := Look(t.Context(), b.want, b.shelf, b.rules); !errors.Is(err, ErrStale) {
		t.Errorf("a tag from the cache is not locked: %v", err)
	}
	b = setUp(t)
	clear(b.shelf.attached)
	clear(b.shelf.cached)
	if _, err := Look(t.Context(), b.want, b.shelf, b.rules); !errors.Is(err, trust.ErrUnsigned) {
		t.Errorf("%v", err)
	}
	b.want.MustBeSigned = false
	if v, err := Look(t.Context(), b.want, b.shelf, b.rules); err != nil || v.Signer.Name != "" || !errors.Is(v.Unsigned, trust.ErrUnsigned) {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := LookLocked(t.Context(), b.want, &b.entry, b.shelf, b.rules); err != nil || v.Signer != b.entry.Signer || v.Number() != "1.2.0" || v.Name() != "office-hours" {
		t.Errorf("%+v, %v", v, err)
	}
	b.entry.Wasm = digestA
	if _, err := LookLocked(t.Context(), b.want, &b.entry, b.shelf, b.rules); !errors.Is(err, ErrDiffers) {
		t.Errorf("%v", err)
	}
	b.shelf.put(reference, []byte("hello"))
	if _, err := Look(t.Context(), b.want, b.shelf, b.rules); err == nil {
		t.Error("what is no module is not locked")
	}
}

func TestRemarks(t *testing.T) {
	v := version(t, module(t, "office-hours", "1.2.0+build.1", ""))
	for ref, want := range map[string]string{
		"oci://r.example/a/office-hours:1.2":            "",
		"oci://r.example/a/office-hours:v1.2.0_build.1": "",
		"oci://r.example/a/office-hours:latest":         "",
		"dir:///srv/office-hours@1":                     "",
		"oci://r.example/a/office-hours@" + digestA:     "",
		"oci://r.example/a/quota:1.2":                   "it calls itself office-hours, and stands at oci://r.example/a/quota",
		"oci://r.example/a/office-hours:1.3":            "it says to be version 1.2.0+build.1, and stands under the tag 1.3",
		"oci://r.example/a/office-hours:1.2.0.5":        "it says to be version 1.2.0+build.1, and stands under the tag 1.2.0.5",
	} {
		if got := strings.Join(Remarks(Want{Reference: ref}, v), "; "); got != want {
			t.Errorf("%s: %s", ref, got)
		}
	}
}

// A whole life with the registry package's own client and a folder: published, signed, locked, loaded, loaded without the folder.
func TestWithAFolder(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	ref, err := registry.ParseRef("dir://" + filepath.Join(dir, "shared", "office-hours") + "@1.2")
	if err != nil {
		t.Fatal(err)
	}
	k, wasm := key(t), module(t, "office-hours", "1.2.0", "")
	author := registry.New(registry.Options{})
	pushed, err := author.Push(ctx, ref, registry.Artifact{Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := author.Attach(ctx, ref, pushed.ManifestDigest, Attachment(signed(t, k, "office-hours", "1.2.0", wasm))); err != nil {
		t.Fatal(err)
	}
	store := registry.New(registry.Options{CacheDir: filepath.Join(dir, "cache")})
	w := Want{Name: "hours", Reference: ref.String(), MustBeSigned: true}
	rules := Rules{Trust: trust.Policy{{Name: "team-a", Public: k.Public(), Names: []string{dir + "/shared/*"}}}, Locked: true}
	v, err := Look(ctx, w, store, rules)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Advance(w, nil, v, false)
	if err != nil || e.Manifest != pushed.ManifestDigest || e.Wasm != pushed.WasmDigest {
		t.Fatalf("%+v, %v", e, err)
	}
	f := &File{}
	f.Set(e)
	nowhere := registry.New(registry.Options{CacheDir: filepath.Join(dir, "cache")})
	w.Reference = strings.Replace(w.Reference, "shared", "gone", 1)
	e.Reference = w.Reference
	rules.Trust[0].Names = []string{"office-hours"}
	f.Set(e)
	all, err := Resolve(ctx, []Want{w}, f, nowhere, rules)
	if err != nil || string(all[0].Content) != string(wasm) || !all[0].FromCache || all[0].Signer.Name != "team-a" {
		t.Errorf("%+v, %v", all, err)
	}
}
