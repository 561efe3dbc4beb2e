package lock

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

func TestFile(t *testing.T) {
	f := &File{}
	f.Set(Entry{Name: "quota", Reference: "./plugins/quota.wasm", Wasm: digestB, ABI: 1})
	f.Set(Entry{
		Name: "office-hours", Reference: "oci://registry.example:5000/team/office-hours:1.2", Plugin: "office-hours", Version: "1.2.0",
		Manifest: digestA, Wasm: digestB, ABI: 1, Grants: []string{"kv: own", "inputs: request.headers.x-team", "identities: read", "inputs: credential"},
		Signer: Signer{"team-a", "RWRWZJ4wxFZECOyg7k6SXOhSeZa3lBjxegDMGyn72R6BpY5wlL6MLSXE"},
	})
	f.Set(Entry{Name: "true", Reference: "dir:///srv/my policies/x: y@1.0", Plugin: "1", Wasm: digestB, ABI: 1, Signer: Signer{"a b", "sha256:x"}})
	const want = head + `plugins:
  - name: office-hours
    reference: oci://registry.example:5000/team/office-hours:1.2
    plugin: office-hours
    version: "1.2.0"
    manifest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    wasm: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    abi: 1
    grants: {identities: read, kv: own, inputs: [credential, request.headers.x-team]}
    signer: {name: team-a, key: RWRWZJ4wxFZECOyg7k6SXOhSeZa3lBjxegDMGyn72R6BpY5wlL6MLSXE}
  - name: quota
    reference: ./plugins/quota.wasm
    wasm: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    abi: 1
    grants: {}
  - name: "true"
    reference: "dir:///srv/my policies/x: y@1.0"
    plugin: "1"
    wasm: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    abi: 1
    grants: {}
    signer: {name: "a b", key: sha256:x}
`
	if got := string(f.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	again, err := Parse([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	f.Find("office-hours").Grants = sorted(f.Find("office-hours").Grants)
	if !reflect.DeepEqual(again, f) {
		t.Errorf("read again: %+v", again)
	}
	if again.Find("quotas") != nil || again.Find("quota").Wasm != digestB {
		t.Error("entries are found by their names")
	}
	if gone := again.Keep([]string{"quota"}); !reflect.DeepEqual(gone, []string{"office-hours", "true"}) || len(again.Plugins) != 1 {
		t.Errorf("%q are gone, left %+v", gone, again)
	}
	if none, err := Parse((&File{}).Encode()); err != nil || len(none.Plugins) != 0 {
		t.Errorf("an empty one: %v, %v", none, err)
	}
}

func TestFileProblems(t *testing.T) {
	const entry = "version: 1\nplugins:\n  - {name: a, reference: ./a.wasm, wasm: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, abi: 1}\n"
	for text, want := range map[string]string{
		"":                                   "holds no YAML document",
		"version: 2\nplugins: []\n":          "line 1: version: must be 1",
		"version: 1\n":                       `lacks "plugins"`,
		"version: 1\nplugins: []\nmore: 1\n": `no member "more"`,
		entry + strings.SplitN(entry, "\n", 3)[2]:                        `line 4: plugins[1].name: "a" stands here twice`,
		strings.Replace(entry, "sha256:b", "sha256:B", 1):                "line 3: plugins[0].wasm: must match",
		strings.Replace(entry, "abi: 1", "abi: 1, grants: {kv: all}", 1): "plugins[0].grants.kv: must be own",
		strings.Replace(entry, "abi: 1", "abi: 1, signer: {}", 1):        `plugins[0].signer: lacks "key", "name"`,
		strings.Replace(entry, "abi: 1", "abi: 1.5", 1):                  "plugins[0].abi",
		strings.Replace(entry, "name: a", "name: 1", 1):                  "plugins[0].name: must be string",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "plugins.lock")
	if err := os.WriteFile(path, []byte("version: 2\nplugins: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), path+":1: version: ") {
		t.Errorf("%v", err)
	}
}

// What is written is there as a whole, with the rights that the file had, and nothing else is left in the folder.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "plugins.lock")
	if f, err := Read(path); err != nil || len(f.Plugins) != 0 {
		t.Fatalf("a file that is not there locks nothing: %v, %v", f, err)
	}
	f := &File{}
	for range 2 {
		f.Set(Entry{Name: "a", Reference: "./a.wasm", Wasm: digestA, ABI: 1})
		if err := f.Write(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := Read(path); err != nil || again.Find("a").Wasm != digestA {
		t.Errorf("%+v, %v", again, err)
	}
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	// A folder in its place cannot be replaced by a file.
	blocked := filepath.Join(dir, "blocked")
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(blocked); err == nil {
		t.Error("a folder was replaced")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func FuzzParse(f *testing.F) {
	file := &File{}
	file.Set(Entry{Name: "a", Reference: "oci://r.example/a:1", Plugin: "a", Version: "1.0.0", Manifest: digestA, Wasm: digestB, ABI: 1, Grants: []string{"kv: own", "inputs: x"}, Signer: Signer{"t", "RW"}})
	f.Add(file.Encode())
	f.Add((&File{}).Encode())
	f.Add([]byte("version: 1\nplugins:\n  - {name: \"\\n\", reference: \"- {\", wasm: " + digestA + ", abi: 1, grants: {inputs: [\"a, b]\"]}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(got.Encode())
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%q\nwritten\n%s\nis read as %+v: %v", text, got.Encode(), again, err)
		}
	})
}
