//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	l.until("the last record is there", func() bool { return l.explains(last) || l.figure("sallyport_request_log_dropped_total") > 0 })
	l.goesOn("many requests")
	l.until("the first record has gone", func() bool { return !l.explains(first) })
	taken, files := l.size()
	if most := int64(mebibyte + files*4096); taken > most { // a file is rounded up to whole blocks
		t.Errorf("the request log takes %d bytes of the disk in %d files", taken, files)
	}
	l.check()
	t.Logf("%d requests through a log of 1 MiB: its %d files take %d KiB, %v records were dropped",
		l.sent, files, taken>>10, l.figure("sallyport_request_log_dropped_total"))
}

// TestProofRuinedRequestLog ruins the request log between two runs: the gateway starts, the records that were not hit
// are there, new ones are written, and keys and money are as they were.
func TestProofRuinedRequestLog(t *testing.T) {
	l := newLogging(t)
	for _, r := range ruins() {
		l.send(size(300, 2_000))
		had := l.records()
		l.check()
		l.stop(syscall.SIGKILL)
		said := len(l.log.String())
		r.ruin(l)
		l.run()
		if r.says != "" && !strings.Contains(l.log.String()[said:], r.says) {
			t.Errorf("%s: the log does not say that %s", r.what, r.says)
		}
		left := 0
		for id := range l.records() {
			if had[id] {
				left++
			}
		}
		if share := float64(left) / float64(len(had)); share < r.least || share > r.most {
			t.Errorf("%s: %d of %d records are left", r.what, left, len(had))
		}
		l.goesOn(r.what)
		l.check()
		t.Logf("%s: %d of %d records are left", r.what, left, len(had))
	}
}

// TestProofRequestLogRuinedInUse ruins files of the request log while the gateway writes them: every request is answered
// and booked, and the log goes on, with the next file at the latest.
func TestProofRequestLogRuinedInUse(t *testing.T) {
	l := newLogging(t)
	l.goesOn("nothing") // records are gathered for a while before the first file is begun
	for _, r := range []ruin{
		{what: "all files overwritten", ruin: on(allFiles, overwritten)},
		{what: "all files cut in half", ruin: on(allFiles, half)},
		{what: "all files emptied", ruin: on(allFiles, emptied)},
		{what: "all files removed", ruin: removed},
		{what: "rubbish behind the last row", ruin: on(lastFile, longer(rubbish(5_000)))},
		{what: "a folder in the place of the next file", ruin: folderAhead},
	} {
		l.send(200)
		var all sync.WaitGroup
		all.Go(func() { l.send(200) })
		r.ruin(l)
		all.Wait()
		l.goesOn(r.what)
		l.check()
	}
}

// ruin is something bad that happens to the log.
type ruin struct {
	what        string
	ruin        func(*logging)
	least, most float64 // share of the records that are left
	says        string  // in the gateway's log
}

// ruins are what may be found when the gateway starts, the worst ones last: each finds what the one before has left.
func ruins() []ruin {
	return []ruin{
		{what: "nothing", ruin: func(*logging) {}, least: 1, most: 1},
		{what: "the indexes flipped", ruin: on(endedFiles, shorter(8, rubbish(8))), least: 1, most: 1},
		{what: "the indexes cut off in their middle", ruin: on(endedFiles, shorter(20, nil)), least: 1, most: 1},
		{what: "the indexes twice", ruin: on(endedFiles, func(b []byte) []byte { return append(b, b[len(b)-80:]...) }), least: 1, most: 1},
		{what: "rubbish behind the last row", ruin: on(lastFile, longer(rubbish(5_000))), least: 1, most: 1},
		{what: "zeros behind the last row", ruin: on(lastFile, longer(make([]byte, mebibyte))), least: 1, most: 1},
		{what: "a folder in the place of the next file", ruin: folderAhead, least: 1, most: 1},
		{what: "files of others", ruin: strangers, least: 1, most: 1},
		{what: "the last row torn", ruin: on(lastFile, shorter(10, nil)), least: 0.95, most: 0.9999},
		{what: "the last file gone", ruin: func(l *logging) { must(l.t, os.Remove(lastFile(l.files())[0])) }, least: 0.5, most: 0.9999},
		{what: "all files flipped in the middle", ruin: on(allFiles, flipped), least: 0.7, most: 0.99},
		{what: "all files cut in half", ruin: on(allFiles, half), least: 0.3, most: 0.7},
		{what: "all files overwritten", ruin: on(allFiles, overwritten)},
		{what: "all files emptied", ruin: on(allFiles, emptied)},
		{what: "all files gone", ruin: removed},
		{what: "a file in the place of the folder", ruin: noFolder, says: "it is set aside and begun anew"},
		{what: "the log of an earlier version", ruin: former, says: "it is not read any more"},
	}
}

// Which files are hit.
func allFiles(files []string) []string   { return files }
func lastFile(files []string) []string   { return files[max(len(files)-1, 0):] }
func endedFiles(files []string) []string { return files[:max(len(files)-1, 0)] }

// on returns what changes the content of some of the files.
func on(which func([]string) []string, change func([]byte) []byte) func(*logging) {
	return func(l *logging) {
		files := which(l.files())
		if len(files) == 0 {
			l.t.Error("the log has no such files")
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if errors.Is(err, os.ErrNotExist) {
				continue // it was given up just now
			}
			must(l.t, err)
			must(l.t, os.WriteFile(file, change(content), 0o600))
		}
	}
}

func overwritten(b []byte) []byte { return rubbish(len(b)) }
func half(b []byte) []byte        { return b[:len(b)/2] }
func emptied([]byte) []byte       { return nil }

func flipped(b []byte) []byte {
	copy(b[len(b)/2:], rubbish(64))
	return b
}

// shorter takes so many bytes off the end, and puts others there.
func shorter(n int, others []byte) func([]byte) []byte {
	return func(b []byte) []byte { return append(b[:len(b)-n], others...) }
}

func longer(more []byte) func([]byte) []byte { return shorter(0, more) }

func removed(l *logging) {
	for _, file := range l.files() {
		if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) { // else it was given up just now
			must(l.t, err)
		}
	}
}

// folderAhead makes a folder that has the name of the next file.
func folderAhead(l *logging) {
	last := lastFile(l.files())[0]
	number, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(last), ".log"))
	must(l.t, err)
	for err = fs.ErrExist; errors.Is(err, fs.ErrExist); { // the gateway may have begun one meanwhile
		number++
		err = os.Mkdir(filepath.Join(filepath.Dir(last), fmt.Sprintf("%020d.log", number)), 0o700)
	}
	must(l.t, err)
}

// strangers puts files into the folder that are not the log's.
func strangers(l *logging) {
	for _, name := range []string{"core", "7.log", "0000000000000000000x.log", "99999999999999999999.log", ".log"} {
		must(l.t, os.WriteFile(filepath.Join(l.requests(), name), rubbish(1_000), 0o600))
	}
}

func noFolder(l *logging) {
	must(l.t, os.RemoveAll(l.requests()))
	must(l.t, os.WriteFile(l.requests(), rubbish(1_000), 0o600))
}

// former makes the folder one of the version that kept records in Badger.
func former(l *logging) {
	removed(l)
	must(l.t, os.WriteFile(filepath.Join(l.requests(), "MANIFEST"), rubbish(1_000), 0o600))
	must(l.t, os.WriteFile(filepath.Join(l.requests(), "000001.sst"), rubbish(1_000), 0o600))
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

// goesOn sends requests until the record of one is there.
func (l *logging) goesOn(after string) {
	l.t.Helper()
	l.until("there are records again after: "+after, func() bool { return l.explains(l.send(20)) })
}

// explains reports whether a record is there.
func (l *logging) explains(id string) bool {
	out, err := l.command("explain", id)
	return err == nil && strings.Contains(out, id)
}

// records are the ids of all records that are there.
func (l *logging) records() map[string]bool {
	l.t.Helper()
	const page = 1_000
	ids := map[string]bool{}
	for before := ""; ; {
		records, err := l.books().Recent(l.t.Context(), page, before)
		must(l.t, err)
		for i := range records {
			before = records[i].ID
			ids[before] = true
		}
		if len(records) == 0 {
			return ids
		}
	}
}

// requests is the log's folder.
func (l *logging) requests() string { return filepath.Join(l.folder, "data", "requests") }

// files are those of the log, in order.
func (l *logging) files() []string {
	files, err := filepath.Glob(filepath.Join(l.requests(), strings.Repeat("[0-9]", 20)+".log"))
	must(l.t, err)
	return slices.DeleteFunc(files, func(file string) bool {
		_, notOurs := strconv.ParseUint(strings.TrimSuffix(filepath.Base(file), ".log"), 10, 64)
		info, err := os.Lstat(file)
		return notOurs != nil || err != nil || !info.Mode().IsRegular() // a stranger's, given up just now, or a folder in the way
	})
}

// size is what the log takes of the disk, and in how many files.
func (l *logging) size() (bytes, files int64) {
	for _, file := range l.files() {
		var stat syscall.Stat_t
		if syscall.Stat(file, &stat) == nil { // else it was given up just now
			bytes += stat.Blocks * 512
			files++
		}
	}
	return bytes, files
}

func rubbish(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}
