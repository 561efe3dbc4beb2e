package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/document"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/plugin/trace"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/sallyport-dev/sallyport/runtime"
)

// replayFlags are the flags of plugin replay and plugin try.
type replayFlags struct {
	policy string
	hooks  []string
	with   string
	show   int
	asJSON bool
}

func newPluginReplay() *cobra.Command {
	var flags replayFlags
	c := &cobra.Command{
		Use:   "replay TRACE DIR|FILE",
		Short: "Tell what a policy would have decided",
		Long: "Ask a policy the questions of a decision trace, and compare what it decides with what was decided then. TRACE is a file\n" +
			"of one, a folder of them, or a data folder; a gateway writes it if policies.yaml says trace: {mode: sampled} or all.\n\n" +
			"The policy gets the answers that were given then when it looks for state, the time, random numbers and stored keys;\n" +
			"what nobody asked then is answered from an empty store, and told. No trace holds a credential. Where a policy fails,\n" +
			"its functions are named and, if the module has debugging information, the lines of its source.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := openPlugin(c, args[1])
			if err != nil {
				return err
			}
			return flags.run(c, p, args[0])
		},
	}
	flags.add(c)
	return c
}

func (r *replayFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.policy, "policy", "", "the `name` of the policy whose decisions are asked about (default: the plugin's, or the only one)")
	f.StringArrayVar(&r.hooks, "hook", nil, "only decisions at this `hook`; may be given several times")
	f.StringVar(&r.with, "with", "", "a `file` with the policy's configuration, in YAML or JSON")
	f.IntVar(&r.show, "show", 20, "how many of the decisions that differ are shown")
	f.BoolVar(&r.asJSON, "json", false, "print JSON")
}

// run asks a plugin the questions of a trace, and prints what comes of it.
func (r *replayFlags) run(c *cobra.Command, p *plugin, place string) error {
	s, err := newSecondLook(c.Context(), p, place, r)
	if err != nil {
		return err
	}
	if err = errors.Join(s.askAll(c.Context()), s.replay.Close(c.Context())); err != nil {
		return err
	}
	if r.asJSON {
		return s.writeJSON(c.OutOrStdout())
	}
	return s.write(c.OutOrStdout())
}

// secondLook is a policy and the decisions that it is asked about.
type secondLook struct {
	place  string
	flags  *replayFlags
	policy string
	replay *host.Replay

	hooks       [abi.NumHooks]bool
	counts      [abi.NumHooks]replayCount
	first, last time.Time
	shown       []replayShown
	missing     map[string]int // decisions, by what the trace does not hold
	explained   map[string]string
	torn        int
}

type replayCount struct {
	Decisions int `json:"decisions"`
	Same      int `json:"same"`
	Different int `json:"different"` // a verdict or a pass, and another one
	Failed    int `json:"failed"`    // where it was none then
}

// replayShown is a decision that differs.
type replayShown struct {
	Request     string    `json:"request_id"`
	Hook        string    `json:"hook"`
	Time        time.Time `json:"time"`
	Was         string    `json:"was"`
	Is          string    `json:"is"`
	Why         string    `json:"why,omitempty"` // it failed
	Missing     []string  `json:"not_in_trace,omitempty"`
	Differences []string  `json:"differences"`
}

// newSecondLook loads the plugin, and finds out whose decisions it is to be asked about.
func newSecondLook(ctx context.Context, p *plugin, place string, flags *replayFlags) (_ *secondLook, err error) {
	s := &secondLook{place: place, flags: flags, missing: map[string]int{}, explained: map[string]string{}}
	config, err := p.readConfig(flags.with)
	if err != nil {
		return nil, err
	}
	policy, err := p.policy()
	if err != nil {
		return nil, err
	}
	if config != nil {
		if policy.Config, err = (&document.Document{Value: config}).JSON(); err != nil {
			return nil, err
		}
	}
	if s.hooks, err = s.wantedHooks(p); err != nil {
		return nil, err
	}
	if s.policy, err = s.findPolicy(p.manifest.Name); err != nil {
		return nil, err
	}
	policy.Name = s.policy // of it are the ids of the identities that it makes up
	if s.replay, err = host.OpenReplay(ctx, host.Options{Policy: policy}); err != nil {
		return nil, err
	}
	if _, err = s.replay.Load(ctx); err != nil {
		return nil, errors.Join(err, s.replay.Close(ctx))
	}
	return s, nil
}

// wantedHooks are those that the plugin serves, or of them those that the flags name.
func (s *secondLook) wantedHooks(p *plugin) (wanted [abi.NumHooks]bool, err error) {
	served := p.manifest.Hooks
	if len(served) == 0 {
		served = p.report.Hooks
	}
	for _, name := range served {
		if hook, ok := abi.ParseHook(name); ok && (len(s.flags.hooks) == 0 || slices.Contains(s.flags.hooks, name)) {
			wanted[hook] = true
		}
	}
	for _, name := range s.flags.hooks {
		if !slices.Contains(served, name) {
			return wanted, fmt.Errorf("--hook %s: the plugin serves %s", name, strings.Join(served, ", "))
		}
	}
	return wanted, nil
}

// each calls do for every decision at the hooks.
func (s *secondLook) each(do func(d *runtime.Decision) error) error {
	r, err := trace.Open(s.place)
	if err != nil {
		return err
	}
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			s.torn = r.Torn()
			return nil
		}
		if err == nil && s.hooks[d.Hook] {
			err = do(d)
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
	}
}

// findPolicy says whose decisions the plugin is asked about.
func (s *secondLook) findPolicy(plugin string) (string, error) {
	names := map[string]bool{}
	err := s.each(func(d *runtime.Decision) error {
		names[d.Policy] = true
		return nil
	})
	all := slices.Sorted(maps.Keys(names))
	asked := s.flags.policy
	switch {
	case err != nil:
		return "", err
	case len(all) == 0:
		return "", fmt.Errorf("%s: no decision was made at the hooks that the plugin serves", s.place)
	case asked != "" && !names[asked]:
		return "", fmt.Errorf("--policy %s: the decisions are those of %s", asked, strings.Join(all, ", "))
	case asked != "":
		return asked, nil
	case names[plugin]:
		return plugin, nil
	case len(all) == 1:
		return all[0], nil
	}
	return "", fmt.Errorf("the decisions are those of %s: --policy says whose are meant", strings.Join(all, ", "))
}

// askAll asks about every decision of the policy.
func (s *secondLook) askAll(ctx context.Context) error {
	return s.each(func(d *runtime.Decision) error {
		if d.Policy != s.policy {
			return nil
		}
		got, err := s.replay.Ask(ctx, d)
		if err != nil {
			return err
		}
		s.note(d, got)
		if len(got.Differences) == 0 || len(s.shown) >= s.flags.show {
			return nil
		}
		shown, err := s.describe(ctx, d, got)
		s.shown = append(s.shown, shown)
		return err
	})
}

// note counts a decision.
func (s *secondLook) note(d *runtime.Decision, got *host.Replayed) {
	if s.first.IsZero() || d.Time.Before(s.first) {
		s.first = d.Time
	}
	if d.Time.After(s.last) {
		s.last = d.Time
	}
	for _, what := range got.Missing {
		s.missing[what]++
	}
	count := &s.counts[d.Hook]
	count.Decisions++
	switch {
	case len(got.Differences) == 0:
		count.Same++
	case got.Is.Answer == cases.Failed:
		count.Failed++
	default:
		count.Different++
	}
}

// describe says how a decision differs. The same failure is looked into once.
func (s *secondLook) describe(ctx context.Context, d *runtime.Decision, got *host.Replayed) (replayShown, error) {
	shown := replayShown{
		Hook: d.Hook.String(), Time: d.Time, Was: summary(d.Hook, got.Was), Is: summary(d.Hook, got.Is), Missing: got.Missing,
		Differences: got.Differences,
	}
	if d.Request != nil {
		shown.Request = string(d.Request.ID)
	}
	if got.Is.Answer != cases.Failed {
		return shown, nil
	}
	why, known := s.explained[got.Is.Failure]
	if !known {
		var err error
		if why, err = s.replay.Explain(ctx, d); err != nil {
			return shown, err
		}
		if why == "" || strings.HasPrefix(got.Is.Failure, runtime.OutOfFuel.String()) {
			why = got.Is.Failure // only where fuel is counted
		}
		s.explained[got.Is.Failure] = why
	}
	shown.Why = why
	return shown, nil
}

// summary says in short what was decided.
func summary(hook abi.Hook, o *cases.Outcome) string {
	switch {
	case o.Answer != cases.Verdict:
		return o.Answer
	case o.Identity != nil:
		return "allows " + o.Identity.KeyID
	case hook == abi.Authenticate:
		return fmt.Sprintf("denies with %d %s %q", o.Status, o.Code, o.Message)
	case o.Stop:
		return "stops"
	case hook == abi.ChooseStep:
		return fmt.Sprintf("step %d", o.Step)
	default:
		return "costs " + abi.NanoUSD(o.Cost).String()
	}
}

func (s *secondLook) total() (all replayCount) {
	for _, c := range s.counts {
		all.Decisions += c.Decisions
		all.Same += c.Same
		all.Different += c.Different
		all.Failed += c.Failed
	}
	return all
}

// write shows what came of it to people.
func (s *secondLook) write(out io.Writer) error {
	all := s.total()
	fmt.Fprintf(out, "Decisions of the policy %q from %s to %s, asked again\n\n", record.Printable(s.policy),
		s.first.UTC().Format(time.DateTime), s.last.UTC().Format(time.DateTime))
	t := newTable("HOOK", ">DECISIONS", ">SAME", ">DIFFERENT", ">FAILED")
	for hook := range abi.NumHooks {
		if c := s.counts[hook]; c.Decisions > 0 {
			t.row(hook.String(), grouped(c.Decisions), grouped(c.Same), grouped(c.Different), grouped(c.Failed))
		}
	}
	if err := t.write(out); err != nil {
		return err
	}
	for i := range s.shown {
		s.shown[i].write(out)
	}
	if hidden := all.Different + all.Failed - len(s.shown); hidden > 0 {
		fmt.Fprintf(out, "\n%s more differ: --show prints them\n", grouped(hidden))
	}
	if len(s.missing) > 0 {
		fmt.Fprintln(out, "\nNot in the trace, and so not as it was then:")
		for _, what := range s.mostMissed() {
			fmt.Fprintf(out, "  %s (%s decisions)\n", record.Printable(what), grouped(s.missing[what]))
		}
	}
	if s.torn > 0 {
		fmt.Fprintf(out, "\n%d lines of the trace are torn and were passed over\n", s.torn)
	}
	return nil
}

// mostMissed returns what was missing, the most frequent first, no more than a person reads.
func (s *secondLook) mostMissed() []string {
	const most = 20
	all := slices.Sorted(maps.Keys(s.missing))
	slices.SortStableFunc(all, func(a, b string) int { return s.missing[b] - s.missing[a] })
	return all[:min(len(all), most)]
}

func (r *replayShown) write(out io.Writer) {
	fmt.Fprintf(out, "\n%s  %s  %s\n  was  %s\n  is   %s\n", record.Printable(dash(r.Request)), r.Hook, r.Time.UTC().Format(time.RFC3339Nano),
		record.Printable(r.Was), record.Printable(r.Is))
	if r.Why != "" {
		indented(out, "       ", r.Why)
		return
	}
	words := strings.NewReplacer(": got ", ": is ", ", want ", ", was ") // as those say it who compare two runs
	for _, difference := range r.Differences {
		if !strings.HasPrefix(difference, "answer: ") { // both answers stand above
			indented(out, "       ", words.Replace(difference))
		}
	}
	for _, what := range r.Missing {
		fmt.Fprintf(out, "       not in the trace: %s\n", record.Printable(what))
	}
}

func grouped(n int) string { return record.Grouped(int64(n)) }

func (s *secondLook) writeJSON(out io.Writer) error {
	type result struct {
		Policy  string                 `json:"policy"`
		First   time.Time              `json:"first"`
		Last    time.Time              `json:"last"`
		Total   replayCount            `json:"total"`
		Hooks   map[string]replayCount `json:"hooks"`
		Missing map[string]int         `json:"not_in_trace,omitempty"`
		Shown   []replayShown          `json:"differing"`
		Torn    int                    `json:"torn_lines,omitempty"`
	}
	r := result{s.policy, s.first, s.last, s.total(), map[string]replayCount{}, s.missing, s.shown, s.torn}
	for hook := range abi.NumHooks {
		if c := s.counts[hook]; c.Decisions > 0 {
			r.Hooks[hook.String()] = c
		}
	}
	return json.NewEncoder(out).Encode(r)
}
