package javascript_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

const sdk = "../../sdk/javascript/"

// Every script in the README is one that loads, and the first does what the text says of it.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(sdk + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	blocks := strings.Split(string(readme), "```js\n")[1:]
	if len(blocks) < 4 {
		t.Fatalf("there are %d scripts in it", len(blocks))
	}
	for i, block := range blocks {
		script, _, _ := strings.Cut(block, "```")
		if strings.Contains(script, "configure") {
			script += "export function authenticate() {}"
		}
		set := h.mustLoad(t, script, `{"teams": []}`)
		if i > 0 {
			continue
		}
		for shape, want := range map[abi.CredentialShape]abi.Answer{abi.CredentialNone: abi.Given, abi.CredentialForeign: abi.NoVerdict} {
			a := &abi.Authentication{Request: &abi.Request{ClientAddress: []byte("127.0.0.1")}, Shape: shape}
			if answer := set.Authenticate(a); answer != want {
				t.Errorf("with a credential of shape %d the answer is %q", shape, answers[answer])
			}
		}
	}
}

// The declarations for editors name everything that a script finds.
func TestDeclarations(t *testing.T) {
	text, err := os.ReadFile(sdk + "sallyport.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	set := h.mustLoad(t, `
		const names = (o) => Object.getOwnPropertyNames(o).filter((n) => n !== "constructor").join();
		export function authenticate(request) {
			const key = request.lookup();
			console.log([sallyport, sallyport.kv, request, Object.getPrototypeOf(key), key.limits].map(names).join());
		}
		export function chooseStep(choice) {
			console.log([choice, Object.getPrototypeOf(choice.steps[0])].map(names).join());
		}
		export function priceResponse(pricing) {
			console.log([pricing, pricing.usage].map(names).join());
		}`, "")
	set.Authenticate(everyField())
	set.ChooseStep(newChoice())
	set.PriceResponse(&abi.Pricing{Request: newRequest()})
	said := h.log.take()
	if len(said) != 3 {
		t.Fatalf("it logged %q; %s", said, h.log.last())
	}
	for name := range strings.SplitSeq(strings.Join(said, ","), ",") {
		declared := false
		for _, form := range []string{" " + name + ":", " " + name + "?:", " " + name + "(", " " + name + "<", `"` + name + `"`} {
			declared = declared || strings.Contains(string(text), form)
		}
		if !declared {
			t.Errorf("sallyport.d.ts does not declare %s", name)
		}
	}
}
