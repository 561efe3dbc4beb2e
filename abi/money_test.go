package abi

import (
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestNanoUSDString(t *testing.T) {
	tests := []struct {
		amount NanoUSD
		want   string
	}{
		{0, "$0.00"},
		{1, "$0.000000001"},
		{123_000, "$0.000123"},
		{10_000_000, "$0.01"},
		{100_000_000, "$0.10"},
		{120_000_000, "$0.12"},
		{1_000_000_000, "$1.00"},
		{1_500_000_000, "$1.50"},
		{1_234_567_890, "$1.23456789"},
		{-1, "-$0.000000001"},
		{-1_500_000_000, "-$1.50"},
		{MaxCost, "$10000.00"},
		{math.MaxInt64, "$9223372036.854775807"},
		{math.MinInt64, "-$9223372036.854775808"},
	}
	for _, tt := range tests {
		if got := tt.amount.String(); got != tt.want {
			t.Errorf("NanoUSD(%d) = %s, want %s", int64(tt.amount), got, tt.want)
		}
		if len(tt.want) > moneyLength {
			t.Errorf("%s is longer than moneyLength", tt.want)
		}
	}
}

func FuzzNanoUSDStringIsExact(f *testing.F) {
	f.Add(int64(0))
	f.Add(int64(-1))
	f.Add(int64(math.MinInt64))
	f.Add(int64(999_999_999))
	f.Fuzz(func(t *testing.T, nano int64) {
		text := NanoUSD(nano).String()
		dollars, ok := new(big.Rat).SetString(strings.Replace(text, "$", "", 1))
		if !ok {
			t.Fatalf("%d: %q is not a decimal", nano, text)
		}
		if want := big.NewRat(nano, nanoPerUSD); dollars.Cmp(want) != 0 {
			t.Fatalf("%d: %q is %s, want %s", nano, text, dollars, want)
		}
	})
}

func TestNanoUSDAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, moneyLength)
	if n := testing.AllocsPerRun(100, func() { buf = NanoUSD(123_456).Append(buf[:0]) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}
