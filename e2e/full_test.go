//go:build e2e && prove

package e2e

// full says that the proofs run at their full size, which takes many minutes: see `make prove`.
const full = true
