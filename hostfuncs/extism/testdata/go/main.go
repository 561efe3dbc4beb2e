// Command go is a policy that is built with the Go PDK of Extism, and with nothing of Sallyport's. It lets a team in by its
// header, which it looks for in the text, tries the steps in turn and charges twice the price, for which it decodes the
// question; with the configuration `everything: yes` it uses every function of the PDK beside that.
package main

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"

	"github.com/extism/go-pdk"
)

type question struct {
	Attempt int               `json:"attempt"`
	Steps   []json.RawMessage `json:"steps"`
	Usage   map[string]int64  `json:"usage"`
	Price   map[string]string `json:"price"`
}

type answer struct {
	Verdict string `json:"verdict"`
	Step    *int   `json:"step,omitempty"`
	Cost    string `json:"cost,omitempty"`
}

// What a hook returns.
const (
	verdict = 0
	failed  = 1
)

// serve reads the question, answers it and says how that went.
func serve(decide func(q *question) (*answer, error)) int32 {
	var q question
	if err := pdk.InputJSON(&q); err != nil {
		pdk.SetError(err)
		return failed
	}
	useEverything()
	a, err := decide(&q)
	if err == nil {
		err = pdk.OutputJSON(a)
	}
	if err != nil {
		pdk.SetError(err)
		return failed
	}
	return verdict
}

//go:wasmexport authenticate
func authenticate() int32 {
	useEverything()
	_, team, _ := strings.Cut(pdk.InputString(), `"x-team":"`)
	team, _, _ = strings.Cut(team, `"`)
	switch team {
	case "":
		pdk.OutputString(`{"verdict":"pass"}`)
	case "blue":
		pdk.OutputString(`{"verdict":"deny","status":403,"message":"Not the blue team."}`)
	case "broken":
		pdk.SetError(errors.New("the team is broken: é"))
		return failed
	default:
		pdk.OutputString(`{"verdict":"allow","identity":{"id":"team-` + team + `","team":"` + team + `"}}`)
	}
	return verdict
}

//go:wasmexport choose_step
func chooseStep() int32 {
	return serve(func(q *question) (*answer, error) {
		step := (q.Attempt - 1) % len(q.Steps)
		return &answer{Verdict: "step", Step: &step}, nil
	})
}

//go:wasmexport price_response
func priceResponse() int32 {
	return serve(func(q *question) (*answer, error) {
		sum := new(big.Int)
		for dimension, units := range q.Usage {
			price, ok := new(big.Int).SetString("0"+q.Price[dimension], 10)
			if !ok {
				return nil, errors.New("the price is no number")
			}
			sum.Add(sum, price.Mul(price, big.NewInt(2*units)))
		}
		sum.Add(sum, big.NewInt(500_000))
		return &answer{Verdict: "price", Cost: sum.Div(sum, big.NewInt(1_000_000)).String()}, nil
	})
}

// useEverything calls every function that the PDK has, and logs what came of it, if the configuration asks for it.
func useEverything() {
	if everything, _ := pdk.GetConfig("everything"); everything != "yes" {
		return
	}
	say := func(what string, value any) {
		text, _ := json.Marshal(value)
		pdk.Log(pdk.LogInfo, what+": "+string(text))
	}
	say("input", len(pdk.Input())%8)
	missing, ok := pdk.GetConfig("missing")
	say("missing", []any{missing, ok})
	pdk.SetVar("model", []byte("coding, é"))
	say("variable", string(pdk.GetVar("model")))
	pdk.SetVarInt("count", 41)
	say("number", strconv.Itoa(pdk.GetVarInt("count")))
	pdk.RemoveVar("model")
	pdk.RemoveVar("count")
	say("removed", string(pdk.GetVar("model")))
	m := pdk.AllocateString("kept in memory, and found again")
	found := pdk.FindMemory(m.Offset())
	say("memory", string(found.ReadBytes()))
	m.Free()
	gone := pdk.FindMemory(m.Offset())
	say("freed", gone.Length())
	for _, level := range []pdk.LogLevel{pdk.LogTrace, pdk.LogDebug, pdk.LogWarn, pdk.LogError} {
		pdk.Log(level, "a line at "+strconv.Itoa(int(level)))
	}
}

func main() {}
