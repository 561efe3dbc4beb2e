package lock

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// cosign itself signs what we have published, in all the ways that it has, and we take it.
func TestCosignTool(t *testing.T) {
	tool, err := exec.LookPath("cosign")
	if err != nil {
		t.Skip("needs cosign, such as of `go install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.2`")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(context.Background(), tool, args...)
		c.Dir, c.Env = dir, append(os.Environ(), "COSIGN_PASSWORD=x", "HOME="+dir, "COSIGN_EXPERIMENTAL=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("cosign %q: %v\n%s", args, err, out)
		}
	}
	run("generate-key-pair")
	public, err := os.ReadFile(filepath.Join(dir, "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := trust.ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	rules := Rules{Trust: trust.Policy{{Name: "team-a", Public: k, Names: []string{"acme/*", "office-hours"}}}}
	for name, flags := range map[string][]string{
		"tag":      {},
		"referrer": {"--registry-referrers-mode=oci-1-1"},
		"bundle":   {"--new-bundle-format"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(name != "tag")))
			defer server.Close()
			ref, err := registry.ParseRef(strings.TrimPrefix(server.URL, "http://") + "/acme/office-hours:1.2")
			if err != nil {
				t.Fatal(err)
			}
			store := registry.New(registry.Options{CacheDir: t.TempDir()})
			defer store.Close()
			pushed, err := store.Push(t.Context(), ref, registry.Artifact{Wasm: module(t, "office-hours", "1.2.0", "")})
			if err != nil {
				t.Fatal(err)
			}
			subject := strings.TrimPrefix(ref.At(pushed.ManifestDigest).String(), "oci://")
			run(append(append([]string{"sign", "--yes", "--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry"}, flags...), subject)...)
			v, err := Look(t.Context(), Want{Name: "hours", Reference: ref.String(), MustBeSigned: true}, store, rules)
			if err != nil || v.Signer.Name != "team-a" {
				t.Fatalf("%+v, %v", v, err)
			}
		})
	}
	t.Run("blob", func(t *testing.T) {
		path := filepath.Join(dir, "m.wasm")
		if err := os.WriteFile(path, module(t, "office-hours", "1.2.0", ""), 0o600); err != nil {
			t.Fatal(err)
		}
		run("sign-blob", "--yes", "--key", "cosign.key", "--tlog-upload=false", "--output-signature", "m.wasm.sig", "m.wasm")
		v, err := Look(t.Context(), Want{Name: "hours", Reference: "./m.wasm", File: path, MustBeSigned: true}, nil, rules)
		if err != nil || v.Signer.Name != "team-a" {
			t.Fatalf("%+v, %v", v, err)
		}
	})
}
