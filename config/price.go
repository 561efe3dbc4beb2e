package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/prices"
)

// unpriced is written for a model that has no price on purpose.
const unpriced = "none"

// price reads what a model costs: one price, or a list of prices that follow each other. It returns nil if it costs
// nothing that anybody knows.
func (v value) price() *prices.Tariff {
	if v.node.Kind == yaml.ScalarNode {
		if s, ok := v.text(); ok && s != unpriced {
			v.fail("must be a mapping of prices, a list of them, or %s", unpriced)
		}
		return nil
	}
	before := len(v.load.problems)
	var terms prices.Terms
	if v.node.Kind == yaml.SequenceNode {
		v.items(func(v value) { v.datedPrice(&terms) })
		if len(v.node.Content) == 0 {
			v.fail("has no price: take the field out for the catalogue's, or write %s", unpriced)
		}
	} else {
		var entry prices.Entry
		v.object(append(v.entryFields(&entry), optional("from", func(v value) {
			v.fail("is for a list of prices, each with the day on which it begins")
		})))
		terms.Entries = append(terms.Entries, entry)
	}
	if len(v.load.problems) > before {
		return nil
	}
	tariff, err := prices.New(terms, v.load.source())
	if err != nil {
		v.failAll("", err)
		return nil
	}
	return tariff
}

// datedPrice reads one price of a list. The first one is in force also before it begins, because nothing else is.
func (v value) datedPrice(terms *prices.Terms) {
	var entry prices.Entry
	first := len(terms.Entries) == 0
	v.object(append(v.entryFields(&entry), field{name: "from", required: !first, read: func(v value) {
		entry.From = v.moment()
		if !first && !entry.From.IsZero() && !entry.From.After(terms.Entries[len(terms.Entries)-1].From) {
			v.fail("must be later than the one before it")
		}
	}}))
	terms.Entries = append(terms.Entries, entry)
}

// entryFields are the fields of a price.
func (v value) entryFields(entry *prices.Entry) []field {
	return append(rateFields(&entry.Rates, true), optional("windows", func(v value) {
		v.items(func(v value) { entry.Windows = append(entry.Windows, v.window()) })
	}))
}

// rateFields are the fields of prices that may depend on the length of the prompt.
func rateFields(rates *prices.Rates, whole bool) []field {
	return append(dimensionFields(&rates.Prices, whole), optional("tiers", func(v value) {
		v.items(func(v value) { rates.Tiers = append(rates.Tiers, v.tier(rates.Tiers)) })
	}))
}

// dimensionFields are the fields of prices in US dollars per million units. In a whole price, input and output have to
// be stated, if only as 0: a price that was forgotten is not a gift.
func dimensionFields(p *prices.Prices, whole bool) []field {
	fields := make([]field, abi.NumDimensions)
	for d := range abi.NumDimensions {
		must := whole && (d == abi.Input || d == abi.Output)
		fields[d] = field{name: prices.Field(d), required: must, read: func(v value) { p.Set(d, v.dollars(maxPrice)) }}
	}
	return fields
}

// tier reads the prices of long prompts, above those of the tiers before it.
func (v value) tier(before []prices.Tier) (tier prices.Tier) {
	v.object(append(dimensionFields(&tier.Prices, false), required("above", func(v value) {
		v.number(&tier.Above, 1, maxTokens)
		if len(before) > 0 && tier.Above != 0 && tier.Above <= before[len(before)-1].Above {
			v.fail("must be more than in the tier before it")
		}
	})))
	v.mustState(&tier.Prices)
	return tier
}

// weekdays are the names of days, from the one that time.Weekday begins with.
var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// window reads the prices of some hours of the day.
func (v value) window() prices.Window {
	w := prices.Window{Location: time.UTC}
	begins := false
	v.object(append(rateFields(&w.Rates, false),
		required("from", func(v value) { w.From, begins = v.clock("23:59") }),
		required("to", func(v value) {
			var ok bool
			if w.To, ok = v.clock("24:00"); ok && begins && w.To == w.From {
				v.fail("must differ from the beginning: a whole day is from 00:00 to 24:00")
			}
		}),
		optional("timezone", func(v value) { w.Location = v.location() }),
		optional("days", func(v value) { w.Days = v.days() }),
	))
	v.mustState(&w.Prices)
	return w
}

// mustState reports prices that state none.
func (v value) mustState(p *prices.Prices) {
	if !slices.Contains(p.Stated[:], true) {
		v.fail("states no price")
	}
}

// days reads the days of the week on which a window begins.
func (v value) days() (days []time.Weekday) {
	v.items(func(v value) {
		name, ok := v.choice(weekdays[:]...)
		day := time.Weekday(slices.Index(weekdays[:], name))
		switch {
		case !ok:
		case slices.Contains(days, day):
			v.fail("stands here twice")
		default:
			days = append(days, day)
		}
	})
	if len(v.node.Content) == 0 {
		v.fail("names no day: take the field out for all")
	}
	return days
}

// clock reads a time of day such as 16:30, up to last.
func (v value) clock(last string) (time.Duration, bool) {
	s, ok := v.plain()
	if !ok {
		return 0, false
	}
	hours, minutes, _ := strings.Cut(s, ":")
	if len(hours) != 2 || len(minutes) != 2 || !isDigits(hours+minutes) || minutes > "59" || s > last {
		v.fail("must be a time of day from 00:00 to %s", last)
		return 0, false
	}
	h, _ := strconv.Atoi(hours)   // digits
	m, _ := strconv.Atoi(minutes) // digits
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute, true
}
