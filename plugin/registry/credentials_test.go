package registry

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

func dockerConfig(auths string) string { return `{"auths":{` + auths + `}}` }

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

func TestDefaultCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv(EnvHost, "env.example")
	t.Setenv(EnvUsername, "env-user")
	t.Setenv(EnvPassword, "env-password")
	t.Setenv(EnvToken, "")
	t.Setenv(EnvDocker, dockerConfig(`"ci.example":{"auth":"`+basic("ci-user", "ci-password")+`"}`))
	helper := filepath.Join(dir, "docker-credential-test")
	script := "#!/bin/sh\nread host\necho '{\"ServerURL\":\"'$host'\",\"Username\":\"helped\",\"Secret\":\"by '$host'\"}'\n"
	if err := os.WriteFile(helper, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	config := `{"auths":{"file.example:5000":{"auth":"` + basic("file-user", "file-password") + `"},"token.example":{"identitytoken":"refresh","auth":"` +
		basic("<token>", "") + `"},"https://index.docker.io/v1/":{"auth":"` + basic("hub", "pw") + `"}},"credHelpers":{"helper.example":"test"}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]Credential{
		"env.example":          {Username: "env-user", Password: "env-password"},
		"ci.example":           {Username: "ci-user", Password: "ci-password"},
		"file.example:5000":    {Username: "file-user", Password: "file-password"},
		"file.example":         {},
		"other.example":        {},
		"helper.example":       {Username: "helped", Password: "by helper.example"},
		"registry-1.docker.io": {Username: "hub", Password: "pw"},
	} {
		got, err := DefaultCredentials(t.Context(), host)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", host, got, err)
		}
	}
	if got, err := DefaultCredentials(t.Context(), "token.example"); err != nil || got.RefreshToken != "refresh" {
		t.Errorf("%+v, %v", got, err)
	}
	t.Setenv(EnvHost, "")
	if got, err := DefaultCredentials(t.Context(), ""); err != nil || got != (Credential{}) {
		t.Errorf("a host without a name gets %+v, %v", got, err)
	}
	t.Setenv(EnvDocker, "{")
	if got, err := DefaultCredentials(t.Context(), "ci.example"); err == nil {
		t.Errorf("%+v", got)
	}
}
