package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"path"
	"slices"
	"strings"
	"time"
)

// notes stand in the catalogue's first line, for who reads it.
var notes = []string{
	"the date is the day on which the data was taken over: prices that changed after its commit are not in it",
	"US dollars per million units; a price that is not stated is that of the dimension charged instead",
	"cache_write_1h of Claude models is not in the data: Anthropic charges twice the input price",
	"image_output of Gemini's image models: the data has one output price, Google's that of images, OpenRouter's that of text",
}

// header, providerLine and modelLine are the lines of a catalogue. Their first fields say which one it is.
type header struct {
	Version int      `json:"version"`
	Date    string   `json:"date"`
	Origin  string   `json:"origin"`
	Licence string   `json:"licence"`
	Notes   []string `json:"notes"`
}

type providerLine struct {
	ID       string   `json:"provider"`
	Name     string   `json:"name"`
	Aliases  []string `json:"aliases,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	Fallback []string `json:"fallback,omitempty"`
}

type modelLine struct {
	ID    string   `json:"model"`
	Match []string `json:"match"`
	Price any      `json:"price"` // an entry, or a list of them
}

type entry struct {
	From string `json:"from,omitempty"`
	rates
	Windows []window `json:"windows,omitempty"`
}

type window struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Timezone string `json:"timezone"`
	rates
}

type rates struct {
	amounts
	Tiers []tier `json:"tiers,omitempty"`
}

type tier struct {
	Above int64 `json:"above"`
	amounts
}

type amounts struct {
	Input          json.Number `json:"input,omitempty"`
	Output         json.Number `json:"output,omitempty"`
	CacheRead      json.Number `json:"cache_read,omitempty"`
	CacheWrite     json.Number `json:"cache_write,omitempty"`
	CacheWrite1h   json.Number `json:"cache_write_1h,omitempty"`
	AudioInput     json.Number `json:"audio_input,omitempty"`
	AudioOutput    json.Number `json:"audio_output,omitempty"`
	Request        json.Number `json:"request,omitempty"`
	CacheReadAudio json.Number `json:"cache_read_audio,omitempty"`
	ImageOutput    json.Number `json:"image_output,omitempty"`
}

// field returns where the price of the data's name belongs, and what it is multiplied by to be one for a million;
// nil for what the catalogue has no dimension for.
func (a *amounts) field(name string) (price *json.Number, times int64) {
	switch name {
	case "input_mtok":
		return &a.Input, 1
	case "output_mtok":
		return &a.Output, 1
	case "cache_read_mtok":
		return &a.CacheRead, 1
	case "cache_write_mtok":
		return &a.CacheWrite, 1
	case "input_audio_mtok":
		return &a.AudioInput, 1
	case "output_audio_mtok":
		return &a.AudioOutput, 1
	case "requests_kcount":
		return &a.Request, 1000
	case "cache_audio_read_mtok":
		return &a.CacheReadAudio, 1
	}
	return nil, 0
}

// translation turns the data into the lines of a catalogue.
type translation struct {
	out               bytes.Buffer
	providers, models int
	taken             map[string]bool // patterns of the current provider's models
	left              map[string]int  // what has no place in a catalogue, and how often
	rounded           []string
}

// line appends one line.
func (t *translation) line(v any) {
	e := json.NewEncoder(&t.out) // ends every document with a line feed
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings and numbers that were read from JSON
	}
}

func (t *translation) provider(p source) error {
	addresses, err := hosts(p.APIPattern)
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		t.left["provider whose address is told from others by its path"]++
	}
	var aliases []string
	for _, name := range p.ProviderMatch.names() {
		if name != p.ID && !slices.Contains(aliases, name) {
			aliases = append(aliases, name)
		}
	}
	t.line(providerLine{ID: p.ID, Name: p.Name, Aliases: aliases, Hosts: addresses, Fallback: p.Fallback})
	t.providers++
	t.taken = map[string]bool{}
	for _, m := range p.Models {
		patterns, err := m.Match.patterns()
		if err != nil {
			return fmt.Errorf("model %s: %w", m.ID, err)
		}
		patterns = slices.DeleteFunc(patterns, func(pattern string) bool {
			pattern = strings.ToLower(pattern)
			again := t.taken[pattern]
			t.taken[pattern] = true
			return again
		})
		entries, err := t.entries(m.Prices, strings.Contains(strings.ToLower(m.ID), "claude"))
		if err == nil {
			err = tellImagesApart(m.ID, entries)
		}
		if err != nil {
			return fmt.Errorf("model %s: %w", m.ID, err)
		}
		if len(patterns) == 0 {
			t.left["model all of whose names another one has"]++
			continue
		}
		line := modelLine{ID: m.ID, Match: patterns, Price: entries}
		if len(entries) == 1 {
			line.Price = entries[0]
		}
		t.line(line)
		t.models++
	}
	return nil
}

// entries turns the list of conditional prices, of which the last one counts that holds, into entries by their dates
// with windows in them.
func (t *translation) entries(list costs, claude bool) (entries []entry, err error) {
	for i, c := range list {
		r, err := t.rates(c.Prices, claude)
		if err != nil {
			return nil, err
		}
		switch k := c.Constraint; {
		case k.StartTime != "" && k.EndTime != "" && k.StartDate == "" && i > 0:
			w := window{Timezone: time.UTC.String(), rates: r}
			if w.From, err = clock(k.StartTime); err != nil {
				return nil, err
			}
			if w.To, err = clock(k.EndTime); err != nil {
				return nil, err
			}
			last := &entries[len(entries)-1]
			if !r.covers(last.rates) {
				return nil, errors.New("a window leaves out what is priced outside of it")
			}
			last.Windows = append(last.Windows, w)
		case k.StartTime != "" || k.EndTime != "" || (k.StartDate == "") != (i == 0):
			return nil, fmt.Errorf("the constraint %+v is not known here", k)
		default:
			entries = append(entries, entry{From: k.StartDate, rates: r})
		}
	}
	return entries, nil
}

// covers says whether every price that other states is stated too, without tiers.
func (r rates) covers(other rates) bool {
	for _, pair := range [][2]json.Number{
		{r.Input, other.Input}, {r.Output, other.Output}, {r.CacheRead, other.CacheRead}, {r.CacheWrite, other.CacheWrite},
		{r.CacheWrite1h, other.CacheWrite1h}, {r.AudioInput, other.AudioInput}, {r.AudioOutput, other.AudioOutput}, {r.Request, other.Request},
		{r.CacheReadAudio, other.CacheReadAudio}, {r.ImageOutput, other.ImageOutput},
	} {
		if pair[0] == "" && pair[1] != "" {
			return false
		}
	}
	return len(r.Tiers) == 0 && len(other.Tiers) == 0
}

// clock turns a time of the day in UTC into that of a catalogue.
func clock(s string) (string, error) {
	t, err := time.Parse("15:04:05Z", s)
	if err != nil || t.Second() != 0 {
		return "", fmt.Errorf("%q is no full minute in UTC", s)
	}
	return t.Format("15:04"), nil
}

// rates turns one set of prices, each with tiers of its own, into base prices and tiers of them all.
func (t *translation) rates(costs map[string]cost, claude bool) (r rates, err error) {
	tiers := map[int64]*tier{}
	for _, name := range slices.Sorted(maps.Keys(costs)) {
		price, times := r.field(name)
		if price == nil {
			t.left["price "+name]++
			continue
		}
		c := costs[name]
		if *price, err = t.dollars(c.Base, times); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
		for _, step := range c.Tiers {
			if tiers[step.Start] == nil {
				tiers[step.Start] = &tier{Above: step.Start}
			}
			price, times := tiers[step.Start].field(name)
			if *price, err = t.dollars(step.Price, times); err != nil {
				return r, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for _, above := range slices.Sorted(maps.Keys(tiers)) {
		r.Tiers = append(r.Tiers, *tiers[above])
	}
	if claude {
		hourly(&r.amounts)
		for i := range r.Tiers {
			hourly(&r.Tiers[i].amounts)
		}
	}
	return r, nil
}

// hourly adds what Anthropic charges for writing to the cache for an hour: twice the input.
func hourly(a *amounts) {
	if input, ok := new(big.Rat).SetString(string(a.Input)); ok && a.CacheWrite != "" {
		a.CacheWrite1h = text(input.Add(input, input))
	}
}

// painted is what Google charges for a million tokens of its image models' answers: of text and thoughts, and of images.
type painted struct{ text, image json.Number }

// paintings are these models, by the last part of their ids.
var paintings = map[string]painted{
	"gemini-2.5-flash-image":         {"2.5", "30"},
	"gemini-3-pro-image-preview":     {"12", "120"},
	"gemini-3.1-flash-image-preview": {"3", "60"},
}

// tellImagesApart gives an image model both of its output prices. The data has one of them: if it has another price than
// these, they are out of date.
func tellImagesApart(model string, entries []entry) error {
	p, ok := paintings[path.Base(model)]
	if !ok {
		return nil
	}
	for i := range entries {
		e := &entries[i]
		if e.Output != p.text && e.Output != p.image || len(e.Tiers)+len(e.Windows) > 0 {
			return fmt.Errorf("its output costs %s, neither %s nor %s: see what Google charges", e.Output, p.text, p.image)
		}
		e.Output, e.ImageOutput = p.text, p.image
	}
	return nil
}

// dollars returns an amount in whole nano-dollars, rounded half up.
func (t *translation) dollars(n json.Number, times int64) (json.Number, error) {
	exact, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return "", fmt.Errorf("%q is no amount", n)
	}
	exact.Mul(exact, big.NewRat(times, 1))
	rounded := text(exact)
	if back, _ := new(big.Rat).SetString(string(rounded)); back.Cmp(exact) != 0 {
		t.rounded = append(t.rounded, fmt.Sprintf("%s to %s", n, rounded))
	}
	return rounded, nil
}

// text returns an amount to the nano-dollar as short as it can be written.
func text(amount *big.Rat) json.Number {
	s := amount.FloatString(9) // rounds halves away from zero
	return json.Number(strings.TrimSuffix(strings.TrimRight(s, "0"), "."))
}

// report says what was written, and what was not.
func (t *translation) report(w io.Writer) {
	fmt.Fprintf(w, "%d providers, %d models, %d bytes\n", t.providers, t.models, t.out.Len())
	for _, what := range slices.Sorted(maps.Keys(t.left)) {
		fmt.Fprintf(w, "left out: %d times %s\n", t.left[what], what)
	}
	fmt.Fprintf(w, "rounded to nano-dollars: %d %s\n", len(t.rounded), strings.Join(t.rounded, ", "))
}
