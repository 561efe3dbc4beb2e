package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/internal/demo"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	config, model string
	long          time.Duration
	connections   int
	size          int
	asJSON        bool
}

func newBench() *cobra.Command {
	var flags benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what the gateway adds to a request, here and with your configuration",
		Long: "Run a gateway with your policies, models and chains in front of a demo provider on this machine, in a folder of its\n" +
			"own, and compare requests through it with requests straight to that provider. Nothing is sent to your providers, and\n" +
			"none of your keys, limits and budgets is touched.\n\n" +
			"Load, gateway and provider share one process and its CPUs: what is added is real, how many requests a second there\n" +
			"are is less than with machines of their own.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runBench(c.Context(), &flags, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	addConfigFlag(c, &flags.config)
	f := c.Flags()
	f.StringVar(&flags.model, "model", "", "the `model` or chain to ask for (default the first)")
	f.DurationVar(&flags.long, "time", 5*time.Second, "how long to measure each")
	f.IntVar(&flags.connections, "connections", 16, "requests at one time")
	f.IntVar(&flags.size, "size", 1024, "`bytes` of a request")
	f.BoolVar(&flags.asJSON, "json", false, "print JSON")
	return c
}

func runBench(ctx context.Context, flags *benchFlags, out, logTo io.Writer) (err error) {
	if flags.connections < 1 || flags.long <= 0 || flags.size < 0 || flags.size > 16<<20 {
		return errors.New("--connections and --time must be positive, --size at most 16 MiB")
	}
	log, err := newLog(logTo, "text", "warn")
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	provider, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var ended sync.WaitGroup
	ended.Go(func() { _ = serveHTTP(running, provider, demo.Handler(demo.Options{})) }) // what fails shows in the requests
	b := &benching{benchFlags: flags, folder: folder, provider: provider.Addr().String(), secret: "bench_" + rand.Text()}
	var report *benchReport
	var measured error
	err = serve(running, log, b.load, func(data, adm net.Addr) {
		ended.Go(func() {
			report, measured = b.measure(running, data.String(), adm.String())
			stop()
		})
	})
	stop() // serve may have ended by itself
	ended.Wait()
	if err = errors.Join(err, measured); err != nil {
		return err
	}
	return report.write(out, flags.asJSON)
}

// benching is one measurement.
type benching struct {
	*benchFlags
	folder, provider string
	secret           string // of the key that it uses

	mu    sync.Mutex
	chain *config.Chain // that is asked for
}

// load loads the configuration and changes it so that nothing of it reaches beyond this process: every provider is the
// demo's, without a credential, the data are in a folder of their own, and nobody is alerted.
func (b *benching) load() (*config.Snapshot, error) {
	c, err := loadConfig(b.config)
	if err != nil {
		return nil, err
	}
	s := *c
	s.Listen, s.Admin, s.Data = "127.0.0.1:0", config.Admin{Listen: "127.0.0.1:0", Token: b.secret}, b.folder
	s.Alerts, s.Trace, s.Drain.Delay = config.Alerts{}, config.Trace{}, 0
	s.Keys = append(slices.Clone(c.Keys), config.Key{Name: "bench", Secret: b.secret})
	moved := map[*config.Provider]*config.Provider{}
	s.Providers = make([]*config.Provider, len(c.Providers))
	for i, p := range c.Providers {
		demo := *p
		demo.TLS, demo.Host, demo.HostHeader, demo.Path = false, b.provider, b.provider, ""
		if p.Format.String() == "openai" {
			demo.Path = "/v1"
		}
		demo.Credentials, demo.Query, demo.Headers = nil, "", nil
		demo.CA, demo.CAFile, demo.AllowPrivate = "", "", true
		s.Providers[i], moved[p] = &demo, &demo
	}
	s.Chains = make(map[string]*config.Chain, len(c.Chains))
	for name, chain := range c.Chains {
		copied := *chain
		copied.Steps = slices.Clone(chain.Steps)
		for i := range copied.Steps {
			copied.Steps[i].Provider = moved[copied.Steps[i].Provider]
		}
		s.Chains[name] = &copied
	}
	return &s, b.pick(&s)
}

// pick finds the model that is asked for.
func (b *benching) pick(s *config.Snapshot) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.model == "" && len(s.Names) > 0 {
		b.model = s.Names[0]
	}
	if b.chain = s.Chains[b.model]; b.chain == nil {
		return fmt.Errorf("the configuration has no model or chain %q", b.model)
	}
	return nil
}

// request is the path and the body of a request that names a model.
func (b *benching) request(model string) (path, body string) {
	name, _ := json.Marshal(model) // a string always can be
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", b.size/45+1)[:b.size]
	switch b.chain.Format.String() {
	case "anthropic":
		return "/v1/messages", fmt.Sprintf(`{"model":%s,"max_tokens":64,"messages":[{"role":"user","content":"%s"}]}`, name, text)
	case "gemini":
		return "/v1beta/models/" + model + ":generateContent", fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"%s"}]}]}`, text)
	default:
		return "/v1/chat/completions", fmt.Sprintf(`{"model":%s,"max_tokens":64,"messages":[{"role":"user","content":"%s"}]}`, name, text)
	}
}

// measure sends the same load to the provider and to the gateway, in turn, and asks the gateway what its hooks took.
func (b *benching) measure(ctx context.Context, data, adm string) (*benchReport, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &benchReport{Model: b.model, Connections: b.connections}
	prefix := ""
	if b.chain.Format.String() != "openai" {
		prefix = "/" + b.chain.Format.String()
	}
	path, direct := b.request(b.chain.Steps[0].Model)
	gatewayPath, through := b.request(b.model)
	var straight, added []time.Duration
	for range benchRounds {
		for _, run := range []struct {
			url, body string
			into      *[]time.Duration
		}{{"http://" + b.provider + path, direct, &straight}, {"http://" + data + prefix + gatewayPath, through, &added}} {
			took, err := b.send(ctx, run.url, run.body, b.long/benchRounds)
			if err != nil {
				return nil, err
			}
			*run.into = append(*run.into, took...)
		}
	}
	r.Direct, r.Through = figuresOf(straight, b.long), figuresOf(added, b.long)
	var err error
	r.Hooks, err = hookFigures(ctx, "http://"+adm+"/metrics")
	return r, err
}

// benchRounds is how often provider and gateway take turns, so that what else the machine does meets both.
const benchRounds = 5
