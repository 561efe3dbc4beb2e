//go:build !race

package fuel_test

const raced = false
