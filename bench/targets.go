package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/template"
)

// What all requests bear.
const (
	benchKey     = "the-key-of-the-bench"
	adminToken   = "the-admin-token-of-the-bench"
	secretFormat = "the-secret-of-key-%d" // of the keys that are made in a data folder
)

// Names of the targets.
const (
	bareName      = "bare fasthttp"
	nginxName     = "nginx"
	haproxyName   = "haproxy"
	sallyportName = "sallyport"
)

// shelf starts what is measured, and ends it.
type shelf struct {
	folder   string // for configurations and data, removed at the end
	self     string // this program
	gateway  string // sallyport's
	upstream *process
	mu       sync.Mutex
	started  []*process
	inMemory []string // folders of data, removed at the end
}

func openShelf(gateway string) (*shelf, error) {
	folder, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return nil, err
	}
	s := &shelf{folder: folder, gateway: gateway}
	if s.self, err = os.Executable(); err == nil {
		s.upstream, err = s.own("upstream")
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// closeWhenInterrupted ends everything when somebody ends the bench, until the returned function is called. A killed
// nginx would leave its workers behind.
func (s *shelf) closeWhenInterrupted() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, interrupted := <-signals; interrupted {
			fmt.Fprintln(os.Stderr, "bench: interrupted:", s.close())
			os.Exit(1)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// close ends everything in reverse.
func (s *shelf) close() (err error) {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	for _, p := range slices.Backward(started) {
		err = errors.Join(err, s.end(p))
	}
	for _, folder := range append(s.inMemory, s.folder) {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	return err
}

func (s *shelf) end(p *process) error {
	s.mu.Lock()
	s.started = slices.DeleteFunc(slices.Clone(s.started), func(started *process) bool { return started == p })
	s.mu.Unlock()
	return p.stop()
}

func (s *shelf) add(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, p)
}

// start starts a program at a free address, which build puts into its arguments.
//
// Between finding an address and listening there somebody else may take it: then it is tried again.
func (s *shelf) start(name, program string, build func(address string) ([]string, error)) (p *process, err error) {
	for range 3 {
		var address string
		if address, err = freeAddress(); err != nil {
			return nil, err
		}
		var args []string
		if args, err = build(address); err != nil {
			return nil, err
		}
		if p, err = start(name, address, program, args...); err == nil {
			s.add(p)
			return p, nil
		}
		if !strings.Contains(err.Error(), "in use") {
			return nil, err
		}
	}
	return nil, err
}

// own starts a part of this program: the upstream, or the bare proxy.
func (s *shelf) own(name string, args ...string) (*process, error) {
	return s.start(name, s.self, func(address string) ([]string, error) {
		return append([]string{name, address}, args...), nil
	})
}

// bare starts the bare proxy; the one for streams passes pieces on, the other whole answers.
func (s *shelf) bare(stream bool) (*process, error) {
	p, err := s.own(bareProgram, s.upstream.address, fmt.Sprint(stream))
	if err == nil {
		p.name = bareName
	}
	return p, err
}

// nginx and haproxy as a reverse proxy with connections kept open on both sides, and nothing written to a log. One of
// nginx's workers for each CPU is what its package configures.
var configurations = map[string]string{
	nginxName: `daemon off;
worker_processes auto;
pid {{.Folder}}/nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_buffer_size 1m;
  client_max_body_size 32m;
  client_body_temp_path {{.Folder}}/nginx-body;
  proxy_temp_path {{.Folder}}/nginx-proxy;
  fastcgi_temp_path {{.Folder}}/nginx-fastcgi;
  uwsgi_temp_path {{.Folder}}/nginx-uwsgi;
  scgi_temp_path {{.Folder}}/nginx-scgi;
  keepalive_requests 1000000000;
  upstream provider { server {{.Upstream}}; keepalive 8192; keepalive_requests 1000000000; }
  server {
    listen {{.Address}} backlog=8192;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`,
	haproxyName: `global
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  option http-keep-alive
  option http-no-delay
  http-reuse always
frontend bench
  bind {{.Address}}
  default_backend provider
backend provider
  server one {{.Upstream}}
`,
}

// other starts nginx or haproxy; nil where it is not installed.
func (s *shelf) other(name string) (*process, error) {
	program, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		if program = filepath.Join("/usr/sbin", name); !exists(program) {
			return nil, nil
		}
	} else if err != nil {
		return nil, err
	}
	return s.start(name, program, func(address string) ([]string, error) {
		file := filepath.Join(s.folder, name+".conf")
		facts := map[string]string{"Folder": s.folder, "Address": address, "Upstream": s.upstream.address}
		if err := fill(file, configurations[name], facts); err != nil {
			return nil, err
		}
		if name == haproxyName {
			return []string{"-db", "-f", file}, nil
		}
		return []string{"-p", s.folder, "-c", file}, nil
	})
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// fill writes a file from a template.
func fill(file, text string, facts any) error {
	t, err := template.New(filepath.Base(file)).Parse(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, facts); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}
