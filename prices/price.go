package prices

import (
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// terms reads a price: one entry, or a list of entries of which all but the first have a date.
func (r *reader) terms(value []byte) (t Terms) {
	if value[0] != '[' {
		t.Entries = []Entry{r.entry(value)}
	} else {
		r.list(value, func(value []byte) { t.Entries = append(t.Entries, r.entry(value)) })
	}
	return t
}

func (r *reader) entry(value []byte) (e Entry) {
	r.object(value, func(name string, value []byte) bool {
		switch name {
		case "from":
			e.From = r.date(value)
		case "windows":
			r.list(value, func(value []byte) { e.Windows = append(e.Windows, r.window(value)) })
		default:
			return r.rate(&e.Rates, name, value)
		}
		return true
	})
	return e
}

// rate reads one field of rates. It returns false if it has another name.
func (r *reader) rate(rates *Rates, name string, value []byte) bool {
	if name != "tiers" {
		return r.price(&rates.Prices, name, value)
	}
	r.list(value, func(value []byte) {
		var t Tier
		r.object(value, func(name string, value []byte) bool {
			if name != "above" {
				return r.price(&t.Prices, name, value)
			}
			t.Above = r.integer(value)
			return true
		})
		rates.Tiers = append(rates.Tiers, t)
	})
	return true
}

// price reads the price of a dimension. It returns false if the name is none.
func (r *reader) price(p *Prices, name string, value []byte) bool {
	d := slices.Index(fields[:], name)
	if d < 0 {
		return false
	}
	price, err := parsePrice(string(value))
	if err != nil {
		r.fail("%v", err)
	}
	p.Set(abi.Dimension(d), price)
	return true
}

func (r *reader) window(value []byte) (w Window) {
	from, to := false, false
	r.object(value, func(name string, value []byte) bool {
		switch name {
		case "from":
			w.From, from = r.clock(value), true
		case "to":
			w.To, to = r.clock(value), true
		case "timezone":
			w.Location = r.location(value)
		case "days":
			r.list(value, func(value []byte) { w.Days = append(w.Days, r.weekday(value)) })
		default:
			return r.rate(&w.Rates, name, value)
		}
		return true
	})
	if !from || !to {
		r.fail("must say from and to")
	}
	return w
}

// date reads a day, which begins at midnight UTC.
func (r *reader) date(value []byte) time.Time {
	s := r.text(value)
	t, err := time.Parse(time.DateOnly, s)
	if err != nil && s != "" {
		r.fail("must be a date such as 2026-01-31")
	}
	return t
}

// clock reads a time of the day.
func (r *reader) clock(value []byte) time.Duration {
	s := r.text(value)
	if s == "24:00" {
		return day
	}
	t, err := time.Parse("15:04", s)
	if s != "" && (err != nil || len(s) != len("15:04")) {
		r.fail("must be a time such as 16:30")
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

// location reads a time zone. That of the machine is refused: a price must not depend on where the gateway runs.
func (r *reader) location(value []byte) *time.Location {
	s := r.text(value)
	location, err := time.LoadLocation(s) // UTC for ""
	if err != nil || s == "Local" {
		r.fail("must be UTC or the name of a time zone such as Europe/Berlin")
		return time.UTC
	}
	return location
}

var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (r *reader) weekday(value []byte) time.Weekday {
	s := r.text(value)
	d := slices.Index(weekdays[:], s)
	if d < 0 && s != "" {
		r.fail("must be one of mon, tue, wed, thu, fri, sat, sun")
	}
	return time.Weekday(max(d, 0))
}
