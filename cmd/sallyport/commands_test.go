package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/state"
)

var update = flag.Bool("update", false, "rewrite testdata/commands.txt")

// commandsConfig is the configuration of the tests of commands.
const commandsConfig = `version: 1
data: ./data
admin: {listen: "%s", token: a-token-for-tests-alone}
providers: [{name: demo, format: openai, base_url: "http://127.0.0.1:9/v1"}]
models:
  - {alias: coding, provider: demo, model: demo-chat-1, price: {input: 1, output: 2}}
  - {alias: cheap, provider: demo, model: demo-chat-0, price: {input: 0, output: 0}}
teams: [{name: research, budget: {usd: 50, per: month, timezone: Asia/Tokyo}, rpm: 600}]
keys: [{name: ci, key: a-secret-for-tests-alone, team: research, models: [coding], budget: {usd: 5, per: week}}]
policies: [{name: default, wasm: "builtin:default", grants: {identities: read}}]
`

// TestCommands runs the commands of testdata/commands.txt in order, twice: through the admin API and in the data
// folder. Both have to print what stands there.
func TestCommands(t *testing.T) {
	golden := filepath.Join("testdata", "commands.txt")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"in the data folder", "through the admin API"} {
		t.Run(mode, func(t *testing.T) {
			file := newHome(t, mode == "through the admin API")
			got := runScript(t, file, string(want))
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				want = []byte(got)
			}
			if got != string(want) {
				t.Error(firstDifference(got, string(want)))
			}
		})
	}
}

// firstDifference points at the line where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n  got  %q\n  want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// newHome makes a configuration and a data folder in which two attempts were booked. If it is to run, its admin API
// is served until the test ends.
func newHome(t *testing.T, running bool) (file string) {
	t.Helper()
	address := testutil.ClosedAddress(t, 0)
	folder := t.TempDir()
	file = filepath.Join(folder, "policies.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, commandsConfig, address), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(c.Data, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	book(t, s, c)
	if !running {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return file
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	serveHome(t, l, s, c)
	return file
}

// book books an attempt that cost what was expected, and one that cost more.
func book(t *testing.T, s *state.State, c *config.Snapshot) {
	t.Helper()
	l, err := openLedger(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	k := &c.Keys[0]
	admission := &ledger.Admission{Levels: []ledger.Level{
		{Account: ledger.Account{Kind: ledger.KeyAccount, ID: "file:ci"}, Name: "ci", Limits: &k.Limits, Budgets: k.Budgets},
		{Account: ledger.Account{Kind: ledger.TeamAccount, ID: "research"}, Name: "research", Limits: &c.Teams[0].Limits, Budgets: c.Teams[0].Budgets},
	}}
	if no, err := l.Admit(admission); no != nil || err != nil {
		t.Fatal(no, err)
	}
	for i, cost := range []abi.NanoUSD{1_250_000_000, 2_000_000_001} {
		r := ledger.Reservation{Entry: ledger.Entry{
			ID: fmt.Sprintf("req_%d", i), Attempt: 1, KeyID: "file:ci", Key: "ci", Team: "research", Model: []string{"cheap", "coding"}[i],
			Provider: "demo", ProviderModel: "demo-chat-1", Reserved: 1_500_000_000,
		}}
		if no, err := l.Reserve(admission, &r); no != nil || err != nil {
			t.Fatal(no, err)
		}
		l.Settle(&r, ledger.Settlement{Basis: ledger.Authoritative, Cost: cost, Usage: abi.Usage{abi.Input: 1234567, abi.Output: 89, abi.Requests: 1}})
	}
	l.Leave(admission, &abi.Usage{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// serveHome serves the admin API of a gateway without its data side.
func serveHome(t *testing.T, listener net.Listener, s *state.State, c *config.Snapshot) {
	t.Helper()
	l, err := openLedger(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := newKeyring(s, func() *config.Snapshot { return c })
	if err != nil {
		t.Fatal(err)
	}
	handler := admin.Handler(admin.Options{
		Token: c.Admin.Token, Log: slog.New(slog.DiscardHandler), Metrics: admin.NewMetrics("test", func() float64 { return 0 }, time.Now),
		Keys: keys, Teams: keys, Books: admin.NewBooks(l, keys, keys), Backups: s, Records: records{s},
		Policies: func() []admin.Policy { return nil }, Ready: func() error { return nil },
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveHTTP(ctx, listener, handler) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// runScript runs the lines of a script that begin with "$ ", and returns them with what was printed.
func runScript(t *testing.T, file, script string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(script) {
		if text, ok := strings.CutPrefix(line, "# "); ok {
			fmt.Fprintf(&out, "\n# %s", text)
		}
		text, ok := strings.CutPrefix(line, "$ sallyport ")
		if !ok {
			continue
		}
		out.WriteString(line)
		printed, err := runCommand(t, file, splitWords(strings.TrimSpace(text)))
		out.WriteString(steady(t, file, printed))
		if err != nil {
			fmt.Fprintf(&out, "! %s\n", steady(t, file, explainError(err)))
		}
	}
	return strings.TrimPrefix(out.String(), "\n")
}

// runCommand runs one command; what stands for a file in its arguments is put in.
func runCommand(t *testing.T, file string, args []string) (string, error) {
	t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "TMP", filepath.Dir(file))
	}
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append(args, "--config", file))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// splitWords splits a command line at blanks, except within quotes.
func splitWords(line string) (words []string) {
	word, quoted, begun := "", false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				words = append(words, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	if begun {
		words = append(words, word)
	}
	return words
}

// What differs from run to run, and what is put there in its place, as long as it.
var unsteady = []struct {
	what *regexp.Regexp
	into string
}{
	{regexp.MustCompile(`key_[0-9a-f]{16}`), "key_0123456789abcdef"},
	{regexp.MustCompile(`(aigw_|sk-)[0-9A-Za-z]{28}`), "${1}SECRET"},
	{regexp.MustCompile(`…[0-9A-Za-z]{4}`), "…HINT"},
	{regexp.MustCompile(`"hint":"[0-9A-Za-z]{4}"`), `"hint":"HINT"`},
	{regexp.MustCompile(`20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]`), "YYYY-MM-DD hh:mm"},
	{regexp.MustCompile(`202[0-9]-[01][0-9]-[0-3][0-9]`), "YYYY-MM-DD"},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+:`), "WHERE:"},
	{regexp.MustCompile(`[0-9]+ segments`), "N segments"},
	{regexp.MustCompile(`"segments":[0-9]+`), `"segments":N`},
}

func steady(t *testing.T, file, text string) string {
	t.Helper()
	text = strings.ReplaceAll(text, filepath.Join(filepath.Dir(file), "data")+":", "WHERE:")
	text = strings.ReplaceAll(text, filepath.Dir(file), "TMP")
	for _, u := range unsteady {
		text = u.what.ReplaceAllString(text, u.into)
	}
	return text
}
