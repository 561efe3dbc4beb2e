//go:build !wasm

// Command conformance is a guest; see main.go. A native build of it does nothing.
package main

func main() {}
