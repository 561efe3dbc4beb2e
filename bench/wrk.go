package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// load is what a run of the load tool sends.
type load struct {
	body        string
	connections int
	keys        int // that are used alike; 0: the one of the configuration
	long        time.Duration
}

// loaded is what the load tool reports.
type loaded struct {
	Requests int64   `json:"requests"` // answered
	Micros   float64 `json:"us"`       // how long it took
	Failed   int64   `json:"failed"`   // connections, reads, writes and timeouts
	Refused  int64   `json:"refused"`  // answers other than 2xx
}

// script is what wrk runs. Without a request function it sends the same bytes again and again, which costs least.
const script = `wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
local keys = tonumber(os.getenv("BENCH_KEYS"))
if keys > 0 then
  request = function()
    wrk.headers["Authorization"] = "Bearer " .. string.format(os.getenv("BENCH_SECRETS"), math.random(0, keys - 1))
    return wrk.format()
  end
end
done = function(summary)
  local e = summary.errors
  io.write(string.format('BENCH {"requests":%d,"us":%d,"failed":%d,"refused":%d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout, e.status))
end
`

// runWrk runs wrk with one thread: on a small machine more would take from what is measured.
func runWrk(folder, address string, l *load) (*loaded, error) {
	body, lua := filepath.Join(folder, "body.json"), filepath.Join(folder, "load.lua")
	if err := os.WriteFile(body, []byte(l.body), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("wrk", "-t1", fmt.Sprintf("-c%d", l.connections), fmt.Sprintf("-d%ds", max(1, int(l.long.Seconds()))), // it knows whole seconds only
		"--timeout", "20s", "-s", lua, "http://"+address+"/")
	cmd.Env = append(os.Environ(), "BENCH_KEY="+benchKey, "BENCH_BODY="+body, fmt.Sprintf("BENCH_KEYS=%d", l.keys), "BENCH_SECRETS="+secretFormat)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("running wrk: %w: %s", err, out)
	}
	_, line, found := bytes.Cut(out, []byte("BENCH "))
	line, _, _ = bytes.Cut(line, []byte{'\n'})
	var r loaded
	if err := json.Unmarshal(line, &r); !found || err != nil {
		return nil, fmt.Errorf("wrk said %s: %w", out, err)
	}
	if r.Failed+r.Refused > 0 || r.Requests == 0 {
		return nil, fmt.Errorf("%d requests were answered, %d otherwise than by 2xx, and %d connections failed", r.Requests, r.Refused, r.Failed)
	}
	return &r, nil
}
