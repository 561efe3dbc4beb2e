// Package stock asks a plugin's cases on Extism's own host for Go, to show that a plugin of the portable tier runs there too.
// Its one job is to be the messenger: the question comes from the gateway's host and the answer is judged by it, in between
// stands a guest of ours that has the plugin asked by a host that is not ours.
//
// It imports abi, hostfuncs/extism, plugin/cases, plugin/host and runtime, and is the sole owner of Extism's SDK, whose
// settings are made of wazero's. cmd/sallyport imports it.
package stock

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	sdk "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Examination asks one plugin its cases. Its methods must not be called by several goroutines at once.
type Examination struct {
	*host.Host
	relay *relay
}

// timeout is how long one call of the plugin may take.
const timeout = 10 * time.Second

// Open makes an examination of a policy, whose module exports these hooks.
func Open(ctx context.Context, policy runtime.Policy, exported []string) (*Examination, error) {
	r := &relay{ctx: ctx, wasm: policy.Wasm, memory: policy.Limits.Memory, plugins: map[runtime.Session]*plugin{}}
	if r.memory == 0 {
		r.memory = runtime.DefaultMemory
	}
	portable := extism.New()
	r.functions = map[string]func(*runtime.Call, []uint64){}
	for _, f := range portable.Functions {
		r.functions[f.Name] = f.Call
	}
	portable.Functions = append(portable.Functions, runtime.PortableFunction{Name: relayFunction, Results: []abi.Type{abi.I32}, Call: r.ask})
	policy.Wasm, policy.Limits = messenger(exported), runtime.Limits{Fuel: runtime.DefaultFuel}
	h, err := host.Open(ctx, host.Options{Policy: policy, Portable: portable})
	if err != nil {
		return nil, err
	}
	return &Examination{h, r}, nil
}

// Run asks all cases. What they want of fuel is not looked at: Extism's host counts none.
func (e *Examination) Run(ctx context.Context, all []cases.Case) ([]host.Result, error) {
	var unmetered []cases.Case
	for _, c := range all {
		c.Want.Fuel = 0
		unmetered = append(unmetered, c)
	}
	results, err := e.Host.Run(ctx, unmetered)
	for i := range results {
		results[i].Case = &all[i]
	}
	return results, err
}

// Close lets the plugin go.
func (e *Examination) Close(ctx context.Context) error {
	err := e.Host.Close(ctx)
	for _, p := range e.relay.plugins {
		err = errors.Join(err, p.Close(ctx))
	}
	return err
}

// relay has the plugin asked by Extism's host.
type relay struct {
	ctx       context.Context
	wasm      []byte
	memory    int64
	functions map[string]func(*runtime.Call, []uint64) // of our host's portable tier

	mu      sync.Mutex // instances may come up beside the one that is asked
	plugins map[runtime.Session]*plugin
}

// plugin is an instance on Extism's host, which belongs to one of the messenger.
type plugin struct {
	*sdk.Plugin
	call *runtime.Call // that is served
}

// ask takes the question from our host to the plugin, and the answer back. It answers what the plugin returned.
func (r *relay) ask(c *runtime.Call, stack []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stack[0] = 0
	p, err := r.find(c)
	if err != nil {
		c.Stop(fmt.Errorf("loading the plugin on Extism's host: %w", err))
		return
	}
	export := abi.ExportConfigure
	if c.Hook < abi.NumHooks {
		export = c.Hook.String()
	}
	if !p.FunctionExists(export) {
		return // only configure may be missing
	}
	p.call = c
	defer func() { p.call = nil }()
	code, output, err := p.CallWithContext(r.ctx, export, r.question(c))
	said := p.GetError()
	switch {
	case err != nil && err.Error() != said:
		c.Stop(fmt.Errorf("on Extism's host: %w", err))
		delete(r.plugins, c.Session()) // what trapped is not asked again
		if err := p.Close(r.ctx); err != nil {
			c.Stop(err)
		}
	case said != "":
		r.do(c, "error_set", r.put(c, []byte(said)))
	case len(output) > 0:
		r.do(c, "output_set", r.put(c, output), uint64(len(output)))
	}
	stack[0] = uint64(code)
}

// do calls a function of our host's portable tier.
func (r *relay) do(c *runtime.Call, function string, args ...uint64) uint64 {
	var stack [2]uint64
	copy(stack[:], args)
	r.functions[function](c, stack[:])
	return stack[0]
}

// question is the message that our host has for the plugin.
func (r *relay) question(c *runtime.Call) []byte {
	length := r.do(c, "input_length")
	message := make([]byte, 0, length)
	for at := uint64(0); at < length; at += 8 {
		message = binary.LittleEndian.AppendUint64(message, r.do(c, "input_load_u64", at))
	}
	return message
}

// put puts a text where our host looks for answers.
func (r *relay) put(c *runtime.Call, text []byte) (handle uint64) {
	handle = r.do(c, "alloc", uint64(len(text)))
	for i, b := range text {
		r.do(c, "store_u8", handle+uint64(i), uint64(b))
	}
	return handle
}

// find returns the plugin of the messenger's instance that calls.
func (r *relay) find(c *runtime.Call) (*plugin, error) {
	if p, ok := r.plugins[c.Session()]; ok {
		return p, nil
	}
	p := &plugin{}
	module := wazero.NewModuleConfig().WithRandSource(counting{}).WithStdout(io.Discard).WithStderr(io.Discard).
		WithWalltime(func() (int64, int32) { return p.now(c) }, sys.ClockResolution(time.Millisecond)).
		WithNanotime(func() int64 { seconds, rest := p.now(c); return seconds*int64(time.Second) + int64(rest) }, sys.ClockResolution(time.Millisecond))
	sdk.SetLogLevel(sdk.LogLevelOff) // of the process: the SDK has no other way. Until it has a logger, it writes to standard error
	made, err := sdk.NewPlugin(r.ctx, sdk.Manifest{
		Wasm:    []sdk.Wasm{sdk.WasmData{Data: r.wasm}},
		Memory:  &sdk.ManifestMemory{MaxPages: uint32(r.memory >> 16), MaxHttpResponseBytes: -1, MaxVarBytes: -1},
		Config:  texts(c.Config()),
		Timeout: uint64(timeout.Milliseconds()),
	}, sdk.PluginConfig{EnableWasi: true, ModuleConfig: module}, nil)
	if err != nil {
		return nil, err
	}
	sdk.SetLogLevel(sdk.LogLevelTrace)
	made.SetLogger(p.log)
	p.Plugin = made
	r.plugins[c.Session()] = p
	return p, nil
}

// now is the time of the case that is asked.
func (p *plugin) now(made *runtime.Call) (int64, int32) {
	c := made
	if p.call != nil {
		c = p.call
	}
	t := c.Now()
	return t.Unix(), int32(t.Nanosecond())
}

// log writes what the plugin logs to our host's log. What the SDK says there of its own is left out.
func (p *plugin) log(level sdk.LogLevel, text string) {
	own := level == sdk.LogLevelDebug && (strings.HasPrefix(text, "Calling ") || strings.HasPrefix(text, "Initializ"))
	if p.call == nil || own {
		return
	}
	levels := map[sdk.LogLevel]int32{sdk.LogLevelInfo: abi.LogInfo, sdk.LogLevelWarn: abi.LogWarn, sdk.LogLevelError: abi.LogError}
	number, ok := levels[level]
	if !ok {
		number = abi.LogDebug
	}
	p.call.WriteLog(number, []byte(text[:min(len(text), runtime.MaxLogLine)]))
}

// texts makes texts of the members of a configuration, as the gateway's portable tier does.
func texts(config []byte) map[string]string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(config, &members) // what is no object has none
	out := map[string]string{}
	for name, member := range members {
		var text string
		if json.Unmarshal(member, &text) != nil {
			text = string(member)
		}
		out[name] = text
	}
	return out
}

// counting is random numbers as cases have them: 1, 2, 3, from 1 in each call.
type counting struct{}

// Read implements io.Reader.
func (counting) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i + 1)
	}
	return len(b), nil
}

var _ io.Reader = counting{}
