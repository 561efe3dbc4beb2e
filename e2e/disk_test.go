//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

const (
	volumeSize = "256m"
	mebibyte   = 1 << 20
)

// TestProofDisk fills the disk under load, takes it away, and gives it back: first the request log stops, then what
// cannot be booked is refused or, where the operator chose that, goes on unbooked. The process stays, and recovers by
// itself.
func TestProofDisk(t *testing.T) {
	for _, onFailure := range []string{"refuse", "unbudgeted"} {
		t.Run(onFailure, func(t *testing.T) {
			p := newTill(t)
			g := prepare(t, tillConfig+"ledger: {on_failure: "+onFailure+"}\n", map[string]string{"Provider": p.URL})
			d := &disk{gateway: g, till: p, volume: mountVolume(t, filepath.Join(g.folder, "data"), volumeSize), unbooked: onFailure == "unbudgeted", answers: map[int]int{}}
			g.within = d.volume.enter
			g.run()
			d.id, d.secret = g.issue(identity.Wish{Name: "worker", Budgets: total(1_000_000_000_000)})
			stop, ended := make(chan struct{}), make(chan struct{})
			go func() { d.load(stop); close(ended) }()
			d.wellNow()
			d.fillUp()
			d.empty()
			d.writeProtect()
			close(stop)
			<-ended
			d.audit()
			if !d.unbooked {
				d.startWhenFull()
				d.startWhenProtected()
			}
		})
	}
}

// disk is a gateway whose data folder is a small volume.
type disk struct {
	*gateway
	volume   *volume
	till     *till
	id       string
	secret   string
	unbooked bool // requests go on when nothing can be booked
	teams    int  // that were to be made

	paused  sync.RWMutex // held while no requests are to be sent
	mu      sync.Mutex
	answers map[int]int // how often each status was the answer, since it was last asked
}

// load sends requests, four at a time, until it is stopped. The only thing that they may be told beside an answer is
// that nothing can be booked.
func (d *disk) load(stop <-chan struct{}) {
	client := callers(d.t, 4)
	var all sync.WaitGroup
	for worker := range int64(4) {
		all.Go(func() {
			for n := firstNumber * (worker + 1); ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				if err := d.ask(client, n); err != nil {
					d.t.Errorf("a request: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// ask sends one of the requests, unless they pause, and counts its answer.
func (d *disk) ask(client *http.Client, n int64) error {
	d.paused.RLock()
	defer d.paused.RUnlock()
	a, err := d.place(client, d.secret, &order{User: "worker", Number: n, MaxTokens: 50})
	if err != nil {
		return err
	}
	if a.status == http.StatusServiceUnavailable && (!strings.Contains(a.body, `"ledger_unavailable"`) || a.header.Get("Retry-After") == "") ||
		a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
		d.t.Errorf("a request is answered %s with %v", a, a.header)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[a.status]++
	return nil
}

// settleDown waits until all requests that are under way have come back, and forgets how they were answered.
func (d *disk) settleDown() {
	d.paused.Lock()
	defer d.paused.Unlock()
	d.take()
}

// take returns how requests were answered since it was last asked.
func (d *disk) take() map[int]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	answers := d.answers
	d.answers = map[int]int{}
	return answers
}

// answered says whether a request has been answered since it was last asked how they were.
func (d *disk) answered() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.answers) > 0
}

// only waits until requests get this answer, and fails if they then get another one. Those that were under way by then
// may have got any.
func (d *disk) only(when string, want int) {
	d.t.Helper()
	answered := func() bool {
		a := d.take()
		return len(a) == 1 && a[want] > 0
	}
	d.until(when+", requests are answered as they should be", answered)
	d.settleDown()
	for range 5 {
		d.until(when+", a request is answered", d.answered)
		if a := d.take(); len(a) != 1 || a[want] == 0 {
			d.t.Errorf("%s, requests are answered %v", when, a)
		}
	}
	d.alive()
}

// stopped is the answer to requests when nothing can be booked.
func (d *disk) stopped() int {
	if d.unbooked {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// says waits until metrics and readiness say what has stopped.
func (d *disk) says(when string, log, ledger float64) {
	d.t.Helper()
	d.until(when+", the metrics say so", func() bool {
		return d.figure("sallyport_request_log_paused") == log && d.figure("sallyport_ledger_paused") == ledger
	})
	ready := http.StatusOK
	if ledger == 1 && !d.unbooked {
		ready = http.StatusServiceUnavailable
	}
	d.until(when+", readiness says so", func() bool { return status(d.admin+"/ready") == ready })
}

func (d *disk) wellNow() {
	d.says("when all is well", 0, 0)
	d.only("when all is well", http.StatusOK)
}

// fillUp fills the volume: until the log stops, until the ledger does, and to the last byte.
func (d *disk) fillUp() {
	t := d.t
	left := d.volume.free() / 2
	for d.figure("sallyport_request_log_paused") == 0 {
		left -= 4 * mebibyte
		d.volume.leave(left)
		d.noticed()
	}
	d.says("nearly full", 1, 0)
	d.only("nearly full", http.StatusOK)
	t.Logf("the request log stops with %d MiB left of %s", left/mebibyte, volumeSize)
	for d.figure("sallyport_ledger_paused") == 0 {
		left -= 4 * mebibyte
		d.volume.leave(left)
		d.noticed()
	}
	d.says("full for the ledger", 1, 1)
	d.only("full for the ledger", d.stopped())
	t.Logf("the ledger stops with %d MiB left", left/mebibyte)
	d.volume.leave(0)
	d.only("full to the last byte", d.stopped())
	if out, err := d.command("key", "create", "--name", "late"); err == nil || !strings.Contains(out, "too little free space") {
		t.Errorf("a key is made on a full disk: %v: %s", err, out)
	}
	d.log.expect(t, "the disk is nearly full: writing stops")
}

// noticed has the gateway look at the disk, which it does before it makes a team. Whether it then makes one does not matter.
func (d *disk) noticed() {
	d.t.Helper()
	d.teams++
	_, err := d.books().CreateTeam(d.t.Context(), &abi.Team{Name: fmt.Sprintf("team-%d", d.teams)})
	if err != nil && !strings.Contains(err.Error(), "too little free space") {
		d.t.Errorf("making a team: %v", err)
	}
	d.alive()
}

// empty gives the space back.
func (d *disk) empty() {
	d.volume.clear()
	d.says("when there is space again", 0, 0)
	d.only("when there is space again", http.StatusOK)
	d.log.expect(d.t, "there is space again: writing goes on")
}

// writeProtect lays a read-only file system over the data folder, and takes it away: what is open is kept from being
// made read-only, so this is what a disk that has become so looks like to who opens something on it. Requests pause
// until the gateway has found out, which it does once a second.
func (d *disk) writeProtect() {
	d.paused.Lock()
	must(d.t, d.volume.run("mount", "-t", "tmpfs", "-o", "ro,size="+volumeSize, "tmpfs", d.volume.dir))
	d.says("when it is read-only", 1, 1)
	d.paused.Unlock()
	d.only("when it is read-only", d.stopped())
	d.log.expect(d.t, "the disk cannot be written: writing stops")
	must(d.t, d.volume.run("umount", d.volume.dir))
	d.says("when it can be written again", 0, 0)
	d.only("when it can be written again", http.StatusOK)
}

// audit compares the ledger with what the provider saw.
func (d *disk) audit() {
	t := d.t
	d.settled()
	d.verify()
	seen := d.till.take()["worker"]
	all := d.export()
	bases := count(all, func(a *attempt) string { return a.Basis })
	unbooked := int(d.figure("sallyport_ledger_unbooked_total"))
	if bases["authoritative"]+unbooked != len(seen) || bases["authoritative"]+bases["unbilled"] != len(all) || d.unbooked != (unbooked > 0) {
		t.Errorf("the provider saw %d attempts; the ledger has %s, and %d went unbooked", len(seen), words(bases), unbooked)
	}
	if n := d.figure("sallyport_ledger_discrepancies_total"); n != 0 {
		t.Errorf("%v discrepancies are counted", n)
	}
	t.Logf("the provider saw %d attempts; %s are in the ledger, %d went unbooked; %v records of the log were dropped",
		len(seen), words(bases), unbooked, d.figure("sallyport_request_log_dropped_total"))
}

// startWhenFull: what cannot be opened is told, and the process does not die by a signal.
func (d *disk) startWhenFull() {
	d.volume.leave(0)
	d.stop(syscall.SIGTERM)
	d.volume.leave(0) // the ballast was given up
	d.refuses("full", "too little free space")
	d.volume.clear()
	d.run()
	if d.verify(); d.balance("key/"+d.id).Spent == 0 {
		d.t.Error("the balance is lost")
	}
}

func (d *disk) startWhenProtected() {
	t := d.t
	d.stop(syscall.SIGTERM)
	must(t, d.volume.run("mount", "-o", "remount,ro", d.volume.dir))
	d.refuses("read-only", "cannot be written")
	must(t, d.volume.run("mount", "-o", "remount,rw", d.volume.dir))
	d.run()
	d.verify()
}

// refuses starts the gateway on a disk that does not let it, and wants to be told why.
func (d *disk) refuses(disk, reason string) {
	t := d.t
	out, err := d.exec(t.Context(), "serve", "--config", d.file).CombinedOutput()
	exit, _ := err.(*exec.ExitError) //nolint:errorlint // CombinedOutput does not wrap it
	if exit == nil || exit.ExitCode() < 1 || !strings.Contains(string(out), reason) || strings.Contains(string(out), "goroutine") {
		t.Errorf("started on a %s disk: %v: %s", disk, err, out)
		return
	}
	t.Logf("started on a %s disk, it says: %s", disk, strings.TrimSpace(string(out)))
}
