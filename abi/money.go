package abi

import "strconv"

const (
	nanoDigits  = 9             // digits of a dollar's fraction in nano-dollars
	centDigits  = 2             // digits of the fraction that are always shown
	nanoPerUSD  = 1_000_000_000 // 10^nanoDigits
	moneyLength = 24            // longest text: "-$9223372036.854775808"
)

// String returns the amount in US dollars, exactly: as many decimals as it takes, at least two. 123,000 nano-dollars
// are "$0.000123", and minus one and a half dollars are "-$1.50".
func (n NanoUSD) String() string {
	var buf [moneyLength]byte
	return string(n.Append(buf[:0]))
}

// Append appends what String returns to dst.
func (n NanoUSD) Append(dst []byte) []byte {
	magnitude := uint64(n)
	if n < 0 {
		dst = append(dst, '-')
		magnitude = -magnitude // well defined for the smallest int64 too, which has no positive twin
	}
	dst = append(dst, '$')
	dst = strconv.AppendUint(dst, magnitude/nanoPerUSD, 10)
	dst = append(dst, '.')

	var fraction [nanoDigits]byte
	rest := magnitude % nanoPerUSD
	for i := nanoDigits - 1; i >= 0; i-- {
		fraction[i] = byte('0' + rest%10)
		rest /= 10
	}
	end := nanoDigits
	for end > centDigits && fraction[end-1] == '0' {
		end--
	}
	return append(dst, fraction[:end]...)
}

// Dollars returns the amount as the nearest float. It is for exposition formats that know nothing else; nothing may
// be computed from it.
func (n NanoUSD) Dollars() float64 { return float64(n) / nanoPerUSD }
