package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// far is a registry with TLS that a client sees at a public address, under a name, with a credential.
type far struct {
	*served
	client  *Client
	dialled func() []string
	ref     Ref
}

const (
	publicIP = "203.0.113.5" // for documentation, RFC 5737: never dialled
	secret   = "s3cret"
)

func startFar(t *testing.T, names, servers map[string]string, o Options) *far {
	t.Helper()
	s, ca := serveTLS(t)
	if _, err := client(t, Options{HostOptions: HostOptions{CAFile: ca}}).Push(t.Context(), s.ref(t, "team/x:1.0.0"), Artifact{Wasm: plugin(t, "x", "1.0.0")}); err != nil {
		t.Fatal(err)
	}
	if names == nil {
		names = map[string]string{}
	}
	if servers == nil {
		servers = map[string]string{}
	}
	if names["example.com"] == "" {
		names["example.com"] = publicIP
	}
	servers[net.JoinHostPort(names["example.com"], "443")] = s.host()
	o.CAFile = ca
	o.Credentials = func(_ context.Context, host string) (Credential, error) {
		if host != "example.com" {
			t.Errorf("asked for the credential of %s", host)
		}
		return Credential{Username: "me", Password: secret}, nil
	}
	f := &far{served: s, client: client(t, o), ref: parse(t, "example.com/team/x:1.0.0")}
	f.dialled = elsewhere(f.client, names, servers)
	return f
}

// challenges lets the registry ask for a token of a realm.
func (f *far) challenges(realm string) {
	f.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="reg",scope="repository:team/x:pull"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

// other is a second server, which notes what it is shown.
func other(t *testing.T, tls bool, answer http.HandlerFunc) (address string, shown func() []string) {
	t.Helper()
	s := &served{handler: answer}
	var seen []string
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Header.Get("Authorization")+string(body)+r.URL.RawQuery)
		return false
	}
	if tls {
		s.Server = httptest.NewTLSServer(s)
	} else {
		s.Server = httptest.NewServer(s)
	}
	t.Cleanup(s.Close)
	return s.host(), func() []string { s.Close(); return seen }
}

func giveToken(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]string{"token": "good"})
}

func TestRealms(t *testing.T) {
	for name, c := range map[string]struct {
		realm    string // https://auth.example.com is at ip
		ip       string
		registry string // its address, publicIP if empty
		allow    bool
		kind     error
	}{
		"public":                            {realm: "https://auth.example.com/token", ip: "203.0.113.9"},
		"private":                           {realm: "https://auth.example.com/token", ip: "10.1.2.3", kind: ErrPrivate},
		"private, IPv6":                     {realm: "https://auth.example.com/token", ip: "fd00::1", kind: ErrPrivate},
		"private, translated":               {realm: "https://auth.example.com/token", ip: "64:ff9b::a01:203", kind: ErrPrivate},
		"private, allowed":                  {realm: "https://auth.example.com/token", ip: "10.1.2.3", allow: true},
		"private, as the registry is":       {realm: "https://auth.example.com/token", ip: "10.1.2.3", registry: "10.1.2.1"},
		"loopback":                          {realm: "https://auth.example.com/token", ip: "127.0.0.1", kind: ErrPrivate},
		"unspecified":                       {realm: "https://auth.example.com/token", ip: "0.0.0.0", kind: ErrPrivate},
		"loopback, from a private registry": {realm: "https://auth.example.com/token", ip: "127.0.0.1", registry: "10.1.2.1", kind: ErrPrivate},
		"metadata of a cloud":               {realm: "https://169.254.169.254/token", kind: ErrPrivate},
		"metadata, from a private registry": {realm: "https://169.254.169.254/token", registry: "10.1.2.1", kind: ErrPrivate},
		"metadata in shared space":          {realm: "https://100.100.100.200/token", kind: ErrPrivate},
		"without TLS":                       {realm: "http://auth.example.com/token", ip: "203.0.113.9", kind: ErrPlainHTTP},
		"no address":                        {realm: "/token"},
		"another scheme":                    {realm: "file:///etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			address, shown := other(t, true, giveToken)
			servers := map[string]string{net.JoinHostPort(c.ip, "443"): address}
			f := startFar(t, map[string]string{"auth.example.com": c.ip, "example.com": c.registry}, servers, Options{HostOptions: HostOptions{AllowPrivateRealms: c.allow}})
			f.challenges(c.realm)
			_, err := f.client.Pull(t.Context(), f.ref)
			seen := shown()
			if c.kind == nil && c.ip != "" {
				if err != nil || len(seen) != 1 || !strings.HasPrefix(seen[0], "Basic ") || !strings.Contains(seen[0], "scope=repository%3Ateam%2Fx%3Apull") {
					t.Errorf("%q was shown, %v", seen, err)
				}
				return
			}
			if err == nil || c.kind != nil && !errors.Is(err, c.kind) || len(seen) > 0 || strings.Contains(err.Error(), secret) {
				t.Errorf("%q was shown, %v", seen, err)
			}
			if d := f.dialled(); slices.ContainsFunc(d, func(a string) bool { return a != d[0] }) {
				t.Errorf("dialled %q", d)
			}
		})
	}
}

// TestRealmRedirects: a token server may not send us, or what we show it, elsewhere.
func TestRealmRedirects(t *testing.T) {
	for name, token := range map[string]Credential{"password": {Username: "me", Password: secret}, "refresh token": {RefreshToken: secret}} {
		t.Run(name, func(t *testing.T) {
			evil, shown := other(t, true, giveToken)
			auth, _ := other(t, true, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example.com/token", http.StatusTemporaryRedirect)
			})
			f := startFar(t, map[string]string{"auth.example.com": "203.0.113.9", "evil.example.com": "203.0.113.66"},
				map[string]string{"203.0.113.9:443": auth, "203.0.113.66:443": evil}, Options{})
			f.client.options.Credentials = func(context.Context, string) (Credential, error) { return token, nil }
			f.challenges("https://auth.example.com/token")
			_, err := f.client.Pull(t.Context(), f.ref)
			if seen := shown(); err == nil || !strings.Contains(err.Error(), "sends us on") || len(seen) > 0 {
				t.Errorf("%q was shown, %v", seen, err)
			}
		})
	}
}

// TestRedirects is about registries that keep blobs elsewhere: followed, without the credential.
func TestRedirects(t *testing.T) {
	for name, c := range map[string]struct {
		to   string
		ip   string
		kind error
		ok   bool
	}{
		"storage":           {to: "https://storage.example.com/b?signature=abc", ip: "203.0.113.9", ok: true},
		"another port":      {to: "https://example.com:8443/b?signature=abc", ip: publicIP, ok: true},
		"a private address": {to: "https://storage.example.com/b?signature=abc", ip: "192.168.1.1", kind: ErrPrivate},
		"metadata":          {to: "https://169.254.169.254/latest", kind: ErrPrivate},
		"without TLS":       {to: "http://storage.example.com/b?signature=abc", ip: "203.0.113.9", kind: ErrPlainHTTP},
		"a file":            {to: "file:///etc/passwd", kind: ErrPlainHTTP},
		"nowhere":           {to: "https://nowhere.example.com/b?signature=abc", kind: ErrAway},
		"in circles":        {to: "https://example.com/v2/team/x/blobs/circle"},
	} {
		t.Run(name, func(t *testing.T) {
			wasm := plugin(t, "x", "1.0.0")
			address, shown := other(t, true, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wasm) })
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(strings.SplitN(c.to, "/", 4)[2], "//"))
			if port == "" {
				port = "443"
			}
			names := map[string]string{}
			if c.ip != publicIP {
				names["storage.example.com"] = c.ip
			}
			if c.ip == "" {
				delete(names, "storage.example.com")
			}
			f := startFar(t, names, map[string]string{net.JoinHostPort(c.ip, port): address}, Options{})
			f.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				if strings.Contains(r.URL.Path, digestOf(wasm)) || strings.HasSuffix(r.URL.Path, "/circle") {
					http.Redirect(w, r, c.to, http.StatusTemporaryRedirect)
					return true
				}
				return false
			})
			_, err := f.client.Pull(t.Context(), f.ref)
			seen := shown()
			switch {
			case c.ok && (err != nil || !slices.Equal(seen, []string{"signature=abc"})):
				t.Errorf("%q was shown, %v", seen, err)
			case !c.ok && (err == nil || len(seen) > 0 || c.kind != nil && !errors.Is(err, c.kind) || strings.Contains(err.Error(), "signature")):
				t.Errorf("%q was shown, %v", seen, err)
			}
		})
	}
}

// TestRedirectThereAndBack: a request that has left the registry stays without its credential when it is led back.
func TestRedirectThereAndBack(t *testing.T) {
	g := &guard{host: "example.com:443"}
	request := func(address string) *http.Request {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Authorization": {"Basic x"}}}).WithContext(t.Context())
	}
	first, away, back := request("https://example.com/a"), request("https://sub.example.com/b"), request("https://example.com/c")
	if err := g.redirect(back, []*http.Request{first, away}); err != nil || back.Header.Get("Authorization") != "" {
		t.Errorf("%v, %v", back.Header, err)
	}
	within := request("https://example.com:443/d")
	if err := g.redirect(within, []*http.Request{first}); err != nil || within.Header.Get("Authorization") == "" {
		t.Errorf("%v, %v", within.Header, err)
	}
}

// TestChallengeOfAnotherHost: what storage asks for after a redirect is not answered with the registry's credential.
func TestChallengeOfAnotherHost(t *testing.T) {
	wasm := plugin(t, "x", "1.0.0")
	evil, evilShown := other(t, true, giveToken)
	storage, _ := other(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://evil.example.com/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	f := startFar(t, map[string]string{"storage.example.com": "203.0.113.9", "evil.example.com": "203.0.113.66"},
		map[string]string{"203.0.113.9:443": storage, "203.0.113.66:443": evil}, Options{})
	f.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, digestOf(wasm)) {
			http.Redirect(w, r, "https://storage.example.com/b", http.StatusFound)
			return true
		}
		return false
	})
	_, err := f.client.Pull(t.Context(), f.ref)
	if seen := evilShown(); !errors.Is(err, ErrUnauthorized) || len(seen) > 0 {
		t.Errorf("%q was shown, %v", seen, err)
	}
}

// TestUploadElsewhere: a registry that wants the content sent to another host does not get it there.
func TestUploadElsewhere(t *testing.T) {
	evil, shown := other(t, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	f := startFar(t, map[string]string{"evil.example.com": "203.0.113.66"}, map[string]string{"203.0.113.66:443": evil}, Options{})
	f.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "https://evil.example.com/upload")
			w.WriteHeader(http.StatusAccepted)
		default:
			return false
		}
		return true
	})
	r := f.ref
	r.Tag = "2.0.0"
	_, err := f.client.Push(t.Context(), r, Artifact{Wasm: plugin(t, "x", "2.0.0")})
	if seen := shown(); err == nil || len(seen) > 0 {
		t.Errorf("%q was shown, %v", seen, err)
	}
}

func TestTLS(t *testing.T) {
	f := startFar(t, nil, nil, Options{})
	if _, err := f.client.Pull(t.Context(), f.ref); err != nil {
		t.Error(err)
	}
	direct := f.served.ref(t, "team/x:1.0.0")
	strict := HostOptions{CAFile: f.client.options.CAFile}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"with the certificate":   {Options{Hosts: map[string]HostOptions{f.host(): strict}}, ""},
		"a file that is missing": {Options{Hosts: map[string]HostOptions{f.host(): {CAFile: "/nowhere.pem"}}}, "reading the certificates"},
		"a file without any":     {Options{HostOptions: HostOptions{CAFile: emptyFile(t)}}, "no certificate in PEM"},
	} {
		_, err := client(t, c.o).Pull(t.Context(), direct)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.client.options.CAFile = ""
	f.client.Close()
	if _, err := f.client.Pull(t.Context(), f.ref); err == nil || errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func emptyFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPlainHTTP: without TLS only where it is asked for.
func TestPlainHTTP(t *testing.T) {
	s, _, _ := published(t)
	servers := map[string]string{publicIP + ":443": s.host(), publicIP + ":80": s.host()}
	names := map[string]string{"example.com": publicIP}
	r := parse(t, "example.com/team/x:1.0.0")
	c := client(t, Options{})
	elsewhere(c, names, servers)
	if _, err := c.Pull(t.Context(), r); !errors.Is(err, ErrPlainHTTP) {
		t.Errorf("%v", err)
	}
	for _, o := range []Options{{PlainHTTP: []string{"example.com"}}, {HostOptions: HostOptions{PlainHTTP: true}}} {
		c = client(t, o)
		elsewhere(c, names, servers)
		if _, err := c.Pull(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
}

// TestTokens: one token serves a whole pull, and a new one is asked for when it is refused.
func TestTokens(t *testing.T) {
	given := 0
	address, shown := other(t, true, func(w http.ResponseWriter, _ *http.Request) {
		given++
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "good"})
	})
	f := startFar(t, map[string]string{"auth.example.com": "203.0.113.9"}, map[string]string{"203.0.113.9:443": address}, Options{})
	f.challenges("https://auth.example.com/token")
	for range 2 {
		if _, err := f.client.Pull(t.Context(), f.ref); err != nil {
			t.Fatal(err)
		}
	}
	r := f.ref
	r.Tag = "2.0.0"
	if _, err := f.client.Push(t.Context(), r, Artifact{Wasm: plugin(t, "x", "2.0.0")}); err != nil {
		t.Fatal(err)
	}
	if seen := shown(); given != 2 || len(seen) != 2 {
		t.Errorf("%d tokens, %q", given, seen)
	}
}

// TestBodyIsSentAgain: a credential that runs out in the middle of a push is renewed, and the content sent with the new one.
func TestBodyIsSentAgain(t *testing.T) {
	f := startFar(t, nil, nil, Options{})
	refused := false
	f.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		late := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && !refused
		if late {
			refused = true
			f.client.mu.Lock()
			for _, s := range f.client.sessions {
				s.credentials = func(context.Context, string) (Credential, error) {
					return Credential{Username: "me", Password: "new"}, nil
				}
			}
			f.client.mu.Unlock()
		}
		if r.Header.Get("Authorization") == "" || late {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	r := f.ref
	r.Tag = "2.0.0"
	if _, err := f.client.Push(t.Context(), r, Artifact{Wasm: plugin(t, "x", "2.0.0")}); err != nil || !refused {
		t.Errorf("refused %v, %v", refused, err)
	}
}

func TestBadTokenAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON": "<html>", "empty": `{}`, "a header": `{"token":"a\r\nHost: b"}`, "endless": `{"token":"` + strings.Repeat("x", 2*maxToken),
	} {
		address, _ := other(t, true, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
		f := startFar(t, map[string]string{"auth.example.com": "203.0.113.9"}, map[string]string{"203.0.113.9:443": address}, Options{})
		f.challenges("https://auth.example.com/token")
		if _, err := f.client.Pull(t.Context(), f.ref); err == nil || !strings.Contains(err.Error(), "asking for a token") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestZones(t *testing.T) {
	for text, want := range map[string]zone{
		"8.8.8.8": public, "2606:4700::1": public, "10.0.0.1": private, "172.31.255.255": private, "172.32.0.1": public, "192.168.0.1": private,
		"100.64.0.1": private, "fd12::1": private, "127.9.9.9": loopback, "::1": loopback, "0.0.0.0": loopback, "::": loopback,
		"::ffff:10.0.0.1": private, "::ffff:127.0.0.1": loopback, "169.254.169.254": linkLocal, "fe80::1": linkLocal, "224.0.0.1": linkLocal,
		"ff02::1": linkLocal, "255.255.255.255": linkLocal, "64:ff9b::7f00:1": loopback, "64:ff9b::808:808": public,
	} {
		if got := zoneOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is in zone %d, want %d", text, got, want)
		}
	}
}

func TestChallenges(t *testing.T) {
	for header, want := range map[string]string{
		`Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"`: `[{"bearer":{"realm":"https://a/t","scope":"repository:x:pull,push","service":"s"}}]`,
		`Basic realm="a \"b\" c"`:                       `[{"basic":{"realm":"a \"b\" c"}}]`,
		`Negotiate, Basic realm=x , Bearer realm = "y"`: `[{"negotiate":{}},{"basic":{"realm":"x"}},{"bearer":{"realm":"y"}}]`,
		`realm="x"`:       `[]`,
		`Bearer realm="x`: `[{"bearer":{"realm":"x"}}]`,
		`(`:               `[]`,
		``:                `[]`,
	} {
		got := []map[string]map[string]string{}
		for _, c := range parseChallenges([]string{header}) {
			got = append(got, map[string]map[string]string{c.scheme: c.parameters})
		}
		if text, err := json.Marshal(got); err != nil || string(text) != want {
			t.Errorf("%s is %s, want %s", header, text, want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	for _, s := range []string{`Bearer realm="a",scope=b`, `Basic realm="\"`, "a=b,c d=e", ",,,", "x \"y\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range parseChallenges([]string{s}) {
			if c.scheme == "" || len(c.scheme) > len(s) {
				t.Errorf("%q gave %+v", s, c)
			}
		}
	})
}
