package registry

import (
	"context"
	"fmt"
	"os"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Credential is what a registry is shown. The zero value is none.
type Credential struct {
	Username, Password string
	RefreshToken       string // for the registry's token server; Docker calls it the identity token
	AccessToken        string // for the registry itself
}

// CredentialFunc returns what to show to a host, which is host or host:port.
type CredentialFunc func(ctx context.Context, host string) (Credential, error)

// The variables of the environment that hold a credential for one registry.
const (
	EnvHost     = "SALLYPORT_REGISTRY_HOST"
	EnvUsername = "SALLYPORT_REGISTRY_USERNAME"
	EnvPassword = "SALLYPORT_REGISTRY_PASSWORD" //nolint:gosec // the name of one
	EnvToken    = "SALLYPORT_REGISTRY_TOKEN"    // as AccessToken, instead of the two

	// EnvDocker holds the text of a Docker configuration, as GitLab's runners have it and, since its
	// version 28.3, Docker's command line (gitlab-org/gitlab-runner issue 38909).
	EnvDocker = "DOCKER_AUTH_CONFIG"
)

// DefaultCredentials looks into the environment, then into Docker's configuration and the helpers that it names. The
// environment says which host it means, so that no other one is shown its credential.
func DefaultCredentials(ctx context.Context, host string) (Credential, error) {
	if asked := os.Getenv(EnvHost); asked != "" && asked == host {
		return Credential{Username: os.Getenv(EnvUsername), Password: os.Getenv(EnvPassword), AccessToken: os.Getenv(EnvToken)}, nil
	}
	if text := os.Getenv(EnvDocker); text != "" {
		store, err := credentials.NewMemoryStoreFromDockerConfig([]byte(text))
		if err != nil {
			return Credential{}, fmt.Errorf("reading %s: %w", EnvDocker, err)
		}
		if found, err := fromStore(ctx, store, host); err != nil || found != (Credential{}) {
			return found, err
		}
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return Credential{}, fmt.Errorf("reading Docker's configuration: %w", err)
	}
	return fromStore(ctx, store, host)
}

func fromStore(ctx context.Context, store credentials.Store, host string) (Credential, error) {
	found, err := credentials.Credential(store)(ctx, host)
	if err != nil {
		return Credential{}, fmt.Errorf("reading Docker's credentials of %s: %w", host, err)
	}
	return ownCredential(found), nil
}

func ownCredential(c auth.Credential) Credential {
	return Credential{Username: c.Username, Password: c.Password, RefreshToken: c.RefreshToken, AccessToken: c.AccessToken}
}
