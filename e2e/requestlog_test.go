//go:build e2e

package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport-dev/sallyport/identity"
)

// TestProofRequestLog fills the request log beyond its size: the oldest records go, and money notices nothing.
func TestProofRequestLog(t *testing.T) {
	l := newLogging(t)
	first := l.send(1)
	last := l.send(size(6_000, 60_000))
	l.until("the last record is there", func() bool { _, err := l.command("explain", last); return err == nil })
	l.until("the first record has gone", func() bool { _, err := l.command("explain", first); return err != nil })
	taken := l.size()
	if most := int64(8 * mebibyte); taken > most {
		t.Errorf("the request log takes %d bytes of the disk", taken)
	}
	l.check()
	t.Logf("%d requests through a log of 1 MiB: its files take %d KiB, %v records were dropped",
		l.sent, taken>>10, l.figure("sallyport_request_log_dropped_total"))
}

// TestProofRuinedRequestLog ruins files of the request log between two runs: the gateway starts, and keys and money
// are as they were.
func TestProofRuinedRequestLog(t *testing.T) {
	l := newLogging(t)
	for _, ruin := range []struct{ what, files, how string }{
		{"all files overwritten", "*", "overwrite"},
		{"all files cut", "*", "cut"},
		{"all files emptied", "*", "empty"},
		{"all files flipped in the middle", "*", "flip"},
		{"all files gone", "*", "remove"},
		{"the tables flipped in the middle", "*.sst", "flip"},
		{"the tables overwritten", "*.sst", "overwrite"},
		{"the tables gone", "*.sst", "remove"},
		{"the memory tables' logs overwritten", "*.mem", "overwrite"},
		{"the memory tables' logs flipped in the middle", "*.mem", "flip"},
		{"the value logs overwritten", "*.vlog", "overwrite"},
	} {
		l.send(2_000) // so that there are files of all kinds
		l.check()
		l.stop(syscall.SIGKILL)
		said := len(l.log.String())
		l.ruin(ruin.files, ruin.how)
		l.run()
		t.Logf("%s: %s", ruin.what, told(l.log.String()[said:]))
		last := l.send(50)
		if out := l.mustCommand("explain", last); !strings.Contains(out, last) {
			t.Errorf("%s: a new record is not there: %s", ruin.what, out)
		}
		l.check()
	}
}

// newLogging starts a gateway with a request log of the smallest size.
func newLogging(t *testing.T) *logging {
	p := newTill(t)
	g := start(t, tillConfig+"request_log: {max_size: 1MiB}\n", map[string]string{"Provider": p.URL})
	l := &logging{gateway: g, till: p, number: firstNumber}
	l.id, l.secret = g.issue(identity.Wish{Name: "worker", Budgets: total(1_000_000_000_000)})
	return l
}

// logging is a gateway whose request log is ill-treated.
type logging struct {
	*gateway
	till       *till
	id, secret string
	number     int64
	sent       int
	billed     int64
}

// send sends so many requests and returns the id of the last one.
func (l *logging) send(n int) (last string) {
	const parallel = 16
	client := callers(l.t, parallel)
	numbers := make(chan int64, n)
	for range n {
		l.number++
		numbers <- l.number
	}
	close(numbers)
	var all sync.WaitGroup
	for range min(parallel, n) {
		all.Go(func() {
			for number := range numbers {
				o := &order{User: "worker", Number: number, MaxTokens: 50}
				if a, err := l.place(client, l.secret, o); err != nil || !a.whole(o) {
					l.t.Errorf("a request: %v %v", err, a)
				}
			}
		})
	}
	all.Wait()
	l.number++
	a, err := l.place(client, l.secret, &order{User: "worker", Number: l.number, MaxTokens: 50})
	must(l.t, err)
	l.sent += n + 1
	return a.id()
}

// check compares the key's balance with what the provider billed.
func (l *logging) check() {
	l.t.Helper()
	l.settled()
	l.billed += int64(sum(l.till.take()["worker"]))
	if b := l.balance("key/" + l.id); int64(b.Spent) != l.billed {
		l.t.Errorf("%d are spent, the provider billed %d", b.Spent, l.billed)
	}
	if v := l.verify(); v.Entries != int64(l.sent) {
		l.t.Errorf("the ledger has %d attempts, %d were sent", v.Entries, l.sent)
	}
}

// files are those of the request log whose names match.
func (l *logging) files(pattern string) []string {
	files, err := filepath.Glob(filepath.Join(l.folder, "data", "requests", pattern))
	must(l.t, err)
	return files
}

// size is what the log takes of the disk.
func (l *logging) size() (bytes int64) {
	for _, file := range l.files("*") {
		var stat syscall.Stat_t
		if syscall.Stat(file, &stat) == nil { // else it was given up just now
			bytes += stat.Blocks * 512
		}
	}
	return bytes
}

// ruin does something bad to files of the log.
func (l *logging) ruin(pattern, how string) {
	l.t.Helper()
	files := l.files(pattern)
	if len(files) == 0 {
		l.t.Errorf("the log has no files %s", pattern)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(l.t, err)
		switch how {
		case "overwrite":
			content = rubbish(len(content))
		case "cut":
			content = content[:len(content)/2]
		case "empty":
			content = nil
		case "flip":
			copy(content[len(content)/2:], rubbish(min(64, len(content)/2)))
			copy(content[len(content)/1000:], rubbish(min(64, len(content)/2))) // a sparse file's content is at its beginning
		case "remove":
			must(l.t, os.Remove(file))
			continue
		}
		must(l.t, os.WriteFile(file, content, 0o600))
	}
}

func rubbish(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// told is what a log says of the request log.
func told(log string) string {
	for line := range strings.Lines(log) {
		if _, message, found := strings.Cut(line, "the request log cannot be opened"); found {
			if len(message) > 160 {
				message = message[len(message)-160:]
			}
			return "it is set aside and begun anew: …" + strings.TrimSpace(message)
		}
	}
	return "it opens"
}
