//go:build race

package fuel_test

// raced says that the race detector is on. It has nothing to find in tests that run one thing after the other, and
// makes those that compile thousands of modules take a minute.
const raced = true
