package demo

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"math"
)

// embed makes a vector of length 1 from a text: numbers, or base64 of little-endian float32 as OpenAI's clients ask
// for.
func embed(text, format string) any {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	seed, sum := h.Sum64(), 0.0
	values := make([]float64, vector)
	for i := range values {
		seed = seed*6364136223846793005 + 1442695040888963407
		values[i] = float64(int64(seed)) / math.MaxInt64
		sum += values[i] * values[i]
	}
	for i := range values {
		values[i] /= math.Sqrt(sum)
	}
	if format != "base64" {
		return values
	}
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
