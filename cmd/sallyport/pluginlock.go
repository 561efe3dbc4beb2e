package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/plugin/lock"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/record"
)

// errDeclined says that somebody was asked, and said no.
var errDeclined = errors.New("was declined")

// locksmith works on the lock of a configuration.
type locksmith struct {
	c        *cobra.Command
	snapshot *config.Snapshot
	store    *registry.Client
	rules    lock.Rules
	file     *lock.File
	wants    []lock.Want // that are or may be locked
	yes      bool        // nobody is asked
	older    bool        // an older version is meant
}

// lockCommand makes a command that works on the lock. Where do answers no error the lock is written.
func lockCommand(c *cobra.Command, do func(l *locksmith, args []string) error) (*cobra.Command, *locksmith) {
	var flags storeFlags
	l := &locksmith{}
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		l.c = c
		if l.snapshot, err = loadSources(flags.config); err != nil {
			return err
		}
		l.store = flags.client(c, l.snapshot)
		defer l.store.Close()
		l.rules = lockRules(l.snapshot)
		if l.file, err = lock.Read(l.snapshot.LockFile()); err != nil {
			return err
		}
		l.findWants()
		before := string(l.file.Encode())
		if err := do(l, args); err != nil {
			return err
		}
		if string(l.file.Encode()) == before {
			return nil
		}
		if err := l.file.Write(l.snapshot.LockFile()); err != nil {
			return err
		}
		l.say("wrote %s", l.snapshot.LockFile())
		return nil
	}
	flags.add(c)
	return c, l
}

// addAnswers adds the flags of commands that ask.
func (l *locksmith) addAnswers(c *cobra.Command) {
	c.Flags().BoolVarP(&l.yes, "yes", "y", false, "do not ask")
}

// addDowngrade adds the flag of commands that take other versions.
func (l *locksmith) addDowngrade(c *cobra.Command) {
	c.Flags().BoolVar(&l.older, "downgrade", false, "an older version than the locked one is meant")
}

func (l *locksmith) say(format string, args ...any) {
	fmt.Fprintln(l.c.OutOrStdout(), record.Printable(fmt.Sprintf(format, args...)))
}

// findWants finds the policies that a lock is for: those that are shared, and with require_lock files too.
func (l *locksmith) findWants() {
	for i := range l.snapshot.Policies {
		if w, ok := want(l.snapshot, &l.snapshot.Policies[i]); ok && (w.File == "" || l.rules.Locked) {
			l.wants = append(l.wants, w)
		}
	}
}

// named returns the wants of these names; all without any.
func (l *locksmith) named(names []string) ([]lock.Want, error) {
	if len(names) == 0 {
		return l.wants, nil
	}
	var some []lock.Want
	for _, name := range names {
		i := slices.IndexFunc(l.wants, func(w lock.Want) bool { return w.Name == name })
		if i < 0 {
			var all []string
			for _, w := range l.wants {
				all = append(all, w.Name)
			}
			return nil, fmt.Errorf("no policy that is locked has the name %q%s", name, config.DidYouMean(name, all))
		}
		some = append(some, l.wants[i])
	}
	return some, nil
}

// agree asks whether to go on. Nobody there is a no.
func (l *locksmith) agree(question string) bool {
	if l.yes {
		return true
	}
	fmt.Fprintf(l.c.OutOrStdout(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(l.c.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	if answer != "y" && answer != "yes" {
		fmt.Fprintln(l.c.OutOrStdout())
		return false
	}
	return true
}

func newPluginLock() *cobra.Command {
	c, l := lockCommand(&cobra.Command{
		Use:   "lock",
		Short: "Pin the policies that policies.yaml names, to the byte",
		Long: "Pin the policies that policies.yaml names, to the byte: plugins.lock beside it says what each is, who signed it, and what it\n" +
			"may ask for. What is pinned already stays as it is; where policies.yaml names another version by now, what changes is\n" +
			"shown and asked about. With require_lock files are pinned too.",
		Args: cobra.NoArgs,
	}, func(l *locksmith, _ []string) error {
		var keep []string
		var errs []error
		for _, w := range l.wants {
			keep = append(keep, w.Name)
			if err := l.lock(&w); errors.Is(err, errDeclined) {
				l.say("%s stays as it was, and does not load until policies.yaml and plugins.lock agree", w.Name)
			} else if err != nil {
				errs = append(errs, fmt.Errorf("policy %q: %w", w.Name, err))
			}
		}
		if len(errs) > 0 {
			return errors.Join(errs...) // and nothing is written
		}
		for _, name := range l.file.Keep(keep) {
			l.say("%s is not in policies.yaml any more, or not shared: taken out", name)
		}
		if len(l.wants) == 0 {
			l.say("nothing to lock: policies.yaml names no shared policy")
		}
		return nil
	})
	l.addAnswers(c)
	l.addDowngrade(c)
	return c
}

// lock pins one policy, unless it is.
func (l *locksmith) lock(w *lock.Want) error {
	old := l.file.Find(w.Name)
	if old != nil && old.Reference == w.Reference {
		l.say("%s is locked: %s", w.Name, entryText(old))
		_, err := lock.Resolve(l.c.Context(), []lock.Want{*w}, l.file, l.store, l.rules) // brings it to hand too
		if refused, ok := errors.AsType[lock.Refusals](err); ok {
			l.say("  it would not be loaded: it %v", refused[0].Err)
			return nil
		}
		return err
	}
	return l.take(w, old)
}

// take looks at what a policy's reference names now, and pins that if nobody objects.
func (l *locksmith) take(w *lock.Want, old *lock.Entry) error {
	next, err := lock.Look(l.c.Context(), *w, l.store, l.rules)
	if err != nil {
		return err
	}
	e, err := lock.Advance(*w, old, next, l.older)
	if err != nil {
		return err
	}
	if old == nil {
		l.say("%s: %s", w.Name, entryText(&e))
		l.introduce(w, next)
	} else if !l.showUpgrade(w, old, next) {
		return errDeclined
	}
	for _, a := range lock.Unapproved(&e, next) {
		l.say("  %s asks for %s, with the reason %q: it does not load until sallyport plugin approve %s", w.Name, a, a.Reason, w.Name)
	}
	l.file.Set(e)
	return nil
}

// introduce says what a policy is that is locked for the first time.
func (l *locksmith) introduce(w *lock.Want, v *lock.Version) {
	if hooks := v.Hooks(); len(hooks) > 0 {
		l.say("  asked at   %s", strings.Join(hooks, ", "))
	}
	for _, a := range lock.Unapproved(&lock.Entry{}, v) {
		l.say("  asks for   %s, with the reason %q", a, a.Reason)
	}
	l.say("  signed by  %s", signerText(v, len(l.rules.Trust)))
	l.remark(w, v)
}

func (l *locksmith) remark(w *lock.Want, v *lock.Version) {
	for _, remark := range lock.Remarks(*w, v) {
		l.say("  remark     %s", remark)
	}
}

// showUpgrade says what an upgrade changes, and asks.
func (l *locksmith) showUpgrade(w *lock.Want, old *lock.Entry, next *lock.Version) bool {
	l.say("%s: %s → %s", w.Name, entryText(old), next.Reference)
	before, err := l.before(w, old)
	if err != nil {
		l.say("  the locked version is not at hand, so only what plugins.lock says of it is compared: %v", err)
		before = &lock.Version{Wasm: old.Wasm, Signer: old.Signer}
	}
	changes := lock.Diff(before, next)
	if err := lock.WriteChanges(l.c.OutOrStdout(), changes); err != nil {
		return false
	}
	if len(changes) == 0 {
		l.say("  the same to the byte")
	}
	l.remark(w, next)
	return l.agree("Take it?")
}

// before brings the locked version. A file that was replaced is not at hand any more.
func (l *locksmith) before(w *lock.Want, old *lock.Entry) (*lock.Version, error) {
	return lock.LookLocked(l.c.Context(), *w, old, l.store, l.rules)
}

// entryText is an entry in one line.
func entryText(e *lock.Entry) string {
	text := e.Reference
	if e.Plugin != "" {
		text = e.Plugin + " " + e.Version + ", " + text
	}
	return text
}

func newPluginUpdate() *cobra.Command {
	var to string
	c, l := lockCommand(&cobra.Command{
		Use:   "update [POLICY...]",
		Short: "Pin what the policies' references name by now",
		Long: "Pin what the policies' references name by now, after showing what changes and asking. --to takes another version of one\n" +
			"policy, and writes that into policies.yaml too. A plugin that wants more grants than were given does not load until\n" +
			"sallyport plugin approve.",
	}, func(l *locksmith, args []string) error {
		wants, err := l.named(args)
		if err != nil {
			return err
		}
		if to != "" {
			if len(args) != 1 {
				return errors.New("--to is about one policy: name it")
			}
			return l.moveTo(&wants[0], to)
		}
		for _, w := range wants {
			if err := l.update(&w); errors.Is(err, errDeclined) {
				l.say("%s stays as it was", w.Name)
			} else if err != nil {
				return fmt.Errorf("policy %q: %w", w.Name, err)
			}
		}
		return nil
	})
	c.Flags().StringVar(&to, "to", "", "the `version` to take")
	l.addAnswers(c)
	l.addDowngrade(c)
	return c
}

// update pins what a reference names now, if that is something else.
func (l *locksmith) update(w *lock.Want) error {
	old := l.file.Find(w.Name)
	if old == nil || old.Reference != w.Reference {
		return l.take(w, old)
	}
	now, err := lock.Look(l.c.Context(), *w, l.store, l.rules)
	if err != nil {
		return err
	}
	if now.Wasm == old.Wasm && now.Manifest == old.Manifest && now.Signer == old.Signer {
		l.say("%s is up to date: %s", w.Name, entryText(old))
		return nil
	}
	return l.take(w, old)
}

// moveTo takes another version of a policy. policies.yaml is written after all else went well; a gateway that sees it before
// the lock keeps its old policies for that moment.
func (l *locksmith) moveTo(w *lock.Want, version string) error {
	ref, err := registry.ParseRef(w.Reference)
	if err != nil || w.File != "" {
		return fmt.Errorf("policy %q is a file, which has one version", w.Name)
	}
	next := ref.Repo()
	next.Tag = version
	if registry.IsDigest(version) {
		next.Tag, next.Digest = "", version
	}
	text, err := os.ReadFile(filepath.Clean(l.snapshot.File))
	if err != nil {
		return err
	}
	written := w.Reference
	if strings.Count(string(text), written) != 1 {
		return fmt.Errorf("%s does not stand once in %s: write %s there, and run sallyport plugin lock", written, l.snapshot.File, next)
	}
	old := l.file.Find(w.Name)
	w.Reference = next.String()
	if err := l.take(w, old); errors.Is(err, errDeclined) {
		l.say("%s stays as it was", w.Name)
		return nil
	} else if err != nil {
		return fmt.Errorf("policy %q: %w", w.Name, err)
	}
	if err := lock.Replace(l.snapshot.File, []byte(strings.Replace(string(text), written, w.Reference, 1))); err != nil {
		return err
	}
	l.say("wrote %s", l.snapshot.File)
	return nil
}

func newPluginOutdated() *cobra.Command {
	c, _ := lockCommand(&cobra.Command{
		Use:   "outdated",
		Short: "Tell which locked policies have newer versions",
		Args:  cobra.NoArgs,
	}, func(l *locksmith, _ []string) error {
		t := newTable("POLICY", "LOCKED", "NEWEST", "TAG")
		for i := range l.wants {
			if l.wants[i].File != "" {
				continue
			}
			row, err := l.outdated(l.c.Context(), &l.wants[i])
			if err != nil {
				return fmt.Errorf("policy %q: %w", l.wants[i].Name, err)
			}
			t.row(row...)
		}
		return t.write(l.c.OutOrStdout())
	})
	return c
}

func (l *locksmith) outdated(ctx context.Context, w *lock.Want) ([]string, error) {
	e := l.file.Find(w.Name)
	if e == nil {
		return []string{w.Name, "not locked", "-", "-"}, nil
	}
	ref, err := registry.ParseRef(w.Reference)
	if err != nil {
		return nil, err
	}
	tags, err := l.store.Tags(ctx, ref)
	if err != nil {
		return nil, err
	}
	newest, state := "-", "-"
	for _, tag := range slices.Backward(tags) {
		if lock.IsVersion(tag) {
			newest = tag
			break
		}
	}
	if ref.Digest == "" {
		now, err := l.store.Resolve(ctx, ref)
		if err != nil {
			return nil, err
		}
		state = "as locked"
		if now.Digest != e.Manifest {
			state = "moved since it was locked"
		}
	}
	return []string{w.Name, dash(e.Version), newest, state}, nil
}

func newPluginApprove() *cobra.Command {
	c, l := lockCommand(&cobra.Command{
		Use:   "approve POLICY...",
		Short: "Let a locked policy ask for what it asks for",
		Long: "Let a locked policy ask for what it asks for, after showing that and asking. It gets a grant where policies.yaml gives it\n" +
			"too: grants are given there.",
		Args: cobra.MinimumNArgs(1),
	}, func(l *locksmith, args []string) error {
		wants, err := l.named(args)
		if err != nil {
			return err
		}
		for i := range wants {
			if err := l.approve(&wants[i]); err != nil {
				return fmt.Errorf("policy %q: %w", wants[i].Name, err)
			}
		}
		return nil
	})
	l.addAnswers(c)
	return c
}

func (l *locksmith) approve(w *lock.Want) error {
	locked := l.file.Find(w.Name)
	if locked == nil {
		return fmt.Errorf("%w: run sallyport plugin lock", lock.ErrNotLocked)
	}
	v, err := lock.LookLocked(l.c.Context(), *w, locked, l.store, l.rules)
	if err != nil {
		return err
	}
	e := *locked
	added, err := lock.Approve(&e, v)
	if err != nil {
		return err
	}
	if len(added) == 0 {
		l.say("%s asks for nothing that was not approved", w.Name)
		return nil
	}
	for _, a := range added {
		l.say("%s asks for %s, with the reason %q", w.Name, a, a.Reason)
		if !slices.Contains(w.Given, a.String()) {
			l.say("  policies.yaml does not give it yet: add it to the grants of the policy")
		}
	}
	if !l.agree("Approve?") {
		return nil
	}
	l.file.Set(e)
	return nil
}
