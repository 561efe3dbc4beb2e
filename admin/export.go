package admin

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
)

// Formats of an export.
const (
	JSONL = "jsonl" // one JSON object a line
	CSV   = "csv"   // RFC 4180, with a line of names
)

// attempt is one attempt of an export.
//
//	{"request_id":"req_…","attempt":1,"time":"2026-11-21T08:15:30.5Z","settled":"2026-11-21T08:15:31Z","key":"ci",
//	 "key_id":"key_…","team":"research","model":"coding","provider":"deepseek","provider_model":"deepseek-v4-flash",
//	 "state":"settled","basis":"authoritative","flags":[],"reserved_nano_usd":9000,"cost_nano_usd":4100,
//	 "usage":{"input":12,"output":7,"requests":1}}
type attempt struct {
	RequestID     string           `json:"request_id"`
	Attempt       int              `json:"attempt"`
	Time          time.Time        `json:"time"`
	Settled       *time.Time       `json:"settled,omitempty"` // absent while open
	Key           string           `json:"key"`
	KeyID         string           `json:"key_id"`
	Team          string           `json:"team"`
	Model         string           `json:"model"`
	Provider      string           `json:"provider"`
	ProviderModel string           `json:"provider_model"`
	State         string           `json:"state"`
	Basis         string           `json:"basis"`
	Flags         []string         `json:"flags"`
	Reserved      abi.NanoUSD      `json:"reserved_nano_usd"`
	Cost          abi.NanoUSD      `json:"cost_nano_usd"`
	Usage         map[string]int64 `json:"usage"`
}

func showEntry(e *ledger.Entry) attempt {
	return attempt{
		RequestID: e.ID, Attempt: e.Attempt, Time: e.Time.UTC(), Settled: timeOrNil(e.Settled.UTC()),
		Key: e.Key, KeyID: e.KeyID, Team: e.Team, Model: e.Model, Provider: e.Provider, ProviderModel: e.ProviderModel,
		State: e.State.String(), Basis: e.Basis.String(), Flags: append([]string{}, e.Flags.Names()...),
		Reserved: e.Reserved, Cost: e.Cost, Usage: figures(&e.Usage),
	}
}

// entry is the way back from showEntry. A name that this version does not know is an error.
func (a *attempt) entry() (ledger.Entry, error) {
	usage, err := readFigures(a.Usage)
	if err != nil {
		return ledger.Entry{}, err
	}
	e := ledger.Entry{
		ID: a.RequestID, Attempt: a.Attempt, Time: a.Time, Settled: timeOrZero(a.Settled),
		Key: a.Key, KeyID: a.KeyID, Team: a.Team, Model: a.Model, Provider: a.Provider, ProviderModel: a.ProviderModel,
		Reserved: a.Reserved, Cost: a.Cost, Usage: usage,
	}
	for e.State.String() != a.State {
		if e.State++; e.State.String() == "unknown" {
			return ledger.Entry{}, fmt.Errorf("the attempt has the unknown state %q", a.State)
		}
	}
	for e.Basis.String() != a.Basis {
		if e.Basis++; e.Basis.String() == "unknown" {
			return ledger.Entry{}, fmt.Errorf("the attempt has the unknown basis %q", a.Basis)
		}
	}
	for _, name := range a.Flags {
		flag, err := parseFlag(name)
		if err != nil {
			return ledger.Entry{}, err
		}
		e.Flags |= flag
	}
	return e, nil
}

func parseFlag(name string) (ledger.Flags, error) {
	for flag := ledger.Flags(1); flag != 0; flag <<= 1 {
		if names := flag.Names(); len(names) == 1 && names[0] == name {
			return flag, nil
		}
	}
	return 0, fmt.Errorf("the attempt has the unknown flag %q", name)
}

// EntryWriter writes attempts in one of the formats of an export.
type EntryWriter struct {
	buffer *bufio.Writer
	json   *json.Encoder
	csv    *csv.Writer // nil where JSONL is written
}

// exportBuffer is how much of an export is held back to be written at once.
const exportBuffer = 32 << 10

// NewEntryWriter returns a writer of JSONL or CSV. What it holds back is written by Flush.
func NewEntryWriter(w io.Writer, format string) (*EntryWriter, error) {
	e := &EntryWriter{buffer: bufio.NewWriterSize(w, exportBuffer)}
	switch format {
	case JSONL:
		e.json = json.NewEncoder(e.buffer)
		e.json.SetEscapeHTML(false)
		return e, nil
	case CSV:
		e.csv = csv.NewWriter(e.buffer)
		return e, e.csv.Write(csvNames())
	}
	return nil, fmt.Errorf("%w: the format must be %s or %s, not %q", ErrQuery, JSONL, CSV, format)
}

// Write writes one attempt.
func (e *EntryWriter) Write(entry *ledger.Entry) error {
	a := showEntry(entry)
	if e.csv == nil {
		return e.json.Encode(&a)
	}
	return e.csv.Write(a.cells())
}

// Flush writes what was held back.
func (e *EntryWriter) Flush() error {
	if e.csv != nil {
		e.csv.Flush()
		if err := e.csv.Error(); err != nil {
			return err
		}
	}
	return e.buffer.Flush()
}

func csvNames() []string {
	names := []string{
		"request_id", "attempt", "time", "settled", "key", "key_id", "team", "model", "provider", "provider_model",
		"state", "basis", "flags", "reserved_nano_usd", "cost_nano_usd",
	}
	for d := range abi.NumDimensions {
		names = append(names, "usage_"+d.String())
	}
	return names
}

// cells are the attempt in the order of csvNames.
func (a *attempt) cells() []string {
	settled := ""
	if a.Settled != nil {
		settled = a.Settled.Format(time.RFC3339Nano)
	}
	cells := []string{
		a.RequestID, strconv.Itoa(a.Attempt), a.Time.Format(time.RFC3339Nano), settled,
		Inert(a.Key), Inert(a.KeyID), Inert(a.Team), Inert(a.Model), Inert(a.Provider), Inert(a.ProviderModel),
		a.State, a.Basis, strings.Join(a.Flags, " "),
		strconv.FormatInt(int64(a.Reserved), 10), strconv.FormatInt(int64(a.Cost), 10),
	}
	for d := range abi.NumDimensions {
		cells = append(cells, strconv.FormatInt(a.Usage[d.String()], 10))
	}
	return cells
}

// Inert returns the text of a CSV cell that no spreadsheet takes for a formula: one that could be begins with an
// apostrophe. The names of keys that policies make up may come from anywhere.
func Inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// ReadEntries calls f for every attempt of a JSONL export. The Entry is f's only during the call.
func ReadEntries(r io.Reader, f func(*ledger.Entry) error) error {
	d := json.NewDecoder(r)
	for {
		var a attempt
		if err := d.Decode(&a); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the export: %w", err)
		}
		e, err := a.entry()
		if err != nil {
			return fmt.Errorf("reading the export: %w", err)
		}
		if err := f(&e); err != nil {
			return err
		}
	}
}

// ParseFrom reads the beginning of a span: a day (2026-11-21, from midnight UTC) or a time (RFC 3339). "" is none.
func ParseFrom(text string) (time.Time, error) {
	t, _, err := parseMoment(text)
	return t, err
}

// ParseTo reads the end of a span: a day, which is included, or a time, which is not. "" is none.
func ParseTo(text string) (time.Time, error) {
	t, day, err := parseMoment(text)
	if day {
		t = t.AddDate(0, 0, 1)
	}
	return t, err
}

func parseMoment(text string) (t time.Time, day bool, err error) {
	if text == "" {
		return time.Time{}, false, nil
	}
	if t, err = time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	if t, err = time.Parse(time.RFC3339Nano, text); err == nil {
		return t, false, nil
	}
	return time.Time{}, false, fmt.Errorf("%w: %q is neither a day (2026-11-21) nor a time (2026-11-21T12:00:00Z)", ErrQuery, text)
}

func (a *api) exportLedger(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	format := query.Get("format")
	if format == "" {
		format = JSONL
	}
	from, err := ParseFrom(query.Get("from"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	to, err := ParseTo(query.Get("to"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	media := map[string]string{JSONL: "application/jsonl", CSV: "text/csv; charset=utf-8"}[format]
	a.stream(w, r, media, "sallyport-ledger."+format, func(out io.Writer) error {
		entries, err := NewEntryWriter(out, format)
		if err != nil {
			return err
		}
		if err := a.Books.Export(r.Context(), from, to, entries.Write); err != nil {
			return err
		}
		return entries.Flush()
	})
}
