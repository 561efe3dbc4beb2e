package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// priceFields are the fields of a price and the dimensions that they price.
var priceFields = [...]struct {
	name      string
	dimension abi.Dimension
}{
	{"input", abi.Input},
	{"output", abi.Output},
	{"cache_read", abi.CacheRead},
	{"cache_write", abi.CacheWrite5m},
	{"cache_write_1h", abi.CacheWrite1h},
	{"reasoning", abi.Reasoning},
	{"audio_input", abi.AudioInput},
	{"audio_output", abi.AudioOutput},
	{"image", abi.Image},
	{"request", abi.Requests},
}

// fallbacks say which dimension's price another one takes that has none of its own. They are applied in this order.
var fallbacks = [...]struct{ dimension, from abi.Dimension }{
	{abi.CacheRead, abi.Input},
	{abi.CacheWrite5m, abi.Input},
	{abi.CacheWrite1h, abi.CacheWrite5m},
	{abi.AudioInput, abi.Input},
	{abi.Reasoning, abi.Output},
	{abi.AudioOutput, abi.Output},
}

// price reads a price in US dollars per million units. Input and output have to be stated, if only as 0: a price that
// was forgotten is not a gift.
func (v value) price() *abi.PriceRow {
	var row abi.PriceRow
	var stated [abi.NumDimensions]bool
	fields := make([]field, len(priceFields))
	for i, f := range priceFields {
		fields[i] = field{name: f.name, required: f.dimension == abi.Input || f.dimension == abi.Output, read: func(v value) {
			row[f.dimension] = v.dollars()
			stated[f.dimension] = true
		}}
	}
	if !v.object(fields) {
		return nil
	}
	for _, f := range fallbacks {
		if !stated[f.dimension] {
			row[f.dimension] = row[f.from]
		}
	}
	return &row
}

// dollars reads an amount of money.
func (v value) dollars() abi.NanoUSD {
	s, ok := v.plain()
	if !ok {
		return 0
	}
	n, err := parseDollars(s)
	if err != nil {
		v.fail("%v", err)
	}
	return n
}

const (
	nanoDigits = 9         // decimals of a dollar that can be told apart
	maxDollars = 1_000_000 // per million units: a dollar for each
)

// parseDollars reads decimal text exactly. A float on the way would turn 0.07 into something near it.
func parseDollars(s string) (abi.NanoUSD, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if !isDigits(whole) || point && !isDigits(fraction) {
		return 0, fmt.Errorf("must be an amount in US dollars such as 0.27")
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > nanoDigits {
		return 0, fmt.Errorf("must not have more than %d decimals", nanoDigits)
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", nanoDigits-len(fraction)), 10, 64)
	if err != nil || n > maxDollars*1_000_000_000 {
		return 0, fmt.Errorf("must be at most %d dollars", maxDollars)
	}
	return abi.NanoUSD(n), nil
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
