package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport-dev/sallyport/prices"
)

// Defaults of fields that the file may leave out.
const (
	defaultListen      = "127.0.0.1:8080"
	defaultAdminListen = "127.0.0.1:8081"
	defaultData        = "data"
	defaultMaxBody     = 32 << 20
)

// Find returns the file to load: explicit if it is not empty, else the first of ./policies.yaml and
// /etc/sallyport/policies.yaml that is there.
func Find(explicit string) (string, error) {
	if explicit != "" {
		return explicit, nil
	}
	places := []string{"policies.yaml", "/etc/sallyport/policies.yaml"}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return place, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("looking for the configuration: %w", err)
		}
	}
	return "", fmt.Errorf("no configuration: neither %s is there: %w", strings.Join(places, " nor "), fs.ErrNotExist)
}

// Load reads a configuration file. env looks environment variables up, as os.LookupEnv does. What is wrong with the
// content is returned as Problems, all of it at once; a file that cannot be read as the error of the file system.
func Load(file string, env func(string) (string, bool)) (*Snapshot, error) {
	return read(file, env, false)
}

// LoadSources is Load for those who only want to know where policies come from: what names a variable that is not set is left
// out of the snapshot, unless it says just that. Everything else has to be right, as it has for Load.
func LoadSources(file string, env func(string) (string, bool)) (*Snapshot, error) {
	return read(file, env, true)
}

func read(file string, env func(string) (string, bool), onlySources bool) (*Snapshot, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of %s: %w", file, err)
	}
	l := newLoading(file, absolute, env)
	l.onlySources = onlySources
	return l.load(data)
}

// newLoading prepares the loading of a file.
func newLoading(file, absolute string, env func(string) (string, bool)) *loading {
	l := &loading{
		file: file, folder: filepath.Dir(absolute), env: env, now: time.Now(),
		providers: map[string]*Provider{}, providerNames: claims{}, modelNames: claims{}, teamNames: claims{}, teams: map[string]teamEntry{},
		keyNames: claims{}, keySecrets: map[string]string{}, policyNames: claims{},
		snapshot: &Snapshot{
			File: absolute, Listen: defaultListen, MaxBody: defaultMaxBody,
			Data:   filepath.Join(filepath.Dir(absolute), defaultData),
			Admin:  Admin{Listen: defaultAdminListen},
			Chains: map[string]*Chain{}, Lines: map[string]int{},
			Ledger: defaultLedger(), Alerts: defaultAlerts(), RequestLog: defaultRequestLog(), Disk: defaultDisk(), Drain: defaultDrain(), Idempotency: defaultIdempotency(), Trace: defaultTrace(),
		},
	}
	l.catalogue = sync.OnceValue(l.embeddedCatalogue)
	return l
}

// load turns the text of the file into a snapshot.
func (l *loading) load(data []byte) (*Snapshot, error) {
	if root := l.parse(data); root != nil {
		l.root(value{l, root, ""})
	}
	if len(l.problems) > 0 {
		l.problems.sort()
		return nil, l.problems
	}
	return l.snapshot, nil
}

// loading is the state of one Load.
type loading struct {
	file   string // as given
	folder string // that relative paths start from
	env    func(string) (string, bool)
	now    time.Time // of all of it

	onlySources bool // see LoadSources

	problems Problems
	snapshot *Snapshot

	catalogue     func() *prices.Catalog // read when it is needed; nil if it cannot be
	providers     map[string]*Provider   // also those with problems, so that no reference to them is another one
	providerNames claims
	modelNames    claims // aliases and chains
	teamNames     claims
	teams         map[string]teamEntry
	keyNames      claims
	keySecrets    map[string]string // which key a secret belongs to
	policyNames   claims
}

// report adds a problem at a node, or with the file as a whole if it is nil.
func (l *loading) report(at *yaml.Node, path, format string, args ...any) {
	p := Problem{File: l.file, Path: path, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	l.problems = append(l.problems, p)
}

// parse returns the top node of the file, which has to be one YAML document.
func (l *loading) parse(data []byte) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.report(nil, "", "preparing to read YAML: %v", err)
		return nil
	}
	var document, second yaml.Node
	if err := loader.Load(&document); err != nil || len(document.Content) == 0 {
		l.reportSyntax(err)
		return nil
	}
	if loader.Load(&second) == nil {
		l.report(&second, "", "must be one YAML document, and another one begins here")
	}
	return document.Content[0]
}

// reportSyntax reports why a file is not YAML.
func (l *loading) reportSyntax(err error) {
	var syntax *yaml.LoadError
	if !errors.As(err, &syntax) || syntax.Mark.Line == 0 {
		l.report(nil, "", "holds no YAML document")
		return
	}
	message := syntax.Message
	if strings.Contains(message, "anchor") { // names what stands there, which may be a secret that begins with "*"
		message = `a value that begins with "*" or "&" must stand in quotes`
	}
	if syntax.ContextMsg != "" {
		message = syntax.ContextMsg + ", " + message
	}
	l.report(&yaml.Node{Line: syntax.Mark.Line, Column: syntax.Mark.Column}, "", "is not YAML: %s", message)
}

// root reads the whole file. The order of the table is the order of reference: models name providers, chains and keys
// name models.
func (l *loading) root(v value) {
	s := l.snapshot
	withPolicies := false
	ok := v.object(append(l.sourceFields(),
		required("version", value.version),
		optional("listen", func(v value) { v.listen(&s.Listen) }),
		optional("prefix", func(v value) { s.Prefix = v.prefix() }),
		optional("data", func(v value) { v.file(&s.Data) }),
		optional("policy_dir", func(v value) { v.directory(&s.PolicyDir) }),
		optional("public_models", func(v value) { v.boolean(&s.PublicModels) }),
		optional("max_body", func(v value) {
			if n, ok := v.size(1<<10, 1<<30); ok {
				s.MaxBody = int(n)
			}
		}),
		optional("admin", l.admin),
		optional("ledger", l.ledger),
		optional("alerts", l.alerts),
		optional("request_log", l.requestLog),
		optional("disk", l.disk),
		optional("drain", l.drain),
		optional("idempotency", l.idempotency),
		optional("trace", l.trace),
		optional("prices", l.prices),
		optional("providers", func(v value) { v.items(l.provider) }),
		optional("models", func(v value) { v.items(l.model) }),
		optional("chains", func(v value) { v.items(l.chain) }),
		optional("teams", l.allTeams),
		optional("keys", func(v value) { v.items(l.key) }),
		optional("policies", func(v value) { withPolicies = true; v.items(l.policy) }),
	))
	if !ok {
		return
	}
	if !withPolicies {
		s.Policies = append(s.Policies, defaultPolicy())
		l.policyNames[defaultPolicyName] = "the built-in policy"
	}
	l.policyFiles()
	s.Names = known(s.Chains)
}

// version reads the version of this contract. There is one.
func (v value) version() {
	if s, ok := v.plain(); ok && s != "1" {
		v.fail("must be 1, the only version that there is")
	}
}

func (l *loading) admin(v value) {
	admin := &l.snapshot.Admin
	v.object([]field{
		optional("listen", func(v value) {
			v.listen(&admin.Listen)
			if admin.Listen == l.snapshot.Listen && !strings.HasSuffix(admin.Listen, ":0") {
				v.fail("must differ from the address of the data listener")
			}
		}),
		optional("token", func(v value) { admin.Token, _ = v.secret(secretLeast) }),
	})
}

// file reads the path of a file or folder, relative to the folder of the configuration.
func (v value) file(target *string) bool {
	s, ok := v.text()
	switch {
	case !ok:
		return false
	case s == "" || strings.ContainsRune(s, 0):
		v.fail("must be a path")
		return false
	case !filepath.IsAbs(s):
		s = filepath.Join(v.load.folder, s)
	}
	*target = filepath.Clean(s)
	return true
}

// directory reads the path of a folder. It may be made later: Watch sees it then.
func (v value) directory(target *string) {
	var path string
	if !v.file(&path) {
		return
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		v.fail("%s is not a folder", quote(v.written()))
		return
	}
	*target = path
}

// Paths returns the files and folders that the snapshot was made from: what Watch has to look at.
func (s *Snapshot) Paths() []string {
	paths := []string{s.File}
	if s.Prices != "" {
		paths = append(paths, s.Prices)
	}
	if s.PolicyDir != "" {
		paths = append(paths, s.PolicyDir)
	}
	for _, p := range s.Providers {
		if p.CAFile != "" && !slices.Contains(paths, p.CAFile) {
			paths = append(paths, p.CAFile)
		}
	}
	for i := range s.Policies {
		if path := s.Policies[i].Path; path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return append(paths, s.sourcePaths()...)
}
