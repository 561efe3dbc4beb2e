package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/sallyport-dev/sallyport/internal/testutil"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// plugin assembles a policy of a name and a version.
func plugin(t testing.TB, name, version string) []byte {
	t.Helper()
	var m w.Module
	m.Memory(1)
	m.Hook("authenticate", w.Pass)
	text, err := json.Marshal(map[string]any{
		"name": name, "version": version, "abi": 1, "author": "Team A", "licence": "MIT", "description": "Says when.",
		"source": "https://git.example/a/" + name, "revision": "0123abc", "hooks": []string{"authenticate"}, "toolchain": "go1.26",
	})
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := manifest.Embed(m.Bytes(), text)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// served is a registry in this process, and what a test does to its requests.
type served struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.Handler
	before  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	asked   []string
}

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	before := s.before
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	s.handler.ServeHTTP(w, r)
}

// intercept lets a test answer in place of the registry.
func (s *served) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// requests returns what was asked for, and forgets it.
func (s *served) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *served) host() string { return s.Listener.Addr().String() }

// leave ends the registry. Nobody else is at its address until the test ends.
func (s *served) leave(t testing.TB) {
	t.Helper()
	port := s.Listener.Addr().(*net.TCPAddr).Port
	s.Close()
	testutil.ClosedAddress(t, port)
}

// ref is a reference of the registry, with oci:// before it.
func (s *served) ref(t testing.TB, rest string) Ref {
	t.Helper()
	return parse(t, "oci://"+s.host()+"/"+rest)
}

func newServed(referrers bool) *served {
	return &served{handler: ggcr.New(ggcr.WithReferrersSupport(referrers), ggcr.Logger(log.New(io.Discard, "", 0)))}
}

func serve(t testing.TB, referrers bool) *served {
	t.Helper()
	s := newServed(referrers)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// serveTLS serves under the name example.com, which the certificate of httptest is for, and returns that certificate's file.
func serveTLS(t testing.TB) (*served, string) {
	t.Helper()
	s := newServed(true)
	s.Server = httptest.NewTLSServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, file
}

// client is one without credentials and without waiting between tries.
func client(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Credentials == nil {
		o.Credentials = func(context.Context, string) (Credential, error) { return Credential{}, nil }
	}
	c := New(o)
	c.retries = &retry.GenericPolicy{Retryable: retry.DefaultPredicate, Backoff: func(int, *http.Response) time.Duration { return 0 }, MaxRetry: 1}
	t.Cleanup(c.Close)
	return c
}

// elsewhere makes a client believe that names have these addresses, while all connections go to servers of the test: nothing
// of a test leaves this machine. What is dialled is listed.
func elsewhere(c *Client, names map[string]string, servers map[string]string) func() []string {
	var mu sync.Mutex
	var dialled []string
	c.lookup = func(_ context.Context, host string) ([]net.IP, error) {
		if ip, ok := names[host]; ok {
			return []net.IP{net.ParseIP(ip)}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		dialled = append(dialled, address)
		mu.Unlock()
		to, ok := servers[address]
		if !ok {
			return nil, fmt.Errorf("the test has no server at %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return dialled
	}
}

func parse(t testing.TB, s string) Ref {
	t.Helper()
	r, err := ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// image is a manifest of layers that a test makes up.
func imageOf(t testing.TB, mediaType, artifactType, configType string, annotations map[string]string, layers ...blob) []blob {
	t.Helper()
	config := blob{describe(configType, []byte(`{"architecture":"wasm"}`)), []byte(`{"architecture":"wasm"}`)}
	m := ocispec.Manifest{
		Versioned: schemaTwo, MediaType: mediaType, ArtifactType: artifactType, Config: config.descriptor.theirs(), Annotations: annotations,
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, l.descriptor.theirs())
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]blob{config}, layers...), blob{describe(mediaType, text), text})
}

func layerOf(mediaType string, content []byte) blob {
	return blob{describe(mediaType, content), content}
}

// put sends contents as they are, right or wrong.
func put(t testing.TB, c *Client, r Ref, contents []blob) string {
	t.Helper()
	if err := c.send(t.Context(), r, r.Tag, contents); err != nil {
		t.Fatal(err)
	}
	return contents[len(contents)-1].descriptor.Digest
}

// archiveOf makes a tar of files, compressed if wanted.
func archiveOf(t testing.TB, compressed bool, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	var to io.Writer = &b
	z := gzip.NewWriter(&b)
	if compressed {
		to = z
	}
	archive := tar.NewWriter(to)
	for i := 0; i < len(files); i += 2 {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if compressed {
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// whole fails if anything half-written is in a folder, or a blob that is not what its name says.
func whole(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), temporary) {
			t.Errorf("%s was left", name)
		}
		content, err := os.ReadFile(name)
		if filepath.Base(filepath.Dir(name)) == "sha256" && digestOf(content) != "sha256:"+d.Name() {
			t.Errorf("%s has the wrong content", name)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}

// blobFile is where a client's cache keeps content.
func blobFile(t testing.TB, dir, digest string) string {
	t.Helper()
	name, err := folder{path: dir}.file(digest)
	if err != nil {
		t.Fatal(err)
	}
	return name
}
