//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// TestDemo does what a newcomer does: types the README's first command, and pastes what it prints.
func TestDemo(t *testing.T) {
	log := &buffer{}
	c := exec.Command("make", "run")
	c.Dir = ".."
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches make and the demo
	must(t, c.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT)
		_ = c.Wait() // make says that it was interrupted
		if !strings.Contains(log.String(), "shutting down") {
			t.Error("the demo was not ended by Ctrl-C")
		}
		if t.Failed() {
			t.Logf("the demo printed:\n%s", log)
		}
	})
	g := &gateway{t: t, log: log}
	g.wait(compiling, "the demo is ready", func() bool { return strings.Contains(log.String(), "/plugins/") })
	curls := regexp.MustCompile(`(?m)^ +curl (?:.*\\\n)*.*`).FindAllString(log.String(), -1)
	if len(curls) != 3 {
		t.Fatalf("it prints %d curl lines", len(curls))
	}
	for _, line := range curls {
		out, err := exec.CommandContext(t.Context(), "bash", "-c", line+" --noproxy '*'").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Hello") {
			t.Errorf("%v: %s\n%s", err, line, out)
		}
	}
}

// TestDemoProvider runs the provider by itself, at the pace that it was asked for.
func TestDemoProvider(t *testing.T) {
	log := &buffer{}
	address := testutil.ClosedAddress(t, 0)
	c := exec.CommandContext(t.Context(), binary(t), "demo-provider", "--listen", address, "--first-byte", "50ms", "--delay", "1ms")
	c.Stdout = log
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
	})
	g := &gateway{t: t, log: log, url: "http://" + address}
	g.until("it is ready", func() bool { return strings.Contains(log.String(), "http://"+address) })
	began := time.Now()
	a := g.ask("", chatPath, hello("anything"))
	if a.status != http.StatusOK || !json.Valid([]byte(a.body)) || time.Since(began) < 50*time.Millisecond {
		t.Errorf("after %v: %s", time.Since(began), a)
	}
}

// TestVersion: the binary knows what it is.
func TestVersion(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), binary(t), "version").CombinedOutput()
	if err != nil || len(strings.TrimSpace(string(out))) == 0 {
		t.Errorf("%v: %s", err, out)
	}
}
