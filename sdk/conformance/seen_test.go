package conformance_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// seen is which fields a guest used, and which functions, codes and answers it met: that the cases leave nothing out is
// itself checked.
type seen struct {
	sync.Mutex
	fields    map[abi.FieldID]bool
	functions map[string]int // how often each was called
	codes     map[abi.Code]bool
}

func newSeen() *seen {
	return &seen{fields: map[abi.FieldID]bool{}, functions: map[string]int{}, codes: map[abi.Code]bool{}}
}

// watch is the host's functions, with a look at every call.
func (s *seen) watch(o hostfuncs.Options) []runtime.Function {
	contract := map[string]abi.Function{}
	for _, f := range abi.Functions() {
		contract[f.Name] = f
	}
	functions := hostfuncs.Functions(o)
	for i, f := range functions {
		hasField := len(contract[f.Name].Names) > 0 && contract[f.Name].Names[0] == "field"
		answersCode, answersVersion := contract[f.Name].Results[0] == abi.I32, strings.HasPrefix(f.Name, "kv_")
		functions[i].Call = func(c *runtime.Call, stack []uint64) {
			s.Lock()
			defer s.Unlock()
			s.functions[f.Name]++
			if hasField {
				s.fields[abi.FieldID(int32(uint32(stack[0])))] = true
			}
			f.Call(c, stack)
			if code := abi.Code(int32(uint32(stack[0]))); code <= abi.OK && (answersCode || answersVersion && int64(stack[0]) == int64(code)) {
				s.codes[code] = true
			}
		}
	}
	return functions
}

// calls returns how often a function was called.
func (s *seen) calls(function string) int {
	s.Lock()
	defer s.Unlock()
	return s.functions[function]
}

// complain says what no case has a guest use.
func (s *seen) complain(t *testing.T) {
	t.Helper()
	s.Lock()
	defer s.Unlock()
	for _, f := range abi.Fields() {
		if !s.fields[f.ID] {
			t.Errorf("no case has it use the field %s", f.Name)
		}
	}
	for _, f := range abi.Functions() {
		if s.functions[f.Name] == 0 {
			t.Errorf("no case has it call %s", f.Name)
		}
	}
	for code := abi.Conflict; code <= abi.OK; code++ {
		if !s.codes[code] && code != abi.NotSupported { // that is a stub's answer, which no function gives
			t.Errorf("no case has it meet the code %d", code)
		}
	}
}
