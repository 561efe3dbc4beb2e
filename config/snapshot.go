// Package config turns policies.yaml into a validated, immutable Snapshot, and watches the file.
//
// It imports abi, formats, plugin/trust and prices. It opens no network, starts no guest and touches no state: what it returns is data.
package config

import (
	"encoding/json"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/prices"
)

// Snapshot is one version of the configuration. It is complete and never changes after Load returned it.
type Snapshot struct {
	File         string // absolute path of the file that it came from
	Listen       string // host:port of the data listener; default 127.0.0.1:8080
	Prefix       string // put before every data path; "" or "/x/y" without a trailing slash
	Data         string // absolute path of the folder of state and caches
	PolicyDir    string // absolute path, of a folder that may be made later; "" if the file names none
	PublicModels bool   // model lists without a key; default false
	MaxBody      int    // largest request body in bytes; default 32 MiB
	Admin        Admin
	Providers    []*Provider
	Chains       map[string]*Chain // by every name that a client may send: aliases and chains
	Names        []string          // the keys of Chains, sorted
	Teams        []abi.Team        // every parent is among them; no circles, at most 8 levels
	Keys         []Key
	Policies     []Policy       // in the order in which they are asked
	Lines        map[string]int // where the parts of policies' configurations stand, by their paths: "policies[0].config.tz"
	Ledger       Ledger
	Alerts       Alerts
	RequestLog   RequestLog
	Disk         Disk
	Drain        Drain
	Idempotency  Idempotency
	Trace        Trace
	Sources      Sources
	Prices       string // absolute path of the catalogue that replaces the embedded one; "": the embedded one
}

// Admin is the admin listener.
type Admin struct {
	Listen string // host:port; default 127.0.0.1:8081
	Token  string // bearer token of the admin API; "": the API answers 403 to everything
}

// Provider is a named upstream.
type Provider struct {
	Name           string
	Format         formats.Format
	TLS            bool
	Host           string   // host:port to dial, port always present
	HostHeader     string   // what the Host header says: the host as it stands in base_url
	Path           string   // path of base_url without a trailing slash; may hold "{model}"
	Credentials    []string // in the order of the file; none where the provider wants none
	AuthHeader     string   // canonical header name that carries the credential, "Authorization" means Bearer
	Query          string   // encoded extra query, "" for none
	Headers        []Header
	Catalog        string   // id of the catalogue's provider whose prices are those of this one; "": found by host, name and format
	Probe          Probe    // how it is asked whether it is back; zero: requests find out
	Timeouts       Timeouts // what the file says for all of its models; zero where it does not
	CA             string   // certificates in PEM from which its own is trusted; "": those that the system trusts
	CAFile         string   // absolute path of the file of CA; "" for none
	AllowPrivate   bool     // addresses that are not public may be dialled; default true where base_url has an address or localhost
	MaxConnections int      // open at once; default 16384
	// IncludeUsage says whether stream_options.include_usage is added to streams that do not ask; default true.
	IncludeUsage bool
}

// Probe is a request without a cost that a provider is asked while it is out.
type Probe struct {
	Every time.Duration // 0: never
	Path  string        // put behind the path of base_url
}

// Header is one extra request header of a provider.
type Header struct{ Name, Value string }

// Chain is what a name resolves to: ordered, weighted steps of one format. An alias is a chain of one step.
type Chain struct {
	Name    string
	Alias   bool // declared under models, not under chains
	Format  formats.Format
	Steps   []Step
	Choices []abi.Step    // what choose_step sees of Steps, by the same index; prices are those of a short prompt at load
	Context int           // largest context in tokens that a step states; 0 unknown
	Total   time.Duration // how long an exchange may take, all attempts together

	Failure
	Strategy       string // one of the strategies: Weighted, Latency, Cost, Sticky
	Affinity       Affinity
	AffinityHeader string // with ByHeader, canonical
	stated         Timeouts

	MaxOutput int64      // largest MaxOutput of its steps; 0 unknown
	Limits    abi.Limits // over all callers of this name together
}

// Step is one model of one provider.
type Step struct {
	Alias     string
	Provider  *Provider
	Model     string         // the provider's name
	ModelJSON []byte         // Model as a JSON string, quotes included
	Tariff    *prices.Tariff // nil: nobody knows what it costs
	MaxOutput int64          // the most tokens that the model can answer with; 0 unknown
	Context   int64          // largest context in tokens; 0 unknown
	Reasoning bool           // the model thinks before it writes

	Concurrent int // attempts at once over this step of this chain; 0: no limit
	Patience   Patience
}

// Key is a client key that the file declares. Its secret stays in memory.
type Key struct {
	Name         string
	Secret       string
	Team         string // "" for none
	Models       []string
	Expires      time.Time
	DefaultModel string // for requests that name none; "" for none
	Labels       []abi.Label
	Limits       abi.Limits
	Budgets      []abi.Budget
}

// Policy is one configured guest.
type Policy struct {
	Name    string
	Builtin string          // "default" of "builtin:default"; "" for files
	Path    string          // absolute path of the .wasm or .js file; "" for built-in ones and those of Source
	Source  string          // reference to one in a registry or a folder: "oci://…" or "dir://…"; "" for others
	Hooks   []abi.Hook      // empty: every hook that the module exports
	Veto    bool            // asked after an allow at authenticate; may only deny or pass
	Shadow  bool            // what it answers is compared with what was decided, and changes nothing
	Percent int             // share of callers that it is asked about, 1 to 100; 0: all
	Config  json.RawMessage // JSON of the config mapping; nil if there is none
	Limits  Limits
	Grants  Grants
	Line    int // of the entry in the file, 0 for files of PolicyDir
}

// Limits bound one call of a guest. Zero values mean the runtime's defaults.
type Limits struct {
	Fuel   int64         // units per call
	Time   time.Duration // bounds what fuel cannot see: host functions
	Memory int64         // bytes of linear memory per instance
}

// Grants is what a policy may do beyond reading the ordinary fields.
type Grants struct {
	Identities bool     // identity_lookup (`identities: read`)
	KV         bool     // the functions that keep state, in a namespace of the policy's own (`kv: own`)
	Inputs     []string // field names that need a grant: "credential", "request.headers.x-team"
}
