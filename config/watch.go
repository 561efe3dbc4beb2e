package config

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long after an event the files are looked at, and how long they have to look the same before
	// they are believed: a change is reported twice this time after it was made.
	settleTime = 100 * time.Millisecond
	// recheckTime is how often the files are looked at without an event: some network file systems send none, and
	// neither does a folder that appears where there was none.
	recheckTime = 5 * time.Second
)

// Watch calls changed whenever the content of files has changed, until ctx is done. paths is asked again after every
// change, and returns files and folders of modules; see Snapshot.Paths. Editors and deployments replace files in many
// ways (written in place, renamed over, a symbolic link swapped anywhere on the way to them), so folders are watched
// and what is reported is decided by looking. A file that is still being written is not reported until it rests.
//
// It starts from what was seen at an earlier moment: who loads the files after Look has every change, in what is loaded or
// by a call of changed. That runs on the caller's goroutine.
func Watch(ctx context.Context, since Seen, paths func() []string, changed func()) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the configuration: %w", err)
	}
	defer func() { _ = notify.Close() }() // nothing was written
	events := make(chan struct{}, 1)
	go forwardEvents(notify, events)
	w := watcher{
		since:   since.files,
		events:  events,
		changed: changed,
		look: func() fingerprint {
			seen, folders := look(paths())
			watchFolders(notify, folders)
			return seen
		},
	}
	w.run(ctx)
	return nil
}

// Seen is what files looked like at one moment.
type Seen struct{ files fingerprint }

// Look returns what files, and folders of modules, look like now.
func Look(paths []string) Seen {
	files, _ := look(paths)
	return Seen{files}
}

// forwardEvents tells that something happened. What it was does not matter; an error may stand for lost events.
func forwardEvents(notify *fsnotify.Watcher, events chan<- struct{}) {
	for {
		var open bool
		select {
		case _, open = <-notify.Events:
		case _, open = <-notify.Errors:
		}
		if !open {
			return
		}
		select {
		case events <- struct{}{}:
		default: // one that is waiting says it for all
		}
	}
}

// watchFolders makes folders those that are watched. They are added anew each time, because another folder may have
// come to stand at an old path.
func watchFolders(notify *fsnotify.Watcher, folders []string) {
	for _, old := range notify.WatchList() {
		if !slices.Contains(folders, old) {
			_ = notify.Remove(old) // gone by itself
		}
	}
	for _, folder := range folders {
		_ = notify.Add(folder) // not there yet; the recheck tries again
	}
}

// watcher decides when a change is reported.
type watcher struct {
	since   fingerprint
	events  <-chan struct{}
	look    func() fingerprint
	changed func()
}

func (w *watcher) run(ctx context.Context) {
	reported := w.since
	resting := w.look()              // as last seen, if that differs from reported
	soon := !resting.equal(reported) // the timer runs for settleTime
	timer := time.NewTimer(recheckTime)
	defer timer.Stop()
	if soon {
		timer.Reset(settleTime)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events:
			if !soon { // a stream of events must not put the look off for ever
				soon = true
				timer.Reset(settleTime)
			}
			continue
		case <-timer.C:
		}
		seen := w.look()
		switch {
		case seen.equal(reported):
			resting, soon = nil, false
		case !seen.equal(resting):
			resting, soon = seen, true
		default:
			reported, resting, soon = seen, nil, false
			w.changed()
		}
		if soon {
			timer.Reset(settleTime)
		} else {
			timer.Reset(recheckTime)
		}
	}
}

// fingerprint is what files look like from outside. It is nil only before the first look.
type fingerprint []sighting

// sighting is one file. A file that is not there has no info.
type sighting struct {
	path     string
	resolved string // where symbolic links lead to
	info     fs.FileInfo
}

func (f fingerprint) equal(g fingerprint) bool {
	return f != nil && g != nil && slices.EqualFunc(f, g, sighting.equal)
}

func (s sighting) equal(t sighting) bool {
	switch {
	case s.path != t.path || s.resolved != t.resolved || (s.info == nil) != (t.info == nil):
		return false
	case s.info == nil:
		return true
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// look takes the fingerprint of files and of the modules in folders, and tells which folders' events may change it.
func look(paths []string) (seen fingerprint, folders []string) {
	seen = fingerprint{}
	see := func(path string) sighting {
		s := sighting{path: path}
		s.info, _ = os.Stat(path) // an error is an absent file
		s.resolved, _ = filepath.EvalSymlinks(path)
		seen = append(seen, s)
		folders = append(folders, filepath.Dir(path))
		if s.resolved != "" {
			folders = append(folders, filepath.Dir(s.resolved))
		}
		return s
	}
	for _, path := range paths {
		s := see(path)
		if s.info == nil || !s.info.IsDir() {
			continue
		}
		seen = seen[:len(seen)-1] // a folder changes with every file in it, modules or not
		folders = append(folders, path)
		names, _ := moduleFiles(path)
		for _, name := range names {
			see(filepath.Join(path, name))
		}
	}
	slices.Sort(folders)
	return seen, slices.Compact(folders)
}
