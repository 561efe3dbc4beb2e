// Command office-hours is a policy with a veto: the teams of its configuration may use some models in office hours, and
// others, or none, outside of them.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a guest has no files to find time zones in

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
)

//go:wasmexport authenticate
func authenticate() int32 { return sallyport.Authenticate(restrict) }

//go:wasmexport configure
func configure() int32 { return sallyport.Configure(apply) }

func main() {}

// settings is the configuration.
var settings struct {
	location *time.Location
	days     []time.Weekday
	from, to int // minutes of the day; to is after the last one
	teams    map[string]team
}

// team is what a team may use: aliases and chains, exact or "prefix*".
type team struct {
	OfficeHours []string `json:"office_hours"`
	Otherwise   []string `json:"otherwise"`
}

// apply checks the configuration: a gateway with a wrong one does not start.
func apply(config []byte) error {
	var c struct {
		Timezone string          `json:"timezone"`
		Days     []string        `json:"days"`
		From     string          `json:"from"`
		To       string          `json:"to"`
		Teams    map[string]team `json:"teams"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(config)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if c.Timezone == "" {
		return errors.New("timezone is required, as Europe/Berlin")
	}
	location, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return err
	}
	days, err := parseDays(c.Days)
	if err != nil {
		return err
	}
	from, errFrom := time.Parse("15:04", c.From)
	to, errTo := time.Parse("15:04", c.To)
	if errFrom != nil || errTo != nil || !from.Before(to) {
		return fmt.Errorf("from (%q) and to (%q) have to be times of one day, as 08:30, and from the earlier one", c.From, c.To)
	}
	settings.location, settings.days, settings.teams = location, days, c.Teams
	settings.from, settings.to = minute(from), minute(to)
	return nil
}

func parseDays(names []string) ([]time.Weekday, error) {
	var days []time.Weekday
	for _, name := range names {
		day := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, name)
		if day < 0 {
			return nil, fmt.Errorf("days: %q is none of mon, tue, wed, thu, fri, sat, sun", name)
		}
		days = append(days, time.Weekday(day))
	}
	return days, nil
}

func minute(t time.Time) int { return 60*t.Hour() + t.Minute() }

// isOfficeHours says what time it is. Days and hours are those of the clock on the office's wall, also when it is changed.
func isOfficeHours(now time.Time) bool {
	now = now.In(settings.location)
	m := minute(now)
	return slices.Contains(settings.days, now.Weekday()) && m >= settings.from && m < settings.to
}

func restrict(a *sallyport.Authentication) sallyport.Verdict {
	who, ok := a.Allowed()
	if !ok {
		return sallyport.Fail(errors.New("list this policy with veto: true"))
	}
	t, ok := settings.teams[string(who.Team())]
	if !ok {
		return sallyport.Pass
	}
	model := a.Model()
	if model == nil {
		model = who.DefaultModel()
	}
	if model == nil {
		return sallyport.Pass // no model is used
	}
	now := isOfficeHours(sallyport.Now())
	switch {
	case now && mayUse(t.OfficeHours, string(model)), !now && mayUse(t.Otherwise, string(model)):
		return sallyport.Pass
	case now:
		return a.DenyWithCode(403, "model_not_in_office_hours", "Your team may not use this model in office hours.")
	default:
		return a.DenyWithCode(403, "model_only_in_office_hours", "Your team may use this model in office hours only.")
	}
}

func mayUse(models []string, model string) bool {
	return slices.ContainsFunc(models, func(m string) bool {
		prefix, ok := strings.CutSuffix(m, "*")
		return m == model || ok && strings.HasPrefix(model, prefix)
	})
}
