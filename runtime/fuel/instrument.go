package fuel

import "fmt"

// Export is the name under which a metered module exports its fuel, a mutable i64 global. A module that exports this
// name itself is refused.
const Export = "sallyport:fuel"

// Module is a metered module and what it says of itself.
type Module struct {
	Binary []byte
	Info
}

// Instrument checks a module against the limits and returns it metered, with initial units of fuel for its start
// function. The input is not changed; Info's custom sections are parts of it. The same input always gives the same
// output.
//
// Sections that carry debugging information (.debug_*) are left out: they refer to offsets in code that has moved.
// All other custom sections stay as and where they are.
func Instrument(bin []byte, initial int64, limits Limits) (*Module, error) {
	if initial < 0 {
		return nil, fmt.Errorf("metering module: initial fuel %d is negative", initial)
	}
	m, err := read(bin, limits)
	if err != nil {
		return nil, fmt.Errorf("reading module: %w", err)
	}
	out, err := m.rewrite(len(bin), initial)
	if err != nil {
		return nil, fmt.Errorf("metering module: %w", err)
	}
	return &Module{Binary: out, Info: m.info}, nil
}

// Unmetered checks a module as Instrument does, and returns it with the fuel that it exports, which nothing uses up: its
// code stays where it is, and so what its debugging information says of it stays true. Whoever runs it has to end it by
// other means.
func Unmetered(bin []byte, limits Limits) (*Module, error) {
	m, err := read(bin, limits)
	if err != nil {
		return nil, fmt.Errorf("reading module: %w", err)
	}
	m.plain = true
	out, err := m.rewrite(len(bin), 0)
	if err != nil {
		return nil, fmt.Errorf("preparing module: %w", err)
	}
	return &Module{Binary: out, Info: m.info}, nil
}
