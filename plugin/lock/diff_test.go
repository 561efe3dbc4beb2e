package lock

import (
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

func changesOf(t *testing.T, old, next *Version) string {
	t.Helper()
	var b strings.Builder
	if err := WriteChanges(&b, Diff(old, next)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	embed := func(m *w.Module, text string) *Version {
		wasm, err := manifest.Embed(m.Bytes(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return version(t, wasm)
	}
	var a w.Module
	a.Import(abi.ModulePolicy, "get", nil, nil)
	a.Import(abi.ModuleWASI, "fd_write", nil, nil)
	a.Memory(1)
	a.Hook("authenticate", w.Pass)
	old := embed(&a, `{"name": "office-hours", "version": "1.2.0", "abi": 1, "author": "A", "grants": [{"kv": "own", "reason": "to count"}, {"identities": "read", "reason": "x"}],
	  "inputs": ["request.path"], "limits": {"fuel": 1000}, "config_schema": {"properties": {"tz": {}}}}`)
	old.Signer = Signer{"team-a", "RWa"}
	var b w.Module
	b.Import(abi.ModulePolicy, "get", nil, nil)
	b.Import(abi.ModulePolicy, "kv_get", nil, nil)
	b.Memory(2)
	b.Hook("authenticate", w.Pass)
	b.Hook("choose_step", w.Pass)
	next := embed(&b, `{"name": "office-hours", "version": "1.3.0", "abi": 1, "author": "B", "grants": [{"kv": "own", "reason": "to remember"}, {"input": "credential", "reason": "to \u00e4sk"}],
	  "inputs": ["request.method"], "veto": true, "limits": {"fuel": 2000, "memory_bytes": 1048576}, "config_schema": {"required": ["days"], "properties": {"days": {}}}}`)
	const want = `  version       1.2.0 → 1.3.0
  author        A → B
  grants        asks for kv: own with another reason: "to remember"
! grants        now asks for inputs: credential, with the reason "to äsk"
  grants        no longer asks for identities: read
  inputs        now reads request.method
  inputs        no longer reads request.path
! limits        fuel 1000 → 2000
! limits        memory the default → 1MiB
  configuration now takes days
  configuration no longer takes tz
! configuration now needs days
! hooks         is now asked at choose_step
! hooks         is now meant to be bound with veto: true
! imports       now calls kv_get
  imports       no longer calls wasi_snapshot_preview1.fd_write
  memory        64 KiB to begin with → 128 KiB to begin with
  code          is not the same
  size          @OLD@ bytes → @NEW@ bytes
! signer        was signed by team-a (RWa), is signed by nobody who is trusted
`
	got := changesOf(t, old, next)
	sized := strings.NewReplacer("@OLD@", strconv.Itoa(len(old.Content)), "@NEW@", strconv.Itoa(len(next.Content))).Replace(want)
	if got != sized {
		t.Errorf("got\n%s\nwant\n%s", got, sized)
	}
	if got := changesOf(t, old, old); got != "" {
		t.Errorf("the same differs:\n%s", got)
	}
	if got := changesOf(t, embed(&a, `{"name": "x", "version": "1.0.0", "abi": 1}`), embed(&a, `{"name": "x", "version": "2.0.0", "abi": 1}`)); got != "  version       1.0.0 → 2.0.0\n" {
		t.Errorf("the same code under another version:\n%s", got)
	}
	none := version(t, a.Bytes())
	if got := changesOf(t, old, none); !strings.Contains(got, "name          office-hours → none") || !strings.Contains(got, "! contract      version 1 → version none") {
		t.Errorf("without a manifest:\n%s", got)
	}
}

func TestDiffOfScripts(t *testing.T) {
	got := changesOf(t, &Version{Wasm: digestA, Content: []byte("a")}, &Version{Wasm: digestB, Content: []byte("bbbb")})
	if got != "  code          is not the same\n! size          1 bytes → 4 bytes\n" {
		t.Errorf("%s", got)
	}
}

// What plugins say of themselves cannot steer the terminal that it is shown on.
func TestChangesArePrintable(t *testing.T) {
	d := &differ{}
	d.lists("imports", "now calls", "", true, nil, []string{"a\x1b[2J\n! b"})
	if text := d.changes[0].Text; strings.ContainsAny(text, "\x1b\n") {
		t.Errorf("%q", text)
	}
}
