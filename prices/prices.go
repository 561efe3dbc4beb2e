// Package prices knows what models cost: tariffs with their conditions (dates, hours of the day, the prompt's
// length), and the catalogue of models and their tariffs that comes with the binary.
//
// It imports abi and the standard library only. config reads tariffs from policies.yaml and finds the others here;
// gateway prices exchanges by them; cmd/sallyport lists them.
package prices

import (
	"errors"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// fields are the names of the dimensions' prices in a catalogue. They are those of policies.yaml.
var fields = [abi.NumDimensions]string{
	abi.Input: "input", abi.Output: "output",
	abi.CacheRead: "cache_read", abi.CacheWrite5m: "cache_write", abi.CacheWrite1h: "cache_write_1h",
	abi.Reasoning: "reasoning", abi.AudioInput: "audio_input", abi.AudioOutput: "audio_output",
	abi.Image: "image", abi.Requests: "request", abi.CacheReadAudio: "cache_read_audio", abi.ImageOutput: "image_output",
}

// Field returns the name that the price of a dimension has in a catalogue and in policies.yaml.
func Field(d abi.Dimension) string { return fields[d] }

// fallbacks say which dimension's price another one takes that has none of its own. They are applied in this order.
var fallbacks = [...]struct{ dimension, from abi.Dimension }{
	{abi.CacheRead, abi.Input},
	{abi.CacheReadAudio, abi.CacheRead},
	{abi.CacheWrite5m, abi.Input},
	{abi.CacheWrite1h, abi.CacheWrite5m},
	{abi.AudioInput, abi.Input},
	{abi.Reasoning, abi.Output},
	{abi.AudioOutput, abi.Output},
	{abi.ImageOutput, abi.Output},
}

const (
	// maxPrice is a dollar for a single unit. What is above is a slip of the unit.
	maxPrice abi.NanoUSD = 1_000_000 * 1_000_000_000
)

// parsePrice reads the price of a million units in US dollars.
func parsePrice(s string) (abi.NanoUSD, error) {
	if strings.HasPrefix(s, "-") {
		return 0, errors.New("must not be negative")
	}
	n, err := abi.ParseUSD(s)
	if errors.Is(err, abi.ErrUSDRange) || n > maxPrice {
		return 0, errTooDear
	}
	return n, err
}

var errTooDear = errors.New("must be at most 1000000 dollars: prices are per million units")
