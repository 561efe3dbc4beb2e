package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

const config = `{"timezone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:30", "to": "18:00",
	"teams": {"interns": {"office_hours": ["coding", "claude-*"], "otherwise": ["llama"]}, "batch": {"otherwise": ["coding"]}}}`

func at(t *testing.T, when string) time.Time {
	t.Helper()
	now, err := time.Parse(time.RFC3339, when)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestRestrict(t *testing.T) {
	const (
		monday = "2026-11-23T09:00:00+01:00"
		sunday = "2026-11-22T09:00:00+01:00"
	)
	facts := []struct {
		name, team, model, when string
		code                    string // empty: pass
	}{
		{"in office hours", "interns", "coding", monday, ""},
		{"in office hours, by prefix", "interns", "claude-sonnet", monday, ""},
		{"in office hours, what is for later", "interns", "llama", monday, "model_not_in_office_hours"},
		{"on Sunday", "interns", "coding", sunday, "model_only_in_office_hours"},
		{"on Sunday, what is for then", "interns", "llama", sunday, ""},
		{"the first minute", "interns", "coding", "2026-11-23T08:30:00+01:00", ""},
		{"the minute before", "interns", "coding", "2026-11-23T08:29:59+01:00", "model_only_in_office_hours"},
		{"the last minute", "interns", "coding", "2026-11-23T17:59:59+01:00", ""},
		{"the minute after", "interns", "coding", "2026-11-23T18:00:00+01:00", "model_only_in_office_hours"},
		{"by the office's clock in summer", "interns", "coding", "2026-07-20T06:30:00Z", ""},
		{"by the office's clock in winter", "interns", "coding", "2026-11-23T06:30:00Z", "model_only_in_office_hours"},
		{"a team without models then", "batch", "coding", monday, "model_not_in_office_hours"},
		{"a team that is not listed", "core", "anything", sunday, ""},
		{"nobody's team", "", "anything", sunday, ""},
		{"no model, and a default one", "interns", "", sunday, "model_only_in_office_hours"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			setting := hosttest.Setting{Config: config, Now: at(t, f.when)}
			if got := setting.Configure(configure); got.Failed != "" {
				t.Fatal(got.Log)
			}
			got := hosttest.Authentication{
				Setting: setting,
				Request: hosttest.Request{Model: f.model},
				Allowed: &hosttest.Identity{KeyID: "k1", Team: f.team, DefaultModel: "coding"},
			}.Ask(authenticate)
			if got.Failed != "" || got.Code != f.code || got.Passed != (f.code == "") || (got.Status == 403) != (f.code != "") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWithoutAModel(t *testing.T) {
	setting := hosttest.Setting{Config: config}
	setting.Configure(configure)
	got := hosttest.Authentication{Setting: setting, Allowed: &hosttest.Identity{KeyID: "k1", Team: "batch"}}.Ask(authenticate)
	if !got.Passed {
		t.Errorf("got %+v", got)
	}
}

func TestWithoutAVeto(t *testing.T) {
	if got := (hosttest.Authentication{}).Ask(authenticate); got.Failed == "" {
		t.Errorf("got %+v", got)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for name, config := range map[string]string{
		"nothing":                "",
		"no time zone":           strings.Replace(config, "Europe/Berlin", "", 1),
		"a time zone of Mars":    strings.Replace(config, "Europe/Berlin", "Mars/Base", 1),
		"a day that is none":     strings.Replace(config, "mon", "monday", 1),
		"an hour that is none":   strings.Replace(config, "08:30", "25:00", 1),
		"the end before":         strings.Replace(config, "18:00", "08:00", 1),
		"a member that is none":  strings.Replace(config, "otherwise", "else", 1),
		"a second configuration": config[1:],
	} {
		if got := (hosttest.Setting{Config: config}).Configure(configure); got.Failed == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}
