package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// maxToken bounds the answer of a token server.
const maxToken = 256 << 10

// session sends the requests about one repository, and shows the registry the credential that it asks for. It is what the
// oras library calls an authentication client; its own has no way to allow realms in a private network.
type session struct {
	http        *http.Client
	guard       *guard
	host        string // host:port of the registry
	name        string // as credentials are stored for
	credentials CredentialFunc
	userAgent   string

	mu    sync.Mutex
	shown map[bool]string // Authorization, by whether it is for writing
}

// Do sends a request. One that is answered by 401 is sent again with what the answer asks for.
func (s *session) Do(r *http.Request) (*http.Response, error) {
	writes := r.Method != http.MethodGet && r.Method != http.MethodHead
	first := s.prepare(r)
	if first.Header.Get("Authorization") == "" {
		s.mu.Lock()
		if header := s.shown[writes]; header != "" {
			first.Header.Set("Authorization", header)
		}
		s.mu.Unlock()
	}
	resp, err := s.http.Do(first)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || hostOf(resp.Request.URL) != s.host {
		return resp, err // what another host asks for after a redirect is not for it
	}
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return resp, nil
	}
	header, err := s.answer(r.Context(), parseChallenges(resp.Header.Values("WWW-Authenticate")))
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if header == "" || header == first.Header.Get("Authorization") {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxHeader) // so that the connection can be used again
	resp.Body.Close()
	second := s.prepare(r)
	if r.GetBody != nil {
		if second.Body, err = r.GetBody(); err != nil {
			return nil, fmt.Errorf("sending it again: %w", err)
		}
	}
	second.Header.Set("Authorization", header)
	resp, err = s.http.Do(second)
	if err == nil && resp.StatusCode != http.StatusUnauthorized {
		s.mu.Lock()
		s.shown[writes] = header
		s.mu.Unlock()
	}
	return resp, err
}

func (s *session) prepare(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", s.userAgent)
	return r
}

// answer makes the Authorization header that one of the challenges asks for. It is empty where we have nothing to show.
func (s *session) answer(ctx context.Context, challenges []challenge) (string, error) {
	credential, err := s.credentials(ctx, s.name)
	if err != nil {
		return "", err
	}
	for _, c := range challenges {
		switch {
		case c.scheme == "bearer" && credential.AccessToken != "":
			return "Bearer " + credential.AccessToken, nil
		case c.scheme == "bearer":
			token, err := s.token(ctx, c.parameters, credential)
			if err != nil {
				return "", fmt.Errorf("asking for a token: %w", err)
			}
			return "Bearer " + token, nil
		case c.scheme == "basic" && (credential.Username != "" || credential.Password != ""):
			r := http.Request{Header: http.Header{}}
			r.SetBasicAuth(credential.Username, credential.Password)
			return r.Header.Get("Authorization"), nil
		}
	}
	return "", nil
}

// token asks the server that the registry names. It is shown the credential of the registry, as the distribution
// specification has it, so it must be reached as safely as the registry.
func (s *session) token(ctx context.Context, asked map[string]string, credential Credential) (string, error) {
	realm, err := url.Parse(asked["realm"])
	if err != nil || realm.Host == "" || realm.User != nil {
		return "", fmt.Errorf("the registry names the realm %q, which is no address", asked["realm"])
	}
	if realm.Scheme != "https" && (realm.Scheme != "http" || !s.guard.options.PlainHTTP) {
		return "", fmt.Errorf("the realm %s://%s %w", realm.Scheme, realm.Host, ErrPlainHTTP)
	}
	r, err := tokenRequestFor(context.WithValue(ctx, tokenRequest{}, true), realm, asked, credential)
	if err != nil {
		return "", err
	}
	resp, err := s.http.Do(s.prepare(r))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", statusError(resp.StatusCode, realm.Host, "")
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", err
	}
	var got struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return "", fmt.Errorf("%s answers what is no token: %w", realm.Host, err)
	}
	if got.Token == "" {
		got.Token = got.AccessToken
	}
	if got.Token == "" || strings.ContainsAny(got.Token, "\r\n\x00") {
		return "", fmt.Errorf("%s answers without a token", realm.Host)
	}
	return got.Token, nil
}

func tokenRequestFor(ctx context.Context, realm *url.URL, asked map[string]string, credential Credential) (*http.Request, error) {
	scopes := strings.Fields(asked["scope"])
	if credential.RefreshToken != "" {
		form := url.Values{
			"grant_type": {"refresh_token"}, "service": {asked["service"]}, "client_id": {"sallyport"},
			"scope": {strings.Join(scopes, " ")}, "refresh_token": {credential.RefreshToken},
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return r, err
	}
	query := realm.Query()
	if asked["service"] != "" {
		query.Set("service", asked["service"])
	}
	for _, scope := range scopes {
		query.Add("scope", scope)
	}
	u := *realm
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && credential.Username != "" {
		r.SetBasicAuth(credential.Username, credential.Password)
	}
	return r, err
}

// challenge is one way in which a server wants to be shown a credential.
type challenge struct {
	scheme     string // small letters
	parameters map[string]string
}

// parseChallenges reads the header WWW-Authenticate, RFC 9110 section 11.6.1: schemes with parameters, all between commas.
// What it does not understand it leaves out.
func parseChallenges(headers []string) []challenge {
	var all []challenge
	for _, h := range headers {
		for rest := h; ; {
			rest = strings.TrimLeft(rest, " \t,")
			word := tokenPrefix(rest)
			if word == "" {
				break
			}
			rest = rest[len(word):]
			value, after, isParameter := parameterValue(rest)
			switch {
			case isParameter && len(all) > 0:
				all[len(all)-1].parameters[strings.ToLower(word)] = value
				rest = after
			case isParameter:
				rest = after
			default:
				all = append(all, challenge{scheme: strings.ToLower(word), parameters: map[string]string{}})
			}
		}
	}
	return all
}

func tokenPrefix(s string) string {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return s[:i]
		}
	}
	return s
}

// parameterValue reads what stands behind a parameter's name: an equals sign and a word, or a text in quotes.
func parameterValue(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	s, ok = strings.CutPrefix(s, "=")
	if !ok {
		return "", "", false
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " \t,")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), "", true
}
