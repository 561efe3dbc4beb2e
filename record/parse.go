package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// ErrInvalid is wrapped by every error of Parse.
var ErrInvalid = errors.New("invalid record")

// wire is a record as AppendJSON writes it. Reading is off the hot path, so here reflection may do the work.
type wire struct {
	ID            string            `json:"id"`
	Time          time.Time         `json:"time"`
	KeyID         string            `json:"key_id"`
	Key           string            `json:"key"`
	Team          string            `json:"team"`
	ClientAddress string            `json:"client_address"`
	Format        string            `json:"format"`
	Operation     string            `json:"operation"`
	Model         string            `json:"model"`
	Chain         string            `json:"chain"`
	Stream        bool              `json:"stream"`
	Attempts      []wireAttempt     `json:"attempts"`
	Provider      string            `json:"provider"`
	ProviderModel string            `json:"provider_model"`
	Status        int               `json:"status"`
	Outcome       string            `json:"outcome"`
	Error         string            `json:"error"`
	Cause         string            `json:"cause"`
	Usage         map[string]int64  `json:"usage"`
	UsageSource   string            `json:"usage_source"`
	Cost          *int64            `json:"cost_nano_usd"`
	Breakdown     map[string]int64  `json:"breakdown_nano_usd"`
	Booked        int64             `json:"booked_nano_usd"`
	Overrun       bool              `json:"overrun"`
	Unbooked      bool              `json:"unbooked"`
	Malformed     int               `json:"malformed_events"`
	Policies      map[string]string `json:"policies"`
	FirstByte     microseconds      `json:"first_byte_us"`
	Duration      microseconds      `json:"duration_us"`
	Upstream      microseconds      `json:"upstream_us"`
}

type wireAttempt struct {
	Step     string       `json:"step"`
	Provider string       `json:"provider"`
	Model    string       `json:"model"`
	Reason   string       `json:"reason"`
	Class    string       `json:"class"`
	Status   int          `json:"status"`
	Error    string       `json:"error"`
	Reserved int64        `json:"reserved_nano_usd"`
	Cost     int64        `json:"cost_nano_usd"`
	Basis    string       `json:"basis"`
	Start    microseconds `json:"start_us"`
	Duration microseconds `json:"duration_us"`

	Credential int `json:"credential"`
}

// microseconds is a duration whose JSON form is a whole number of microseconds.
type microseconds time.Duration

func (m *microseconds) UnmarshalJSON(data []byte) error {
	var us int64
	if err := json.Unmarshal(data, &us); err != nil {
		return err
	}
	const largest = math.MaxInt64 / int64(time.Microsecond)
	if us > largest || us < -largest {
		return fmt.Errorf("%d microseconds are out of range", us)
	}
	*m = microseconds(time.Duration(us) * time.Microsecond)
	return nil
}

// Parse reads a record that AppendJSON wrote, by this version or a later one: members that it does not know are
// passed over. Names of outcomes, classes, dimensions and hooks that it does not know are errors, because a record
// without them would say something else.
func Parse(data []byte) (Record, error) {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r, err := w.record()
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return r, nil
}

func (w *wire) record() (Record, error) {
	if w.ID == "" {
		return Record{}, errors.New("it has no id")
	}
	if year := w.Time.UTC().Year(); year < 0 || year > 9999 {
		return Record{}, fmt.Errorf("the year %d is out of range", year)
	}
	r := Record{
		ID: w.ID, Time: w.Time.UTC(), KeyID: w.KeyID, Key: w.Key, Team: w.Team, ClientAddress: w.ClientAddress,
		Format: w.Format, Operation: w.Operation, Model: w.Model, Chain: w.Chain, Stream: w.Stream,
		Provider: w.Provider, ProviderModel: w.ProviderModel, Status: w.Status, Error: w.Error, Cause: w.Cause,
		FirstByte: time.Duration(w.FirstByte), Duration: time.Duration(w.Duration), Upstream: time.Duration(w.Upstream),
		Booked: abi.NanoUSD(w.Booked), Overrun: w.Overrun, Unbooked: w.Unbooked, Malformed: w.Malformed,
	}
	var err, errSource, errAttempts error
	r.Outcome, err = lookUp("outcome", w.Outcome, NumOutcomes)
	r.UsageSource, errSource = lookUp("usage source", w.UsageSource, NumUsageSources)
	r.Attempts, errAttempts = attempts(w.Attempts)
	return r, errors.Join(err, errSource, errAttempts, w.figures(&r))
}

// figures fills in what is kept by name: usage, cost, policies.
func (w *wire) figures(r *Record) error {
	var errs []error
	for name, v := range w.Usage {
		d, err := lookUp("dimension", name, abi.NumDimensions)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.Usage[d] = v
	}
	if w.Cost != nil {
		r.Priced, r.Cost = true, abi.NanoUSD(*w.Cost)
		for name, v := range w.Breakdown {
			d, err := lookUp("dimension", name, abi.NumDimensions)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			r.Breakdown[d] = abi.NanoUSD(v)
		}
	}
	for name, policy := range w.Policies {
		h, err := lookUp("hook", name, abi.NumHooks)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.Policies[h] = policy
	}
	return errors.Join(errs...)
}

func attempts(from []wireAttempt) ([]Attempt, error) {
	if len(from) == 0 {
		return nil, nil
	}
	to := make([]Attempt, len(from))
	for i, a := range from {
		class, err := lookUp("error class", a.Class, abi.NumErrorClasses)
		if err != nil {
			return nil, fmt.Errorf("attempt %d: %w", i+1, err)
		}
		to[i] = Attempt{
			Step: a.Step, Provider: a.Provider, Model: a.Model, Credential: a.Credential, Reason: a.Reason,
			Class: class, Status: a.Status, Error: a.Error,
			Start: time.Duration(a.Start), Duration: time.Duration(a.Duration),
			Reserved: abi.NanoUSD(a.Reserved), Cost: abi.NanoUSD(a.Cost), Basis: a.Basis,
		}
	}
	return to, nil
}

// named is a closed set of values that are numbered from 0 and have names.
type named interface {
	~uint8 | ~int64
	String() string
}

// lookUp finds the value below end that has this name.
func lookUp[T named](what, name string, end T) (T, error) {
	for v := T(0); v < end; v++ {
		if v.String() == name {
			return v, nil
		}
	}
	return end, fmt.Errorf("unknown %s %q", what, name)
}
