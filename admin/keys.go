package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// Keys is the keys of this gateway. It is served by the API, and answered by its client. Keys are found by their id,
// or by their name. Those of the configuration file are among them, but cannot be changed: ErrReadOnly.
type Keys interface {
	// Issue makes and stores a key, and returns its secret, which nobody can learn again.
	Issue(ctx context.Context, wish identity.Wish) (identity.Key, string, error)
	// Keys lists keys in the order of their ids; those of the file come first.
	Keys(ctx context.Context, q identity.Query) ([]identity.Key, error)
	// Key returns one key.
	Key(ctx context.Context, idOrName string) (identity.Key, error)
	// ChangeKey changes a key. Like the next two, it is in effect when it returns.
	ChangeKey(ctx context.Context, idOrName string, change *KeyChange) (identity.Key, error)
	// SetKeyState disables, enables or revokes a key. A revoked one stays so: identity.ErrKeys.
	SetKeyState(ctx context.Context, idOrName string, state abi.KeyState) (identity.Key, error)
	// RotateKey gives a key a new secret, and returns it. The one before works for the grace period.
	RotateKey(ctx context.Context, idOrName string, grace time.Duration) (identity.Key, string, error)
}

// Key is a key as the API and `--json` show it. It has no secret.
type Key struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	State        string `json:"state"` // active, disabled, expired or revoked
	Source       string `json:"source"`
	Prefix       string `json:"prefix,omitempty"`
	Hint         string `json:"hint,omitempty"` // the secret's last four characters
	Team         string `json:"team,omitempty"`
	DefaultModel string `json:"default_model,omitempty"` // for requests that name none
	Terms
	Expires   *time.Time `json:"expires,omitempty"`
	Created   *time.Time `json:"created,omitempty"`
	Rotated   *time.Time `json:"rotated,omitempty"`
	GraceEnds *time.Time `json:"grace_ends,omitempty"` // until when the secret before the present one works
}

// IssuedKey is a key with its new secret, which is shown this once.
type IssuedKey struct {
	Key
	Secret string `json:"key"`
}

// Where a key or a team was made.
const (
	sourceFile   = "file"
	sourceStored = "stored"
)

// ShowKey makes a key presentable, in the state that it has now.
func ShowKey(k *identity.Key, now time.Time) Key {
	source := sourceStored
	if strings.HasPrefix(k.ID, identity.FileKeyID("")) {
		source = sourceFile
	}
	t := terms{k.Models, k.Labels, k.Limits, k.Budgets}
	return Key{
		ID: k.ID, Name: k.Name, State: k.StateAt(now), Source: source, Prefix: k.Prefix, Hint: k.Hint,
		Team: k.Team, DefaultModel: k.DefaultModel, Terms: t.show(), Expires: timeOrNil(k.Expires),
		Created: timeOrNil(k.Created), Rotated: timeOrNil(k.Rotated), GraceEnds: timeOrNil(k.GraceEnds),
	}
}

// key is the way back from ShowKey.
func (k *Key) key() (identity.Key, error) {
	t, err := k.terms()
	return identity.Key{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Hint: k.Hint, Team: k.Team, DefaultModel: k.DefaultModel,
		Models: t.models, Labels: t.labels, Limits: t.limits, Budgets: t.budgets, State: parseState(k.State),
		Expires: timeOrZero(k.Expires), Created: timeOrZero(k.Created),
		Rotated: timeOrZero(k.Rotated), GraceEnds: timeOrZero(k.GraceEnds),
	}, err
}

// parseState finds a state by its name. An expired key is an active one whose time is over.
func parseState(name string) abi.KeyState {
	for _, state := range []abi.KeyState{abi.KeyDisabled, abi.KeyRevoked} {
		if state.String() == name {
			return state
		}
	}
	return abi.KeyActive
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// keyWish is the body of a request for a key.
type keyWish struct {
	Name         string     `json:"name"`
	Prefix       string     `json:"prefix,omitempty"`
	Team         string     `json:"team,omitempty"`
	DefaultModel string     `json:"default_model,omitempty"`
	Expires      *time.Time `json:"expires,omitempty"`
	Terms
}

func showWish(w *identity.Wish) keyWish {
	t := terms{w.Models, w.Labels, w.Limits, w.Budgets}
	return keyWish{
		Name: w.Name, Prefix: w.Prefix, Team: w.Team, DefaultModel: w.DefaultModel,
		Expires: timeOrNil(w.Expires), Terms: t.show(),
	}
}

func (w *keyWish) wish() (identity.Wish, error) {
	t, err := w.terms()
	return identity.Wish{
		Name: w.Name, Prefix: w.Prefix, Team: w.Team, DefaultModel: w.DefaultModel, Expires: timeOrZero(w.Expires),
		Models: t.models, Labels: t.labels, Limits: t.limits, Budgets: t.budgets,
	}, err
}

// KeyChange changes a key, as a JSON merge patch (RFC 7396) does.
type KeyChange struct {
	Team         Change[string]    `json:"team,omitzero"`
	DefaultModel Change[string]    `json:"default_model,omitzero"`
	Expires      Change[time.Time] `json:"expires,omitzero"`
	TermsChange
}

// Apply puts the change into effect. Errors wrap identity.ErrWish. What Apply does not check: whether the team and
// the models exist, and the bounds of what a key may hold.
func (c *KeyChange) Apply(k *identity.Key) error {
	t := terms{k.Models, k.Labels, k.Limits, k.Budgets}
	if err := c.apply(&t); err != nil {
		return err
	}
	c.Team.apply(&k.Team)
	c.DefaultModel.apply(&k.DefaultModel)
	c.Expires.apply(&k.Expires)
	k.Models, k.Labels, k.Limits, k.Budgets = t.models, t.labels, t.limits, t.budgets
	return nil
}

// keyList is a page of a listing.
type keyList struct {
	Keys []Key  `json:"keys"`
	Next string `json:"next,omitempty"` // what after has to be for the next page; absent at the end
}

func (a *api) listKeys(w http.ResponseWriter, r *http.Request) {
	p, ok := readPage(w, r)
	if !ok {
		return
	}
	keys, err := a.Keys.Keys(r.Context(), identity.Query{Team: r.URL.Query().Get("team"), After: p.after, Limit: p.limit + 1})
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := keyList{Keys: make([]Key, 0, len(keys))}
	if len(keys) > p.limit {
		keys = keys[:p.limit]
		list.Next = keys[p.limit-1].ID
	}
	for i := range keys {
		list.Keys = append(list.Keys, ShowKey(&keys[i], a.Now()))
	}
	reply(w, http.StatusOK, list)
}

func (a *api) issueKey(w http.ResponseWriter, r *http.Request) {
	var body keyWish
	if !decode(w, r, &body) {
		return
	}
	want, err := body.wish()
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	key, secret, err := a.Keys.Issue(r.Context(), want)
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("key made", "id", key.ID, "name", key.Name, "team", key.Team)
	reply(w, http.StatusCreated, IssuedKey{ShowKey(&key, a.Now()), secret})
}

func (a *api) showKey(w http.ResponseWriter, r *http.Request) {
	key, err := a.Keys.Key(r.Context(), r.PathValue("key"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	reply(w, http.StatusOK, ShowKey(&key, a.Now()))
}

func (a *api) changeKey(w http.ResponseWriter, r *http.Request) {
	var change KeyChange
	if !decode(w, r, &change) {
		return
	}
	key, err := a.Keys.ChangeKey(r.Context(), r.PathValue("key"), &change)
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("key changed", "id", key.ID, "name", key.Name)
	reply(w, http.StatusOK, ShowKey(&key, a.Now()))
}

// setKeyState returns the handler that gives a key this state.
func (a *api) setKeyState(state abi.KeyState) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, err := a.Keys.SetKeyState(r.Context(), r.PathValue("key"), state)
		if err != nil {
			a.failWith(w, r, err)
			return
		}
		a.Log.Info("key's state set", "id", key.ID, "name", key.Name, "state", state.String())
		reply(w, http.StatusOK, ShowKey(&key, a.Now()))
	}
}

// DefaultGrace is how long the secret before works after a rotation that does not say.
const DefaultGrace = 24 * time.Hour

// rotation is the body of a request for a new secret.
type rotation struct {
	Grace string `json:"grace,omitempty"` // such as "24h"; "0s": the secret before is refused at once
}

func (a *api) rotateKey(w http.ResponseWriter, r *http.Request) {
	body := rotation{Grace: DefaultGrace.String()}
	if r.ContentLength != 0 && !decode(w, r, &body) {
		return
	}
	grace, err := time.ParseDuration(body.Grace)
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_key", "grace must be a duration such as 24h or 30m")
		return
	}
	key, secret, err := a.Keys.RotateKey(r.Context(), r.PathValue("key"), grace)
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("key rotated", "id", key.ID, "name", key.Name, "grace_ends", key.GraceEnds)
	reply(w, http.StatusOK, IssuedKey{ShowKey(&key, a.Now()), secret})
}
