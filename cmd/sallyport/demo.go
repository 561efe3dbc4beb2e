package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/demo"
)

// demoConfig is the configuration of the demo.
//
//go:embed demo.yaml.tmpl
var demoConfig string

// demoWelcome is what the demo prints when it is ready.
//
//go:embed demo.txt.tmpl
var demoWelcome string

// demoFacts fill in both templates.
type demoFacts struct {
	Version, Program      string
	Folder, File          string
	Listen, Admin         string
	Key, Token            string
	Provider, ProviderKey string
}

// serveDemo runs a gateway with a demo provider behind it, in a folder that goes when it ends.
func serveDemo(ctx context.Context, log *slog.Logger, out io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "sallyport-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	facts, err := newDemoFacts(folder)
	if err != nil {
		return err
	}
	provider, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	facts.Provider = provider.Addr().String()
	if err := os.Mkdir(filepath.Join(folder, "plugins"), 0o700); err != nil {
		return err
	}
	if err := writeTemplate(facts.File, demoConfig, facts); err != nil {
		return err
	}
	providing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		ended <- serveHTTP(providing, provider, demo.Handler(demo.Options{Delay: 20 * time.Millisecond, Credential: facts.ProviderKey}))
	}()
	err = serve(ctx, log, func() (*config.Snapshot, error) { return config.Load(facts.File, os.LookupEnv) }, func(_, _ net.Addr) {
		if err := template.Must(template.New("welcome").Parse(demoWelcome)).Execute(out, facts); err != nil {
			log.Warn("printing the welcome", "error", err)
		}
	})
	stop()
	return errors.Join(err, <-ended)
}

// newDemoFacts draws the secrets and finds free ports.
func newDemoFacts(folder string) (*demoFacts, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	key, err := identity.Generate("", rand.Reader)
	if err != nil {
		return nil, err
	}
	f := &demoFacts{
		Version: version, Program: program, Folder: folder, File: filepath.Join(folder, "policies.yaml"),
		Key: key, Token: "admin_" + rand.Text(), ProviderKey: "demo_" + rand.Text(),
	}
	if f.Listen, err = freeAddress("127.0.0.1:8080"); err != nil {
		return nil, err
	}
	f.Admin, err = freeAddress("127.0.0.1:8081")
	return f, err
}

// freeAddress returns the wanted address if nobody listens there, else one with a free port.
func freeAddress(wanted string) (string, error) {
	l, err := net.Listen("tcp", wanted)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	return l.Addr().String(), l.Close()
}

// writeTemplate writes a file that holds secrets.
func writeTemplate(file, text string, facts *demoFacts) error {
	t, err := template.New(filepath.Base(file)).Parse(text)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Clean(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the demo's configuration: %w", err)
	}
	return errors.Join(t.Execute(f, facts), f.Close())
}
