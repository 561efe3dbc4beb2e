package hostfuncs_test

import (
	"math"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// memory is the size of the guest's memory in these tests.
const memory = 64 << 10

func TestHostileCalls(t *testing.T) {
	const unknown, absent, ungranted = int64(abi.UnknownField), int64(abi.Absent), int64(abi.NotGranted)
	const bad, elsewhere = int64(abi.BadArgument), int64(abi.WrongHook)
	const path, model, stream, priority = int64(abi.FieldRequestPath), int64(abi.FieldStepModel), int64(abi.FieldRequestStream), int64(abi.FieldStepPriority)
	const step, stop, header = int64(abi.FieldChosenStep), int64(abi.FieldStop), int64(abi.FieldRequestHeaders)
	const label, limit = int64(abi.FieldIdentityLabels), int64(abi.FieldIdentityLimits)
	pathLength := int64(len("/v1/chat/completions"))
	for _, test := range []struct {
		name     string
		function string
		args     []int64
		want     int64
	}{
		{"field 0", "get", []int64{0, 0, 0, 64}, unknown},
		{"field -1", "get", []int64{-1, 0, 0, 64}, unknown},
		{"the greatest field", "get", []int64{math.MaxInt32, 0, 0, 64}, unknown},
		{"the least field", "get", []int64{math.MinInt32, 0, 0, 64}, unknown},
		{"a field between fields", "get", []int64{19, 0, 0, 64}, unknown},
		{"a field past the last", "get", []int64{1032, 0, 0, 64}, unknown},
		{"a field of another hook", "get", []int64{int64(abi.FieldUsage), 0, 0, 64}, elsewhere},
		{"an output, read", "get", []int64{step, 0, 0, 64}, bad},
		{"an input, written", "set", []int64{path, 0, 0, 1}, bad},
		{"an input, written as a number", "set_i64", []int64{stream, 0, 1}, bad},
		{"a header as a plain field", "get", []int64{header, 0, 0, 64}, bad},
		{"a plain field by name", "get_named", []int64{path, 0, 1, 0, 64}, bad},
		{"the credential at another hook", "get", []int64{int64(abi.FieldCredential), 0, 0, 64}, elsewhere},
		{"a header that is not granted", "get_named", []int64{header, 0, 1, 0, 64}, ungranted},

		{"no room at all", "get", []int64{path, 0, 0, 0}, pathLength},
		{"a byte too little", "get", []int64{path, 0, 0, pathLength - 1}, pathLength},
		{"no room, nowhere", "get", []int64{path, 0, -1, 0}, pathLength},
		{"room past the end of memory", "get", []int64{path, 0, memory - 4, 64}, bad},
		{"room at the end of 32 bits", "get", []int64{path, 0, -1, 64}, bad},
		{"room that wraps around", "get", []int64{path, 0, -4, -1}, bad},
		{"more room than there is memory", "get", []int64{path, 0, 0, -1}, pathLength},
		{"upper halves are ignored", "get", []int64{path | 7<<32, 0 | 7<<32, 0 | 7<<32, 64 | 7<<32}, pathLength},
		{"a number without room", "get", []int64{stream, 0, 0, 7}, 8},
		{"a number past the end of memory", "get", []int64{stream, 0, memory - 7, 8}, bad},
		{"a list past the end of memory", "get", []int64{priority, -1, memory - 15, 16}, bad},

		{"element 1 of what is no list", "get", []int64{path, 1, 0, 64}, bad},
		{"element -1 of what is no list", "get", []int64{path, -1, 0, 64}, bad},
		{"element -1 of a list of texts", "get", []int64{model, -1, 0, 64}, bad},
		{"element -2 of a list", "get", []int64{priority, -2, 0, 64}, bad},
		{"the element after the last", "get", []int64{model, 2, 0, 64}, absent},
		{"the greatest element", "get", []int64{priority, math.MaxInt32, 0, 64}, absent},
		{"the label after the last", "get", []int64{label, 2, 0, 64}, absent},
		{"label -1", "get", []int64{label, -1, 0, 64}, bad},
		{"a label past the end of memory", "get", []int64{label, 0, memory - 8, 64}, bad},
		{"a label nowhere", "get", []int64{label, 0, -1, 64}, bad},
		{"a label as a number", "get_i64", []int64{label, 0}, abi.NoValue},
		{"the limit after the last", "get", []int64{limit, int64(abi.NumLimits), 0, 64}, absent},
		{"limits past the end of memory", "get", []int64{limit, -1, memory - 95, 128}, bad},
		{"a text as a number", "get_i64", []int64{path, 0}, abi.NoValue},
		{"a list as a number", "get_i64", []int64{priority, -1}, abi.NoValue},
		{"an output as a number", "get_i64", []int64{step, 0}, abi.NoValue},
		{"no field as a number", "get_i64", []int64{-1, -1}, abi.NoValue},

		{"a name past the end of memory", "get_named", []int64{header, memory - 1, 2, 0, 64}, bad},
		{"a name of 4 GiB", "get_named", []int64{header, 0, -1, 0, 64}, bad},
		{"a step that is not there", "set_i64", []int64{step, 0, 2}, bad},
		{"the least step", "set_i64", []int64{step, 0, math.MinInt64}, bad},
		{"element 1 of a step", "set_i64", []int64{step, 1, 0}, bad},
		{"element -1 of a step", "set_i64", []int64{step, -1, 0}, bad},
		{"a step from nowhere", "set", []int64{step, 0, -1, 8}, bad},
		{"a step as bytes", "set", []int64{step, 0, 0, 8}, bad},
		{"stop, by 2", "set_i64", []int64{stop, 0, 2}, bad},
		{"an output of another hook", "set_i64", []int64{int64(abi.FieldCost), 0, 1}, elsewhere},
		{"a text output of another hook", "set", []int64{int64(abi.FieldDenyMessage), 0, 0, 1}, elsewhere},
		{"no output", "set", []int64{2000, 0, 0, 1}, unknown},

		{"a log line from nowhere", "log", []int64{1, -1, 5}, bad},
		{"a log line past the end of memory", "log", []int64{1, memory - 2, 3}, bad},
		{"a log line of 4 GiB is cut", "log", []int64{1, 0, -1}, 0},
		{"log level 4", "log", []int64{4, 0, 1}, bad},
		{"log level -1", "log", []int64{-1, 0, 1}, bad},
		{"random bytes past the end of memory", "random", []int64{memory - 1, 2}, bad},
		{"random bytes nowhere", "random", []int64{-1, 1}, bad},
		{"4097 random bytes", "random", []int64{0, 4097}, bad},
		{"4 GiB of random bytes", "random", []int64{0, -1}, bad},
		{"no random bytes", "random", []int64{-1, 0}, 0},
		{"a configuration past the end of memory", "config", []int64{memory - 1, 64}, bad},
		{"a configuration without room", "config", []int64{-1, 0}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := in(t, runtime.Policy{Config: []byte("{}")}, runtime.Options{}, func(h host) {
				if got := h.call(test.function, test.args...); got != test.want {
					t.Errorf("%s%v answers %d, want %d", test.function, test.args, got, test.want)
				}
			})
			if answer := full().of(set, abi.ChooseStep); answer != abi.NoVerdict {
				t.Errorf("the guest did not survive: answer %d", answer)
			}
		})
	}
}

// While an instance is made there is no question, so nothing of one can be read or set.
func TestNothingIsAskedWhileAnInstanceIsMade(t *testing.T) {
	for _, export := range []string{abi.ExportInitialize, abi.ExportConfigure} {
		g := wasmtest.NewGuest()
		g.Hook("authenticate", wasmtest.Pass)
		if export == abi.ExportConfigure {
			g.Hook(export, g.Host("now"), wasmtest.Drop, wasmtest.I32Const(0))
		} else {
			g.Func(export, nil, nil, nil, g.Host("now"), wasmtest.Drop)
		}
		called := false
		load(t, runtime.Policy{Grants: everyGrant, Wasm: g.Bytes(), Config: []byte("{}")}, runtime.Options{}, func(h host) {
			called = true
			for _, f := range abi.Fields() {
				function := "get"
				if f.Output {
					function = "set"
				}
				if code := h.call(function, int64(f.ID), 0, 0, 64); code != int64(abi.WrongHook) {
					t.Errorf("%s: %s answers %d", export, f.Name, code)
				}
			}
			for _, function := range []string{"identity_lookup", "metric", "kv_get", "kv_version", "kv_set", "kv_delete", "kv_cas", "kv_incr", "kv_window_add", "kv_list"} {
				if code := h.call(function, 0, 32, 0, 0, 0, 0, 0); code != int64(abi.WrongHook) {
					t.Errorf("%s: %s answers %d", export, function, code)
				}
			}
			if n := h.call("config", 0, 2); n != 2 {
				t.Errorf("%s: config answers %d", export, n)
			}
		})
		if !called {
			t.Errorf("%s did not run", export)
		}
	}
}

// FuzzCalls calls any function with any arguments at any hook. A panic would end the guest's call as a failure.
func FuzzCalls(f *testing.F) {
	f.Add(uint8(0), uint8(0), int64(abi.FieldRequestPath), int64(0), int64(0), int64(64), int64(0), int64(0), int64(0))
	f.Add(uint8(0), uint8(1), int64(abi.FieldStepWeight), int64(-1), int64(memory-8), int64(16), int64(0), int64(0), int64(0))
	f.Add(uint8(2), uint8(0), int64(abi.FieldRequestHeaders), int64(0), int64(6), int64(0), int64(64), int64(0), int64(0))
	f.Add(uint8(3), uint8(2), int64(abi.FieldCostBreakdown), int64(-1), int64(0), int64(80), int64(0), int64(0), int64(0))
	f.Add(uint8(4), uint8(0), int64(abi.FieldAllowHandle), int64(0), int64(1), int64(0), int64(0), int64(0), int64(0))
	f.Add(uint8(5), uint8(0), int64(0), int64(32), int64(0), int64(0), int64(0), int64(0), int64(0))
	f.Add(uint8(10), uint8(0), int64(0), int64(64), int64(0), int64(0), int64(0), int64(0), int64(0))
	f.Add(uint8(11), uint8(0), int64(0), int64(64), int64(memory-32), int64(0), int64(0), int64(0), int64(0))
	f.Add(uint8(15), uint8(1), int64(0), int64(1), int64(0), int64(64), int64(0), int64(0), int64(0))
	f.Add(uint8(17), uint8(1), int64(0), int64(1), int64(0), int64(0), int64(64), int64(1000), int64(0))
	f.Add(uint8(18), uint8(1), int64(0), int64(2), int64(1), int64(-5), int64(5), int64(0), int64(memory-8))
	f.Add(uint8(19), uint8(2), int64(0), int64(3), int64(1), int64(10), int64(1000), int64(8), int64(0))
	f.Add(uint8(20), uint8(2), int64(0), int64(0), int64(0), int64(0), int64(0), int64(64), int64(0))
	functions := abi.Functions()
	var fuzzed func(h host)
	outside := hostfuncs.Options{KV: remembering(f, nil), Meter: counts{}}
	p := passing(runtime.Policy{Grants: everyGrant, Config: []byte("{}"), Script: []byte("pass()")})
	set := loadWith(f, outside, p, runtime.Options{}, func(h host) { fuzzed(h) })
	f.Fuzz(func(t *testing.T, function, hook uint8, a, b, c, d, e, g, i int64) {
		called := functions[int(function)%len(functions)]
		args := []int64{a, b, c, d, e, g, i}[:len(called.Params)]
		fuzzed = func(h host) {
			before := len(h.memory(0, memory))
			if got := h.call(called.Name, args...); called.Results[0] == abi.I32 && got < int64(abi.Conflict) {
				t.Errorf("%s%v answers %d, which is no code", called.Name, args, got)
			}
			if after := len(h.memory(0, memory)); before != memory || after != memory {
				t.Errorf("the memory has %d and then %d bytes", before, after)
			}
		}
		if answer := full().of(set, abi.Hook(hook)%abi.NumHooks); answer != abi.NoVerdict {
			t.Errorf("%s%v ended the guest: answer %d", called.Name, args, answer)
		}
	})
}
