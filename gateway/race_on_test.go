//go:build race

package gateway

// underRace: the race detector makes sync.Pool forget at random, so allocations cannot be pinned.
const underRace = true
