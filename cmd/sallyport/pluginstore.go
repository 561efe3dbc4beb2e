package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/internal/prune"
	"github.com/sallyport-dev/sallyport/plugin/lock"
	"github.com/sallyport-dev/sallyport/plugin/registry"
)

// storeOptions are how the registries of a configuration are asked. What was pulled is kept in its data folder.
func storeOptions(c *config.Snapshot) registry.Options {
	o := registry.Options{UserAgent: "sallyport/" + version}
	if c == nil {
		return o
	}
	o.CacheDir = filepath.Join(c.Data, "plugins")
	o.Hosts = map[string]registry.HostOptions{}
	for _, r := range c.Sources.Registries {
		o.Hosts[r.Host] = registry.HostOptions{CAFile: r.CAFile, PlainHTTP: r.PlainHTTP, AllowPrivateRealms: r.AllowPrivateRealm}
	}
	return o
}

// lockRules are those of a configuration.
func lockRules(c *config.Snapshot) lock.Rules {
	return lock.Rules{Trust: c.Sources.Trust, Locked: c.Sources.Locked}
}

// want is what a policy has to be resolved to. It answers false for built-in ones, which are part of this program.
func want(c *config.Snapshot, p *config.Policy) (lock.Want, bool) {
	w := lock.Want{Name: p.Name, Reference: p.Source, File: p.Path, MustBeSigned: c.MustBeSigned(p)}
	if p.Path != "" {
		w.Reference = p.Path
		if relative, err := filepath.Rel(filepath.Dir(c.File), p.Path); err == nil {
			w.Reference = "./" + filepath.ToSlash(relative)
		}
	}
	if p.Grants.Identities {
		w.Given = append(w.Given, "identities: read")
	}
	if p.Grants.KV {
		w.Given = append(w.Given, "kv: own")
	}
	for _, input := range p.Grants.Inputs {
		w.Given = append(w.Given, "inputs: "+input)
	}
	return w, p.Builtin == ""
}

// resolvePolicies finds the modules of all policies that are not built in, by their index in the configuration. What is wrong
// comes as problems of the configuration, with their lines.
func resolvePolicies(ctx context.Context, c *config.Snapshot, log *slog.Logger) (map[int]lock.Module, error) {
	locked, err := lock.Read(c.LockFile())
	if err != nil {
		return nil, err
	}
	var wants []lock.Want
	var indexes []int
	for i := range c.Policies {
		if w, ok := want(c, &c.Policies[i]); ok {
			wants, indexes = append(wants, w), append(indexes, i)
		}
	}
	store := registry.New(storeOptions(c))
	defer store.Close()
	modules, err := lock.Resolve(ctx, wants, locked, store, lockRules(c))
	if refused, ok := errors.AsType[lock.Refusals](err); ok {
		return nil, sourceProblems(c, indexes, refused)
	}
	if err != nil {
		return nil, err
	}
	all := map[int]lock.Module{}
	for i, m := range modules {
		all[indexes[i]] = m
		tellSource(log, &wants[i], &m)
	}
	return all, nil
}

// pruneShared removes from the cache of shared policies what has not been needed for long, as compiled code is. What is locked
// stays, and what the configuration names by its digest.
func pruneShared(c *config.Snapshot, log *slog.Logger) {
	locked, err := lock.Read(c.LockFile())
	if err == nil {
		var needed []string
		for i := range locked.Plugins {
			needed = append(needed, locked.Plugins[i].Manifest)
		}
		for i := range c.Policies {
			if ref, err := registry.ParseRef(c.Policies[i].Source); err == nil {
				needed = append(needed, ref.Digest)
			}
		}
		store := registry.New(storeOptions(c))
		defer store.Close()
		err = store.Prune(needed, prune.Default())
	}
	if err != nil {
		log.Warn("shared policies that nobody needs were not removed", "error", err)
	}
}

// tellSource logs where a shared policy came from. Files of the operator's own are where they always were.
func tellSource(log *slog.Logger, w *lock.Want, m *lock.Module) {
	if w.File == "" {
		from := "registry"
		if strings.HasPrefix(w.Reference, registry.SchemeDir) {
			from = "folder"
		}
		if m.FromCache {
			from = "cache"
		}
		log.Info("policy found", "policy", w.Name, "reference", w.Reference, "from", from, "digest", m.Digest, "signer", m.Signer.String())
	}
	for _, warning := range m.Warnings {
		log.Warn("policy loaded with a remark", "policy", w.Name, "warning", warning)
	}
}

func sourceProblems(c *config.Snapshot, indexes []int, refused lock.Refusals) config.Problems {
	var problems config.Problems
	for _, r := range refused {
		p := &c.Policies[indexes[r.Index]]
		path := "policy_dir"
		if p.Line > 0 {
			path = fmt.Sprintf("policies[%d].wasm", indexes[r.Index])
		}
		problems = append(problems, config.Problem{File: c.File, Line: p.Line, Path: path, Message: fmt.Sprintf("policy %q: %v", p.Name, r.Err)})
	}
	return problems
}

// storeFlags are how commands find the registries that they speak with.
type storeFlags struct {
	config       string
	caFile       string
	plainHTTP    bool
	privateRealm bool
}

func (f *storeFlags) add(c *cobra.Command) {
	addConfigFlag(c, &f.config)
	c.Flags().StringVar(&f.caFile, "ca-file", "", "a `file` of certificates from which the registry's own may come")
	c.Flags().BoolVar(&f.plainHTTP, "plain-http", false, "speak with the registry without TLS")
	c.Flags().BoolVar(&f.privateRealm, "allow-private-realm", false, "let the registry name token servers and redirect to private addresses")
}

// open returns a client of registries, and the configuration if there is one. A configuration that nobody asked for and that is
// not right is left aside: whoever pulls a plugin need not have the gateway's environment.
func (f *storeFlags) open(c *cobra.Command) (*registry.Client, *config.Snapshot, error) {
	snapshot, err := loadSources(f.config)
	switch {
	case err == nil:
	case f.config != "":
		return nil, nil, err
	case !errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(c.ErrOrStderr(), "the configuration is left aside: %v\n", err)
	}
	return f.client(c, snapshot), snapshot, nil
}

// client returns a client of registries. snapshot is nil without a configuration.
func (f *storeFlags) client(c *cobra.Command, snapshot *config.Snapshot) *registry.Client {
	o := storeOptions(snapshot)
	stated := registry.HostOptions{CAFile: f.caFile, PlainHTTP: f.plainHTTP, AllowPrivateRealms: f.privateRealm}
	if stated != (registry.HostOptions{}) {
		o.Hosts, o.HostOptions = nil, stated
	}
	o.Progress = newProgress(c.ErrOrStderr())
	return registry.New(o)
}

// shopping is a run of a command that speaks with registries.
type shopping struct {
	*cobra.Command
	store    *registry.Client
	snapshot *config.Snapshot // nil without a configuration
	rules    lock.Rules       // whom the configuration trusts
	args     []string
}

// shops makes a command of what it does with registries.
func shops(c *cobra.Command, do func(*shopping) error) *cobra.Command {
	var flags storeFlags
	flags.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		store, snapshot, err := flags.open(c)
		if err != nil {
			return err
		}
		defer store.Close()
		return do(&shopping{c, store, snapshot, trustOf(snapshot), args})
	}
	return c
}

// trustOf are the keys of a configuration, if there is one.
func trustOf(c *config.Snapshot) lock.Rules {
	if c == nil {
		return lock.Rules{}
	}
	return lock.Rules{Trust: c.Sources.Trust}
}

// look looks into a file, or into what a reference leads to.
func (s *shopping) look(target string) (*lock.Version, error) {
	w := lock.Want{Name: target, Reference: target}
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name its module, or sallyport plugin build makes one", target)
	case err == nil:
		if w.File, err = filepath.Abs(target); err != nil {
			return nil, err
		}
	default:
		ref, err := registry.ParseRef(target)
		if err != nil {
			return nil, fmt.Errorf("there is no file %s, and as a reference it is wrong: %w", target, err)
		}
		w.Reference = ref.String()
	}
	return lock.Look(s.Context(), w, s.store, s.rules)
}

// signerText says who signed a version, for people.
func (s *shopping) signerText(v *lock.Version) string { return signerText(v, len(s.rules.Trust)) }

// progressFrom is how large a transfer is that people get to see.
const progressFrom = 1 << 20

// newProgress shows transfers at a terminal, each in one line that is written over.
func newProgress(out io.Writer) func(registry.Progress) {
	if file, ok := out.(*os.File); !ok || !isTerminal(file) {
		return nil
	}
	return func(p registry.Progress) {
		if p.Size < progressFrom {
			return
		}
		end := "\r"
		if p.Done >= p.Size {
			end = "\n"
		}
		fmt.Fprintf(out, "%s: %d of %d KiB%s", p.Ref, p.Done>>10, p.Size>>10, end)
	}
}
