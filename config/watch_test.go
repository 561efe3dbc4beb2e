package config

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// bench runs a watcher in fake time over a file that exists in its version number only.
type bench struct {
	events  chan struct{}
	version atomic.Int64
	changes atomic.Int64
}

func newBench(t *testing.T) *bench {
	b := &bench{events: make(chan struct{}, 1)}
	w := watcher{
		events:  b.events,
		look:    func() fingerprint { return fingerprint{{path: "p", resolved: strconv.FormatInt(b.version.Load(), 10)}} },
		changed: func() { b.changes.Add(1) },
	}
	w.since = w.look()
	go w.run(t.Context())
	synctest.Wait()
	return b
}

// touch makes a new version of the file, and an event as Watch does.
func (b *bench) touch() {
	b.version.Add(1)
	b.event()
}

func (b *bench) event() {
	select {
	case b.events <- struct{}{}:
	default:
	}
}

// after lets time pass and checks how many changes were reported in all.
func (b *bench) after(t *testing.T, d time.Duration, want int64) {
	t.Helper()
	<-time.After(d)
	synctest.Wait()
	if got := b.changes.Load(); got != want {
		t.Errorf("%d changes reported, want %d", got, want)
	}
}

func TestWatcher(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, b *bench){
		"a change is reported once, when it rests": func(t *testing.T, b *bench) {
			b.touch()
			b.after(t, 2*settleTime-1, 0)
			b.after(t, 1, 1)
			b.after(t, time.Hour, 1)
		},
		"an event without a change is nothing": func(t *testing.T, b *bench) {
			b.event()
			b.after(t, time.Hour, 0)
		},
		"a file that is being written is not reported": func(t *testing.T, b *bench) {
			for range 50 {
				b.touch()
				b.after(t, settleTime/2, 0)
			}
			b.after(t, 2*settleTime, 1)
		},
		"endless events do not hide a change": func(t *testing.T, b *bench) {
			b.touch()
			for range 10 {
				b.event()
				<-time.After(settleTime / 4)
			}
			b.after(t, 0, 1)
		},
		"a change that is taken back is none": func(t *testing.T, b *bench) {
			b.touch()
			b.after(t, settleTime, 0)
			b.version.Add(-1)
			b.after(t, time.Hour, 0)
		},
		"a change without an event is found": func(t *testing.T, b *bench) {
			b.version.Add(1)
			b.after(t, recheckTime+settleTime, 1)
		},
		"a change before the call is reported": func(t *testing.T, b *bench) {
			before := Seen{fingerprint{{path: "p", resolved: strconv.FormatInt(b.version.Load(), 10)}}}
			b.version.Add(1)
			late := watcher{
				since: before.files, events: make(chan struct{}),
				look:    func() fingerprint { return fingerprint{{path: "p", resolved: strconv.FormatInt(b.version.Load(), 10)}} },
				changed: func() { b.changes.Add(1) },
			}
			go late.run(t.Context())
			b.after(t, settleTime-1, 0)
			b.after(t, 2, 1)
		},
		"a second change is reported too": func(t *testing.T, b *bench) {
			b.touch()
			b.after(t, time.Second, 1)
			b.touch()
			b.after(t, time.Second, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, newBench(t)) })
		})
	}
}

// The ways in which people and programs replace files, on a real file system.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "policies.yaml", "one")
	plugins := filepath.Dir(write(t, dir, "plugins/a.wasm", "one"))
	write(t, dir, "..v1/linked.yaml", "one")
	write(t, dir, "..v2/linked.yaml", "one")
	must(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..data/linked.yaml", filepath.Join(dir, "linked.yaml")))
	late := filepath.Join(dir, "late")

	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan struct{}, 1)
	ended := make(chan error, 1)
	looks := make(chan struct{}, 1)
	var making sync.Mutex // held while a change is made, so that no half of one can rest between two looks
	go func() {
		paths := func() []string {
			making.Lock()
			defer making.Unlock()
			select {
			case looks <- struct{}{}:
			default:
			}
			return []string{file, plugins, filepath.Join(dir, "linked.yaml"), late}
		}
		ended <- Watch(ctx, Look(paths()), paths, func() { changes <- struct{}{} })
	}()
	<-looks
	// The first look, which the changes are compared with, is over when there is a second one.
	for second := false; !second; {
		write(t, dir, "unrelated.txt", "")
		select {
		case <-looks:
			second = true
		case <-time.After(settleTime):
		}
	}
	for _, change := range []struct {
		name string
		make func()
	}{
		{"written in place", func() { write(t, dir, "policies.yaml", "three") }},
		{"renamed over", func() { must(t, os.Rename(write(t, dir, "policies.yaml~", "three"), file)) }},
		{"a symbolic link on the way swapped", func() {
			must(t, os.Symlink("..v2", filepath.Join(dir, "..tmp")))
			must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		}},
		{"a module dropped in", func() { write(t, dir, "plugins/b.wasm", "one") }},
		{"a module taken away", func() { must(t, os.Remove(filepath.Join(plugins, "b.wasm"))) }},
		{"a folder that was not there", func() { write(t, dir, "late/e.wasm", "one") }},
		{"the folder replaced by another one", func() {
			write(t, dir, "new/c.wasm", "one")
			must(t, os.Rename(plugins, filepath.Join(dir, "old")))
			must(t, os.Rename(filepath.Join(dir, "new"), plugins))
		}},
		{"a module dropped into that one", func() { write(t, dir, "plugins/d.wasm", "one") }},
	} {
		making.Lock()
		change.make()
		making.Unlock()
		select {
		case <-changes:
		case <-time.After(2 * recheckTime):
			t.Fatalf("%s: no change reported", change.name)
		}
	}
	cancel()
	must(t, <-ended)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever Watch starts ends with its context.
func TestWatchEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- Watch(ctx, Seen{}, func() []string { cancel(); return nil }, func() {}) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
