package fuel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// script is one file of the WebAssembly core test suite, as wast2json writes it.
type script struct {
	Commands []struct {
		Type     string
		Line     int
		Name     string // that later commands call a module by
		As       string // that later modules import a module by
		Filename string
		Action   struct {
			Type, Module, Field string
			Args                []constant
		}
	}
}

type constant struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// TestCoreTestSuite runs each command of the core test suite on a plain and on a metered module. What counts is that
// both do the same; that the plain one does the right thing is the engine's affair.
func TestCoreTestSuite(t *testing.T) {
	long(t)
	suite := coreTestSuite(t)
	files, err := filepath.Glob(filepath.Join(suite, "v2", "testdata", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts of the core test suite: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			plain := replay(t, suite, file, func(bin []byte) ([]byte, error) { return bin, nil })
			metered := replay(t, suite, file, func(bin []byte) ([]byte, error) {
				m, err := fuel.Instrument(bin, plenty, unlimited())
				if err != nil {
					return nil, err
				}
				return m.Binary, nil
			})
			for i := range plain {
				if plain[i] != metered[i] {
					t.Errorf("plain   %s\nmetered %s", plain[i], metered[i])
				}
			}
			t.Logf("%d commands with equal outcome", len(plain))
		})
	}
}

// coreTestSuite finds the suite, which comes with the source of wazero.
func coreTestSuite(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skipf("the source of wazero, which carries the core test suite, is not there: %v", errors.Join(err, statErr))
	}
	return dir
}

// stage is what a script has set up so far.
type stage struct {
	runtime   wazero.Runtime
	transform func([]byte) ([]byte, error)
	dir       string
	modules   map[string]api.Module // by the name in the script; "" is the last one
}

// replay performs a script and returns what became of each command.
func replay(t *testing.T, suite, file string, transform func([]byte) ([]byte, error)) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadFile(filepath.Join(suite, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	st := &stage{newRuntime(t, wazero.NewRuntimeConfig()), transform, filepath.Dir(file), map[string]api.Module{}}
	if _, err := st.runtime.Instantiate(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for i, c := range s.Commands {
		var outcome string
		switch c.Type {
		case "module":
			as := "" // the name is needed at once: wazero cannot register later
			if next := i + 1; next < len(s.Commands) && s.Commands[next].Type == "register" {
				as = s.Commands[next].As
			}
			outcome = st.load(t, c.Filename, c.Name, as)
			if !strings.HasPrefix(outcome, "loaded") {
				t.Errorf("line %d: %s", c.Line, outcome)
			}
		case "assert_invalid", "assert_malformed", "assert_unlinkable", "assert_uninstantiable":
			if filepath.Ext(c.Filename) == ".wasm" {
				outcome = st.refuse(t, c.Filename)
			}
		case "register":
		default:
			outcome = st.act(t, c.Action.Type, c.Action.Module, c.Action.Field, c.Action.Args)
		}
		outcomes = append(outcomes, fmt.Sprintf("%s:%d: %s: %s", filepath.Base(file), c.Line, c.Type, outcome))
	}
	return outcomes
}

func (st *stage) instantiate(t *testing.T, filename, as string) (api.Module, error) {
	t.Helper()
	bin, err := os.ReadFile(filepath.Join(st.dir, filename))
	if err != nil {
		t.Fatal(err)
	}
	if bin, err = st.transform(bin); err != nil {
		return nil, err
	}
	return st.runtime.InstantiateWithConfig(t.Context(), bin, wazero.NewModuleConfig().WithName(as))
}

func (st *stage) load(t *testing.T, filename, name, as string) string {
	t.Helper()
	mod, err := st.instantiate(t, filename, as)
	if err != nil {
		return "not loaded: " + err.Error()
	}
	st.modules[""] = mod
	if name != "" {
		st.modules[name] = mod
	}
	return "loaded"
}

// refuse tells only whether a module was refused: Instrument may be the one that does it, in other words.
func (st *stage) refuse(t *testing.T, filename string) string {
	t.Helper()
	if _, err := st.instantiate(t, filename, ""); err != nil {
		return "refused"
	}
	return "taken"
}

func (st *stage) act(t *testing.T, kind, module, field string, args []constant) string {
	t.Helper()
	mod := st.modules[module]
	if mod == nil {
		return "no module"
	}
	if kind == "get" {
		return fmt.Sprint(mod.ExportedGlobal(field).Get())
	}
	f := mod.ExportedFunction(field)
	var params []uint64
	for _, a := range args {
		params = append(params, a.bits(t)...)
	}
	results, err := f.Call(t.Context(), params...)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return first
	}
	for i, typ := range f.Definition().ResultTypes() {
		if api.ValueType(typ) == fuel.FuncRef[0] && results[i] != 0 {
			results[i] = 1 // an address, never the same twice
		}
	}
	return fmt.Sprintf("%x", results)
}

// bits gives a constant as wazero takes it.
func (c constant) bits(t *testing.T) []uint64 {
	t.Helper()
	parse := func(text string, bits int) uint64 {
		v, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	switch v := c.Value.(type) {
	case string:
		switch {
		case v == "null":
			return []uint64{0}
		case c.Type == "externref":
			return []uint64{parse(v, 64) + 1} // 0 stands for null
		}
		return []uint64{parse(v, 64)}
	case []any:
		width := 128 / len(v)
		out := make([]uint64, 2)
		for i, lane := range v {
			out[i*width/64] |= parse(lane.(string), width) << (i * width % 64)
		}
		return out
	}
	t.Fatalf("constant %v", c)
	return nil
}
