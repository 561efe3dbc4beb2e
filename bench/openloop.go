package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// openLoop sends requests at a fixed rate, whether those before are answered or not, and returns how long each took.
//
// It is vegeta because wrk has no such mode, and fortio's connections wait for their answer before they send again: a
// proxy that stands still for a second would delay the requests of that second and hide it from all but a few.
func openLoop(address, body string, perSecond int, long time.Duration) ([]time.Duration, error) {
	attacker := vegeta.NewAttacker(vegeta.Workers(64), vegeta.MaxWorkers(4096), vegeta.Connections(4096), vegeta.HTTP2(false))
	target := vegeta.NewStaticTargeter(vegeta.Target{
		Method: http.MethodPost, URL: "http://" + address + chatPath, Body: []byte(body),
		Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + benchKey}},
	})
	var took []time.Duration
	for r := range attacker.Attack(target, vegeta.Rate{Freq: perSecond, Per: time.Second}, long, "") {
		if r.Error != "" {
			return nil, fmt.Errorf("a request at a fixed rate: %s", r.Error)
		}
		took = append(took, r.Latency)
	}
	slices.Sort(took)
	return took, nil
}

const chatPath = "/v1/chat/completions"

// quantile is one of sorted figures.
func quantile[T any](sorted []T, q float64) T {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
