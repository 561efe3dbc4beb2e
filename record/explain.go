package record

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sallyport-dev/sallyport/abi"
)

// Explain writes the record as a page for people at a terminal: what came of the request, whose it was, which policy
// decided what, every attempt on a time line, tokens, cost and time. Whatever a client or a provider had a hand in
// is stripped of control characters, which a terminal would obey.
func Explain(w io.Writer, r *Record) error {
	p := page{}
	p.headline(r)
	p.request(r)
	p.policies(r)
	p.attempts(r)
	p.tokens(r)
	p.money(r)
	p.times(r)
	_, err := w.Write(p.Bytes())
	return err
}

type page struct{ bytes.Buffer }

func (p *page) headline(r *Record) {
	fmt.Fprintf(p, "%s\n%s · status %d · %s\n", Printable(r.ID), outcomeSentence(r.Outcome), r.Status, span(r.Duration))
	if r.Error != "" {
		fmt.Fprintf(p, "%s", Printable(r.Error))
		if r.Cause != "" {
			fmt.Fprintf(p, ": %s", Printable(r.Cause))
		}
		p.WriteByte('\n')
	}
	p.WriteByte('\n')
}

func outcomeSentence(o Outcome) string {
	switch o {
	case Served:
		return "Served"
	case Refused:
		return "Refused by the gateway"
	case UpstreamError:
		return "No provider answered"
	case Interrupted:
		return "Interrupted by the provider"
	case ClientGone:
		return "The client left"
	case Broken:
		return "Failed inside the gateway"
	default:
		return "Ended"
	}
}

func (p *page) request(r *Record) {
	asked := list(quoteless(r.Model, "no model"), r.Format+" "+r.Operation)
	if r.Chain != r.Model {
		asked = list(asked, "resolved to "+quoteless(r.Chain, "nothing"))
	}
	if r.Stream {
		asked = list(asked, "streamed")
	}
	by := "nobody known"
	if r.KeyID != "" {
		by = fmt.Sprintf("%s (%s)", Printable(r.Key), Printable(r.KeyID))
	}
	if r.Team != "" {
		by = list(by, "team "+Printable(r.Team))
	}
	rows := [][]string{
		{"asked for", asked},
		{"by", by},
		{"from", quoteless(r.ClientAddress, "an unknown address")},
		{"at", r.Time.UTC().Format("2006-01-02 15:04:05.000 UTC")},
	}
	if r.Provider != "" {
		rows = append(rows, []string{"answered by", list(Printable(r.Provider), "model "+quoteless(r.ProviderModel, "unknown"))})
	}
	p.table(rows)
}

func (p *page) policies(r *Record) {
	p.WriteString("\nDecided by\n")
	rows := make([][]string, 0, abi.NumHooks)
	for h, policy := range r.Policies {
		rows = append(rows, []string{abi.Hook(h).String(), quoteless(policy, "no policy")})
	}
	p.table(rows)
}

func (p *page) attempts(r *Record) {
	if len(r.Attempts) == 0 {
		return
	}
	p.WriteString("\nAttempts\n")
	rows := make([][]string, len(r.Attempts))
	for i := range r.Attempts {
		a := &r.Attempts[i]
		rows[i] = []string{
			strconv.Itoa(i + 1), Printable(a.Step), Printable(a.Provider), attemptOutcome(a),
			alignRight + "+" + span(a.Start), alignRight + span(a.Duration), bar(a.Start, a.Duration, r.Duration),
		}
	}
	p.table(rows)
}

func attemptOutcome(a *Attempt) string {
	what := "answered"
	if a.Class != abi.NoError {
		what = strings.ReplaceAll(a.Class.String(), "_", " ")
	}
	if a.Status != 0 {
		what += " " + strconv.Itoa(a.Status)
	}
	if a.Error != "" {
		what += ": " + Printable(a.Error)
	}
	if a.Credential > 0 {
		what = list(what, "credential "+strconv.Itoa(a.Credential+1))
	}
	if a.Reason != "" {
		what = list(what, "chosen as "+Printable(a.Reason))
	}
	return what
}

func (p *page) tokens(r *Record) {
	if r.Usage == (abi.Usage{}) && !r.Priced {
		return
	}
	fmt.Fprintf(p, "\nUsage, %s\n", sourceSentence(r.UsageSource))
	var rows [][]string
	for d := range abi.NumDimensions {
		if r.Usage[d] == 0 && r.Breakdown[d] == 0 {
			continue
		}
		row := []string{strings.ReplaceAll(d.String(), "_", " "), alignRight + Grouped(r.Usage[d])}
		if r.Breakdown[d] != 0 {
			row = append(row, alignPoint+r.Breakdown[d].String())
		}
		rows = append(rows, row)
	}
	cost := "unknown"
	if r.Priced {
		cost = alignPoint + r.Cost.String()
	}
	p.table(append(rows, []string{"cost", "", cost}))
}

// money tells what the ledger held and booked for each attempt.
func (p *page) money(r *Record) {
	var rows [][]string
	for i := range r.Attempts {
		if a := &r.Attempts[i]; a.Basis != "" {
			rows = append(rows, []string{
				"attempt " + strconv.Itoa(i+1), "reserved", alignPoint + a.Reserved.String(), "booked", alignPoint + a.Cost.String(), Printable(a.Basis),
			})
		}
	}
	if len(rows) == 0 && !r.Overrun && !r.Unbooked {
		return
	}
	p.WriteString("\nLedger\n")
	p.table(rows)
	if r.Overrun {
		p.WriteString("  An attempt cost more than was reserved for it.\n")
	}
	if r.Unbooked {
		p.WriteString("  An attempt passed unbooked: the ledger could not be written.\n")
	}
}

func sourceSentence(s UsageSource) string {
	switch s {
	case Authoritative:
		return "as the provider counted it"
	case UsageUntilCut:
		return "of what was relayed before the answer was cut"
	case Estimated:
		return "estimated: the provider did not report it"
	default:
		return "not reported by the provider"
	}
}

func (p *page) times(r *Record) {
	p.WriteString("\nTime\n")
	first := "none was sent"
	if r.FirstByte != 0 {
		first = span(r.FirstByte)
	}
	p.table([][]string{
		{"first byte", alignRight + first},
		{"providers", alignRight + span(r.Upstream)},
		{"gateway and client", alignRight + span(r.Duration-r.Upstream)},
		{"in all", alignRight + span(r.Duration)},
	})
}

// Printable replaces what a terminal could obey: control characters, and the invisible ones that reorder text.
func Printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

// quoteless returns the cleaned text, or what to say if there is none.
func quoteless(s, none string) string {
	if s == "" {
		return none
	}
	return Printable(s)
}

func list(a, b string) string { return a + ", " + b }

// span writes a duration with three significant digits: "840 µs", "3.25 ms", "12.8 s", "2m5s".
func span(d time.Duration) string {
	d = max(d, 0)
	digit := time.Duration(1) // what the third significant digit stands for
	for d >= 1000*digit {
		digit *= 10
	}
	d = d.Round(digit)
	unit, name := time.Microsecond, "µs"
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		unit, name = time.Second, "s"
	case d >= time.Millisecond:
		unit, name = time.Millisecond, "ms"
	}
	return strconv.FormatFloat(float64(d)/float64(unit), 'f', -1, 64) + " " + name
}

// Grouped writes a number with a comma before every three digits.
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
