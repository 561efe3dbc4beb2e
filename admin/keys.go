package admin

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// maxBody bounds the body of an API request.
const maxBody = 1 << 20

// Key is a key as the API and `--json` show it. It has no secret.
type Key struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	State   string     `json:"state"` // active, disabled or revoked
	Source  string     `json:"source"`
	Prefix  string     `json:"prefix,omitempty"`
	Hint    string     `json:"hint,omitempty"` // the secret's last four characters
	Team    string     `json:"team,omitempty"`
	Models  []string   `json:"models,omitempty"` // exact names and "prefix*"; none: all
	Expires *time.Time `json:"expires,omitempty"`
	Created *time.Time `json:"created,omitempty"`
}

// IssuedKey is a new key with its secret, which is shown this once.
type IssuedKey struct {
	Key
	Secret string `json:"key"`
}

// Where a key was made.
const (
	sourceFile   = "file"
	sourceStored = "stored"
)

// ShowKey makes a key presentable.
func ShowKey(k *identity.Key) Key {
	source := sourceStored
	if strings.HasPrefix(k.ID, identity.FileKeyID("")) {
		source = sourceFile
	}
	return Key{
		ID: k.ID, Name: k.Name, State: k.State.String(), Source: source, Prefix: k.Prefix, Hint: k.Hint,
		Team: k.Team, Models: k.Models, Expires: timeOrNil(k.Expires), Created: timeOrNil(k.Created),
	}
}

// key is the way back from ShowKey.
func (k *Key) key() identity.Key {
	key := identity.Key{ID: k.ID, Name: k.Name, Prefix: k.Prefix, Hint: k.Hint, Team: k.Team, Models: k.Models}
	if k.Expires != nil {
		key.Expires = *k.Expires
	}
	if k.Created != nil {
		key.Created = *k.Created
	}
	for state := abi.KeyActive; state.String() != "unknown"; state++ {
		if state.String() == k.State {
			key.State = state
		}
	}
	return key
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// wish is the body of a request for a key.
type wish struct {
	Name    string     `json:"name"`
	Team    string     `json:"team,omitempty"`
	Models  []string   `json:"models,omitempty"`
	Prefix  string     `json:"prefix,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
}

// keyList is the answer to a listing.
type keyList struct {
	Keys []Key `json:"keys"`
}

func (a *api) listKeys(w http.ResponseWriter, r *http.Request) {
	keys, err := a.Keys.Keys(r.Context())
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := keyList{Keys: make([]Key, 0, len(keys))}
	for i := range keys {
		list.Keys = append(list.Keys, ShowKey(&keys[i]))
	}
	reply(w, http.StatusOK, list)
}

func (a *api) issueKey(w http.ResponseWriter, r *http.Request) {
	var body wish
	if !decode(w, r, &body) {
		return
	}
	want := identity.Wish{Name: body.Name, Team: body.Team, Models: body.Models, Prefix: body.Prefix}
	if body.Expires != nil {
		want.Expires = *body.Expires
	}
	key, secret, err := a.Keys.Issue(r.Context(), want)
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("key made", "id", key.ID, "name", key.Name, "team", key.Team)
	reply(w, http.StatusCreated, IssuedKey{ShowKey(&key), secret})
}

func (a *api) revokeKey(w http.ResponseWriter, r *http.Request) {
	key, err := a.Keys.Revoke(r.Context(), r.PathValue("key"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("key revoked", "id", key.ID, "name", key.Name)
	reply(w, http.StatusOK, ShowKey(&key))
}

// decode reads a JSON body strictly; what is wrong with it is answered.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "Content-Type must be application/json")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		fail(w, http.StatusBadRequest, "invalid_json", err.Error())
		return false
	}
	if d.More() {
		fail(w, http.StatusBadRequest, "invalid_json", "the body goes on after its JSON document")
		return false
	}
	return true
}
