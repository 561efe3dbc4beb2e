package runtime_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// printing is a guest that prints a text to a standard stream, times times, and then does end. It does so in the
// export that is named, which is a hook or _initialize.
func printing(export string, stream int32, text string, times int, end []byte) []byte {
	var m w.Module
	write := m.Import(abi.ModuleWASI, "fd_write", []w.Type{w.I32, w.I32, w.I32, w.I32}, []w.Type{w.I32})
	m.Memory(1)
	m.Data(0, []byte{16, 0, 0, 0, byte(len(text)), byte(len(text) >> 8), 0, 0}) // one buffer, at 16
	m.Data(16, []byte(text))
	body := bytes.Repeat(w.Code(w.I32Const(stream), w.I32Const(0), w.I32Const(1), w.I32Const(8), w.Call(write), w.Drop), times)
	if export == abi.ExportInitialize {
		m.Func(export, nil, nil, nil, body, end)
		m.Hook("price_response", w.Pass)
		return m.Bytes()
	}
	m.Hook(export, body, end)
	return m.Bytes()
}

func TestStandardErrorBelongsToItsCall(t *testing.T) {
	const hook, output, complaint = "price_response", 1, 2
	trace := "panic: on purpose\n\ngoroutine 1 [running]:\nmain.f()\n\t/src/main.go:7\n"
	for _, test := range []struct {
		name string
		wasm []byte
		want []string // lines; of a failure what the guest said
	}{
		{"a remark", printing(hook, complaint, "odd\nvery odd\n", 1, w.Pass), []string{"odd", "very odd"}},
		{"an unfinished remark", printing(hook, complaint, "odd", 2, w.Pass), []string{"oddodd"}},
		{"a panic", printing(hook, complaint, trace, 1, w.Unreachable),
			[]string{"a policy failed: panic: on purpose; goroutine 1 [running]:; main.f() < /src/main.go:7"}},
		{"a failure that the policy knows of", printing(hook, complaint, "no database", 1, w.Error), []string{"a policy failed: no database"}},
		{"a forged line", printing(hook, complaint, "x\nlevel=ERROR \x1b[2J", 1, w.Error), []string{`a policy failed: x; level=ERROR \x1b[2J`}},
		{"too much", printing(hook, complaint, strings.Repeat("x", 1000), 100, w.Error), []string{"a policy failed: " + strings.Repeat("x", 4096)}},
		{"a long remark", printing(hook, complaint, strings.Repeat("x", 2000), 1, w.Pass), []string{strings.Repeat("x", 1024)}},
		{"standard output is told at once", printing(hook, output, "hello\n", 1, w.Unreachable), []string{"hello", "a policy failed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var lines messages
			set := load(t, runtime.Options{Log: slog.New(&lines)}, runtime.Policy{Name: "p", Wasm: test.wasm})
			set.PriceResponse(&abi.Pricing{})
			if got := strings.Join(lines, "|"); got != strings.Join(test.want, "|") {
				t.Errorf("logged %q", got)
			}
			if strings.Contains(test.name, "remark") { // nothing is left for the next call
				lines = nil
				set.PriceResponse(&abi.Pricing{})
				if got := strings.Join(lines, "|"); got != strings.Join(test.want, "|") {
					t.Errorf("the second call logged %q", got)
				}
			}
		})
	}
}

func TestAPanicWhileComingUpIsTold(t *testing.T) {
	_, err := newRuntime(t, runtime.Options{}).Load(t.Context(), []runtime.Policy{{Name: "p",
		Wasm: printing(abi.ExportInitialize, 2, "panic: no\nluck", 1, w.Unreachable)}})
	if err == nil || !strings.HasSuffix(err.Error(), "the guest printed: panic: no; luck") || strings.Contains(err.Error(), "went to") {
		t.Errorf("error %v", err)
	}
}

func TestGuestsLinesNameTheirRequest(t *testing.T) {
	var log bytes.Buffer
	set := load(t, runtime.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		runtime.Policy{Name: "p", Wasm: printing("price_response", 2, "odd", 1, w.Pass)})
	set.PriceResponse(&abi.Pricing{Request: &abi.Request{ID: []byte("req_1")}})
	if !strings.Contains(log.String(), "line=odd request_id=req_1") {
		t.Errorf("logged %s", log.String())
	}
}
