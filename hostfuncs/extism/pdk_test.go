package extism_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// buildTime bounds the build of one guest, on a machine that does other things too.
const buildTime = 5 * time.Minute

// pdks are the PDKs whose guests are run, each built once.
var pdks = map[string]func() ([]byte, error){
	"go": sync.OnceValues(func() ([]byte, error) {
		return buildIn("testdata/go", "out.wasm", []string{"GOOS=wasip1", "GOARCH=wasm"},
			"go build -buildmode=c-shared -trimpath -buildvcs=false -o out.wasm .")
	}),
	"assemblyscript": sync.OnceValues(func() ([]byte, error) {
		return buildIn("testdata/as", "out.wasm", nil,
			"npm ci --no-audit --no-fund", "node_modules/.bin/asc index.ts -O3 --use abort=index/fail -o out.wasm")
	}),
}

// buildIn builds in a copy of a folder.
func buildIn(folder, out string, env []string, commands ...string) (wasm []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "extism")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.CopyFS(filepath.Join(dir, "guest"), os.DirFS(folder)); err != nil {
		return nil, err
	}
	for _, command := range commands {
		words := strings.Fields(command)
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		if strings.Contains(words[0], "/") {
			cmd.Path = filepath.Join(dir, "guest", words[0])
		}
		cmd.Dir, cmd.Env = filepath.Join(dir, "guest"), append(os.Environ(), env...)
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", command, err, text)
		}
	}
	return os.ReadFile(filepath.Join(dir, "guest", out))
}

// build returns the guest of a PDK. Where it cannot be built the test is skipped, unless SALLYPORT_TOOLCHAINS=all says that
// it can.
func build(t testing.TB, pdk string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("builds guests, which takes seconds")
	}
	wasm, err := pdks[pdk]()
	switch {
	case err == nil:
	case os.Getenv("SALLYPORT_TOOLCHAINS") == "all":
		t.Fatalf("a guest of the PDK for %s cannot be built: %v", pdk, err)
	default:
		t.Skipf("a guest of the PDK for %s cannot be built: %v", pdk, err)
	}
	return wasm
}

// withTeam is a question of somebody who names a team in a header.
func withTeam(team string) question {
	return question{authentication: &abi.Authentication{Request: &abi.Request{ID: []byte("req_1"), Model: []byte("coding"),
		Headers: headers{"x-team": []byte(team)}}}}
}

// Guests of stock PDKs decide as policies.
func TestStockPDKs(t *testing.T) {
	for pdk := range pdks {
		t.Run(pdk, func(t *testing.T) {
			wasm := build(t, pdk)
			o := load(t, runtime.Policy{Wasm: wasm, Grants: everyGrant})
			for _, test := range []struct {
				team    string
				answer  abi.Answer
				verdict string
			}{
				{"", abi.NoVerdict, "<nil> 0"},
				{"blue", abi.Given, "<nil> 403 Not the blue team."},
				{"red", abi.Given, describe(&abi.Identity{KeyID: "policy:p/team-red", Name: "team-red", Team: "red"}) + " 0"},
				{"broken", abi.Failed, "<nil> 0"},
			} {
				q := withTeam(test.team)
				if answer, _ := o.ask(q); answer != test.answer || strings.TrimRight(q.verdict(), " ") != test.verdict {
					t.Errorf("team %q: answer %d, %s (%s)", test.team, answer, q.verdict(), o.cause)
				}
			}
			if want := "the policy answered that it failed: the team is broken: é"; o.cause != want || o.failure != runtime.GuestError {
				t.Errorf("it failed by %s, %q", o.failure, o.cause)
			}
			q := full()[abi.ChooseStep]
			if answer, _ := o.ask(q); answer != abi.Given || q.choice.Step != 1 {
				t.Errorf("answer %d, step %d (%s)", answer, q.choice.Step, o.cause)
			}
			q = full()[abi.PriceResponse]
			want := abi.NanoUSD(250_000)
			if pdk == "go" {
				want = 5400 // twice 10 at $0.27 a million
			}
			if answer, _ := o.ask(q); answer != abi.Given || q.pricing.Cost != want {
				t.Errorf("answer %d, cost %d (%s)", answer, q.pricing.Cost, o.cause)
			}
		})
	}
}

// Guests of stock PDKs that use all that there is do so with the same results on Extism's own host.
func TestStockPDKsAsOnExtism(t *testing.T) {
	for pdk := range pdks {
		t.Run(pdk, func(t *testing.T) {
			p, all := loadPair(t, build(t, pdk), map[string]string{"everything": "yes"}), full()
			for _, q := range []question{withTeam("red"), withTeam("blue"), withTeam("broken"), withTeam(""), all[abi.ChooseStep], all[abi.PriceResponse]} {
				if here := p.compare(t, q); len(here.logs) < 8 {
					t.Errorf("only %q were logged", here.logs)
				}
			}
		})
	}
}
