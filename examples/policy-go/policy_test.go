package main

import (
	"testing"

	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

func TestGreet(t *testing.T) {
	got := hosttest.Authentication{Request: hosttest.Request{Model: "coding"}}.Ask(authenticate)
	if got.Status != 401 || got.Message != "You need a key for coding: ask in #llm-keys for one." {
		t.Errorf("got %+v", got)
	}
}
