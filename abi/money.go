package abi

import (
	"errors"
	"strconv"
	"strings"
)

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

// Errors of ParseUSD, worded to stand behind the name of what was read.
var (
	ErrUSD         = errors.New("must be an amount in US dollars such as 0.27")
	ErrUSDDecimals = errors.New("must not have more than 9 decimals")
	ErrUSDRange    = errors.New("must be a smaller amount")
)

// ParseUSD reads an amount of US dollars from decimal text, exactly: digits, and a point and digits if there is a
// fraction. A float on the way would turn 0.07 into something near it. Zeros at the end do not count as decimals.
func ParseUSD(text string) (NanoUSD, error) {
	whole, fraction, point := strings.Cut(text, ".")
	if !isDigits(whole) || point && !isDigits(fraction) {
		return 0, ErrUSD
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > nanoDigits {
		return 0, ErrUSDDecimals
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", nanoDigits-len(fraction)), 10, 64)
	if err != nil {
		return 0, ErrUSDRange
	}
	return NanoUSD(n), nil
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
