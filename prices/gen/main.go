// Command gen writes the catalogue of package prices from the data of genai-prices (MIT, pydantic). Its one job is that
// no price is copied by hand.
//
// It imports prices, and nothing imports it. The data is not part of this repository: run it by hand where
// the data is, and commit what it writes.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sallyport-dev/sallyport/prices"
)

// What the data is that the catalogue was made from. Its commit does not stand in it.
const (
	sourceCommit = "47df840a"
	sourceDate   = "2026-11-21"
)

func main() {
	in := flag.String("in", "", "the data: prices/data_slim.json of genai-prices")
	out := flag.String("out", "prices/catalog.jsonl", "the catalogue to write")
	commit := flag.String("commit", sourceCommit, "the commit of genai-prices that the data is of")
	date := flag.String("date", sourceDate, "the day on which the data was taken over")
	flag.Parse()
	if err := run(*in, *out, *commit, *date, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run reads the data, writes the catalogue, and says what did not fit into it.
func run(in, out, commit, date string, report io.Writer) error {
	data, err := os.ReadFile(in)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no data at %q: name prices/data_slim.json of genai-prices with -in", in)
	}
	if err != nil {
		return fmt.Errorf("reading the data: %w", err)
	}
	var providers []source
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&providers); err != nil {
		return fmt.Errorf("reading the data: %w", err)
	}
	t := translation{left: map[string]int{}}
	t.line(header{Version: 1, Date: date, Origin: "pydantic/genai-prices " + commit + ", prices/data_slim.json", Licence: "MIT", Notes: notes})
	for _, p := range providers {
		if err := t.provider(p); err != nil {
			return fmt.Errorf("provider %s: %w", p.ID, err)
		}
	}
	if _, err := prices.Parse(t.out.Bytes()); err != nil {
		return fmt.Errorf("what would be written is no catalogue:\n%w", err)
	}
	if err := os.WriteFile(out, t.out.Bytes(), 0o644); err != nil {
		return err
	}
	t.report(report)
	return nil
}
