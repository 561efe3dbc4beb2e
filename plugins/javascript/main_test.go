// Package javascript_test holds the guest that runs policies in JavaScript to what it promises, on the gateway's own runtime and
// host functions. The guest itself is in C, in the folder guest; build.sh makes it.
//
// There is no code beside the tests, and nothing imports them.
package javascript_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/runtime"
)

// scratch is where the guest is built, and where what was compiled of it is shared by the tests.
var scratch string

func TestMain(m *testing.M) { testutil.RunWithFolder(m, &scratch) }

// now is the time that scripts see.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// dist is where the build of the gateway puts the guest.
const dist = "../dist/javascript.wasm"

// build makes the guest, if its sources are newer than what was made of them.
var build = sync.OnceValues(func() ([]byte, error) {
	if text, err := exec.Command("./build.sh", dist).CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(dist)
})

// engine returns the guest. Without its toolchain the test is skipped, unless SALLYPORT_TOOLCHAINS=all says that it is there.
func engine(t testing.TB) []byte {
	t.Helper()
	wasm, err := build()
	switch {
	case err == nil:
	case os.Getenv("SALLYPORT_TOOLCHAINS") == "all" || !strings.Contains(err.Error(), "Debian:"):
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return wasm
}

// lines keeps what scripts log, with the level in front unless it is info, and what the runtime says of failures.
type lines struct {
	sync.Mutex
	said     []string
	failures []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	attrs := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.String()
		return true
	})
	l.Lock()
	defer l.Unlock()
	switch {
	case r.Message != "a policy says":
		l.failures = append(l.failures, attrs["reason"]+": "+attrs["said"])
	case r.Level == slog.LevelInfo:
		l.said = append(l.said, attrs["line"])
	default:
		l.said = append(l.said, r.Level.String()+" "+attrs["line"])
	}
	return nil
}

// take returns what scripts logged, and forgets it.
func (l *lines) take() []string {
	l.Lock()
	defer l.Unlock()
	defer func() { l.said = nil }()
	return slices.Clone(l.said)
}

// last returns the latest failure, and forgets it.
func (l *lines) last() string {
	l.Lock()
	defer l.Unlock()
	defer func() { l.failures = nil }()
	if len(l.failures) == 0 {
		return ""
	}
	return l.failures[len(l.failures)-1]
}

// host is the gateway's own host.
type host struct {
	*runtime.Runtime
	log lines
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{}
	var err error
	h.Runtime, err = runtime.New(t.Context(), runtime.Options{
		CacheDir:  filepath.Join(scratch, "compiled"),
		Functions: hostfuncs.Functions(hostfuncs.Options{}),
		Log:       slog.New(&h.log),
		Now:       func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return h
}

// grants are those of the scripts here.
var grants = runtime.Grants{Identities: true, Inputs: []string{"credential", "request.headers.x-team", "request.headers.x-absent"}}

// patience is limits.time here: how fast a machine is that does other things too is not what is tested.
const patience = 10 * time.Second

// load makes a policy of a script.
func (h *host) load(t testing.TB, script, config string) (*runtime.Set, error) {
	t.Helper()
	p := runtime.Policy{Name: "rule", Wasm: engine(t), Script: []byte(script), Grants: grants, Limits: runtime.Limits{Time: patience}}
	if config != "" {
		p.Config = []byte(config)
	}
	set, err := h.Load(t.Context(), []runtime.Policy{p})
	if err == nil {
		t.Cleanup(set.Close)
	}
	return set, err
}

func (h *host) mustLoad(t testing.TB, script, config string) *runtime.Set {
	t.Helper()
	set, err := h.load(t, script, config)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// headers are a request's headers.
type headers map[string]string

func (h headers) Header(name string) ([]byte, bool) {
	value, ok := h[name]
	return []byte(value), ok
}

// store is a store of keys in memory.
type store map[abi.Digest]*abi.Identity

func (s store) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	identity, ok := s[*digest]
	return identity, ok
}

var (
	_ abi.Headers    = (headers)(nil)
	_ abi.Identities = (store)(nil)
)
