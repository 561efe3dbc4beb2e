//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// TestProofBackup backs up a gateway that is under load, and restores it into an empty folder: what was known at that
// moment is there, the ledger is in order, and the keys work.
func TestProofBackup(t *testing.T) {
	p := newTill(t)
	config := map[string]string{"Provider": p.URL}
	g := start(t, tillConfig, config)
	_, err := g.books().CreateTeam(t.Context(), &abi.Team{Name: "workers", Budgets: total(1_000_000_000_000)})
	must(t, err)
	b := &backups{gateway: g, ids: make([]string, 8), secrets: make([]string, 8), answered: make([][]string, 8)}
	for i := range b.ids {
		b.ids[i], b.secrets[i] = g.issue(identity.Wish{Name: fmt.Sprintf("worker-%d", i), Team: "workers", Budgets: total(100_000_000_000)})
	}
	stop := b.load()
	var files []string
	var before [][][]string // what was answered when each of them was begun
	for i := range size(2, 10) {
		count := b.count()
		g.until("requests are answered", func() bool { return b.count() > count+200 })
		file := filepath.Join(t.TempDir(), fmt.Sprintf("backup-%d", i))
		before = append(before, b.known())
		g.mustCommand("backup", file)
		files = append(files, file)
	}
	stop()
	g.settled()
	all := g.export()
	for i, file := range files {
		b.compare(b.restore(file, config), all, before[i])
	}

	file := filepath.Join(t.TempDir(), "at rest")
	g.mustCommand("backup", file)
	r := b.restore(file, config)
	if restored := r.export(); !slices.EqualFunc(restored, all, func(x, y attempt) bool { return fmt.Sprint(x) == fmt.Sprint(y) }) {
		t.Errorf("of %d attempts %d are restored, or they differ", len(all), len(restored))
	}
	for _, id := range b.ids {
		if was, is := g.balance("key/"+id), r.balance("key/"+id); fmt.Sprint(was) != fmt.Sprint(is) || was.Spent == 0 {
			t.Errorf("the balance was %+v, and is %+v", was, is)
		}
	}
	b.damage(file, config)
	t.Logf("%d backups under load, with up to %d attempts in them, restored and verified", len(files), len(all))
}

// backups is a gateway under load that is backed up.
type backups struct {
	*gateway
	ids, secrets []string

	mu       sync.Mutex
	answered [][]string // of each key: the ids of its requests whose answers were there, in order
}

// known returns what has been answered by now.
func (b *backups) known() [][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Clone(b.answered)
	for i := range all {
		all[i] = slices.Clone(all[i])
	}
	return all
}

func (b *backups) count() (n int) {
	for _, ids := range b.known() {
		n += len(ids)
	}
	return n
}

// load lets every key send one request after the other.
func (b *backups) load() (stop func()) {
	var all sync.WaitGroup
	end := make(chan struct{})
	client := callers(b.t, len(b.ids))
	for i := range b.ids {
		all.Go(func() {
			for n := int64(firstNumber); ; n++ {
				select {
				case <-end:
					return
				default:
				}
				o := &order{User: "worker", Number: n, MaxTokens: 500}
				a, err := b.place(client, b.secrets[i], o)
				if err != nil || !a.whole(o) {
					b.t.Errorf("a request: %v %v", err, a)
					return
				}
				b.mu.Lock()
				b.answered[i] = append(b.answered[i], a.id())
				b.mu.Unlock()
			}
		})
	}
	return func() { close(end); all.Wait() }
}

// restore makes another gateway from a backup, verifies its ledger before and after it has served, and tries the keys.
func (b *backups) restore(file string, config map[string]string) *gateway {
	b.t.Helper()
	r := prepare(b.t, tillConfig, config)
	r.mustCommand("restore", file)
	before := r.verify()
	if out, err := r.command("restore", file); err == nil {
		b.t.Errorf("a folder that is not empty is restored into: %s", out)
	}
	r.run()
	all := r.export()
	if int64(len(all)) != before.Entries {
		b.t.Errorf("%d attempts are verified, %d exported", before.Entries, len(all))
	}
	sums := costs(all, byKey)
	for i, id := range b.ids {
		if balance := r.balance("key/" + id); balance.Spent != sums[id] {
			b.t.Errorf("%s: %d are exported, the balance is %d", id, sums[id], balance.Spent)
		}
		list := r.ask(b.secrets[i], "/v1/models", "") // costs nothing
		if list.status != 200 {
			b.t.Errorf("with a key of before: %s", list)
		}
	}
	return r
}

// compare holds a restored ledger against that which it is a copy of: it has all that was answered before the backup
// began, and nothing that is not there. The settlement of a key's last request may not be written by then, of which there
// is the reservation; those before it were written with the reservation of the next one.
func (b *backups) compare(r *gateway, all []attempt, before [][]string) {
	b.t.Helper()
	original := map[string]attempt{}
	for _, a := range all {
		original[a.Request] = a
	}
	restored := r.export()
	basis := map[string]string{}
	crashed := 0
	for _, a := range restored {
		was := original[a.Request]
		basis[a.Request] = a.Basis
		switch {
		case a.Basis == "authoritative" && a.Cost == was.Cost && a.KeyID == was.KeyID:
		case a.Basis == "crashed" && a.Cost == a.Reserved && a.Reserved == was.Reserved:
			crashed++ // it was under way at that moment
		default:
			b.t.Errorf("%+v is restored as %+v", was, a)
		}
	}
	for _, ids := range before {
		for n, id := range ids {
			if last := n == len(ids)-1; basis[id] == "" || basis[id] != "authoritative" && !last {
				b.t.Errorf("%s, number %d of %d that were answered before the backup began, is in it as %q", id, n+1, len(ids), basis[id])
			}
		}
	}
	if crashed > len(b.ids) {
		b.t.Errorf("%d attempts were under way, there are %d callers", crashed, len(b.ids))
	}
	r.stop(syscall.SIGTERM)
}

// damage tries backups that are not whole. They are refused, and leave nothing behind.
func (b *backups) damage(file string, config map[string]string) {
	good, err := os.ReadFile(file)
	must(b.t, err)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{
		"empty": nil, "cut": good[:2*len(good)/3], "without its last byte": good[:len(good)-1], "flipped": flipped,
		"longer": append(bytes.Clone(good), 0), "something else": []byte("PK\x03\x04 is no backup of ours, and long enough to be one"),
	} {
		r := prepare(b.t, tillConfig, config)
		bad := filepath.Join(b.t.TempDir(), "bad")
		must(b.t, os.WriteFile(bad, content, 0o600))
		out, err := r.command("restore", bad)
		if err == nil || !strings.Contains(out, "backup") || strings.Contains(out, "goroutine") {
			b.t.Errorf("a backup that is %s: %v: %s", name, err, out)
		}
		if _, err := os.Stat(filepath.Join(r.folder, "data")); err == nil {
			b.t.Errorf("a backup that is %s leaves a data folder behind", name)
		}
	}
}
