// Command jwt is a policy that lets in who shows a JSON Web Token of the company's own login: the signature fits a key of
// the configuration, the token is for this gateway, and its time is not over. Everybody else is left to other policies.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
)

//go:wasmexport authenticate
func authenticate() int32 { return sallyport.Authenticate(admit) }

//go:wasmexport configure
func configure() int32 { return sallyport.Configure(apply) }

func main() {}

// settings is the configuration. An instance serves one call at a time, so that nothing has to be locked.
var settings struct {
	keys     keySet
	issuer   string
	audience string
	leeway   time.Duration
}

// apply checks the configuration: a gateway with a wrong one does not start.
func apply(config []byte) error {
	var c struct {
		JWKS          json.RawMessage `json:"jwks"`
		Issuer        string          `json:"issuer"`
		Audience      string          `json:"audience"`
		LeewaySeconds int64           `json:"leeway_seconds"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(config)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if c.Issuer == "" || c.Audience == "" {
		return errors.New("issuer and audience are required: a token for somebody else must not open this gateway")
	}
	if c.LeewaySeconds < 0 || c.LeewaySeconds > 300 {
		return errors.New("leeway_seconds has to be 0 to 300")
	}
	keys, err := parseKeys(c.JWKS)
	if err != nil {
		return fmt.Errorf("reading jwks: %w", err)
	}
	settings.keys, settings.issuer, settings.audience = keys, c.Issuer, c.Audience
	settings.leeway = time.Duration(c.LeewaySeconds) * time.Second
	return nil
}

func admit(a *sallyport.Authentication) sallyport.Verdict {
	credential, err := a.Credential()
	if err != nil {
		return sallyport.Fail(err)
	}
	token, ok := split(string(credential))
	if !ok {
		return sallyport.Pass // a key of the gateway's store, or nothing
	}
	claims, err := settings.keys.verify(token)
	if err == nil {
		err = claims.check(sallyport.Now())
	}
	if err != nil {
		sallyport.Log(sallyport.LogInfo, "a token was refused: "+err.Error())
		return a.DenyWithCode(401, "invalid_token", "The token was not accepted: "+reason(err)+".")
	}
	return a.AllowAs(sallyport.PolicyIdentity{
		ID:      claims.Subject,
		Name:    claims.Email,
		Team:    claims.Team,
		Models:  claims.Models,
		Expires: claims.expires().Add(settings.leeway),
	})
}

// claims is what a token says of its bearer.
type claims struct {
	Issuer    string   `json:"iss"`
	Audience  audience `json:"aud"`
	Subject   string   `json:"sub"`
	ExpiresAt float64  `json:"exp"` // seconds, which the standard lets have a fraction
	NotBefore float64  `json:"nbf"`
	Email     string   `json:"email"`
	Team      string   `json:"team"`
	Models    []string `json:"models"`
}

func (c *claims) expires() time.Time { return time.UnixMilli(int64(c.ExpiresAt * 1000)) }

// check holds the claims against the configuration and the time.
func (c *claims) check(now time.Time) error {
	switch {
	case c.Issuer != settings.issuer:
		return public("it was issued by somebody else")
	case !c.Audience.has(settings.audience):
		return public("it is not for this gateway")
	case c.Subject == "" || len(c.Subject) > maxSubject:
		return public("it names nobody, or at too great length")
	case c.ExpiresAt <= 0 || c.ExpiresAt > maxSeconds:
		return public("it has no end")
	case !now.Before(c.expires().Add(settings.leeway)):
		return public("it has expired")
	case c.NotBefore > 0 && now.Add(settings.leeway).UnixMilli() < int64(min(c.NotBefore, maxSeconds)*1000):
		return public("it is not valid yet")
	}
	return nil
}

// maxSubject is how long an identity's id may be.
const maxSubject = 128

// maxSeconds is in the year 9999.
const maxSeconds = 253_402_300_799

// audience is one name or a list of them.
type audience []string

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

func (a audience) has(name string) bool {
	for _, n := range a {
		if n == name {
			return true
		}
	}
	return false
}

// public is a reason that its bearer may know.
type public string

func (p public) Error() string { return string(p) }

// reason is what the client is told: why a signature does not fit is for the log alone.
func reason(err error) string {
	var p public
	if errors.As(err, &p) {
		return string(p)
	}
	return "its signature fits no key of this gateway"
}
