//go:build e2e && !prove

package e2e

// full says that the proofs run at their full size. This build is the one that `make e2e` runs: it shows that they
// hold, in seconds.
const full = false
