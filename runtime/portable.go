package runtime

import (
	"errors"
	"fmt"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// ModuleExtism is the import module of the portable tier: the guest side of Extism. A guest may import it beside
// abi.ModulePolicy, and use in each call whichever it likes.
const ModuleExtism = "extism:host/env"

// Portable is the portable tier: guests that were built for hosts of Extism are asked by a message and answer by one.
type Portable struct {
	// Functions are what such guests may import from ModuleExtism. What they import beyond that answers 0.
	Functions []PortableFunction
	// NewSession makes what one instance of such a guest shares with its host.
	NewSession func() Session
}

// PortableFunction implements one function of ModuleExtism, in the way of Function.
type PortableFunction struct {
	Name    string
	Params  []abi.Type
	Results []abi.Type
	// Access is for functions that move some bytes and no more. A guest calls them hundreds of times to read its
	// message, so they cost it fuel, and do not count among the host calls that it may make.
	Access bool
	Call   func(c *Call, stack []uint64)
}

// Session is what an instance of a portable guest shares with its host. It serves one call at a time.
type Session interface {
	// Answered reports whether the guest has answered by a message in this call.
	Answered() bool
	// Answer sets the outputs that the message stands for. It reports whether the message is a pass instead, and
	// fails if it is neither. The fast tier's outputs are not set when it is called.
	Answer(c *Call) (pass bool, err error)
	// Complaint is what the guest says of why it failed; "" if it says nothing.
	Complaint() string
	// Reset forgets the call, with all that it left in memory.
	Reset()
}

// accessFuel is what a function with Access costs the guest: such a call takes the host about as long as this much
// code takes the guest. It is taken for accessBatch calls at once, because taking it costs as much as the function.
const (
	accessFuel  = 32
	accessBatch = 16
)

// portableFunctions are those of ModuleExtism as guests are linked to them; nil without a portable tier.
func portableFunctions(p *Portable) map[string]hostFunction {
	if p == nil {
		return nil
	}
	out := map[string]hostFunction{}
	for _, f := range p.Functions {
		kind := fuel.FuncType{Params: fuelTypes(f.Params), Results: fuelTypes(f.Results)}
		out[f.Name] = hostFunction{kind: kind, call: f.Call, access: f.Access}
	}
	return out
}

// Session is what the instance shares with its host by the portable tier; nil if its guest imports nothing of it.
func (c *Call) Session() Session { return c.session }

// Stop ends the guest's call as one that trapped: there is no way to answer what it did. It returns at once; the guest
// ends at its next step, and no other function is served.
func (c *Call) Stop(cause error) { c.in.stop(Trap, cause) }

// complaint is what the guest says of why it failed, if it speaks the portable tier.
func (c *Call) complaint() string {
	if c.session == nil {
		return ""
	}
	return c.session.Complaint()
}

// readAnswer makes outputs of a message, if the guest answered by one. It reports whether the message is a pass.
func (c *Call) readAnswer() (pass bool, err error) {
	if c.session == nil || !c.session.Answered() {
		return false, nil
	}
	if c.out.set|c.out.refused != 0 {
		return false, fmt.Errorf("the policy both set %s and answered by a message", fieldName((c.out.set | c.out.refused).first()))
	}
	return c.session.Answer(c)
}

// failedByItself is the failure of a guest that says itself that it failed.
func failedByItself(complaint string) *failedCall {
	if complaint == "" {
		return &failedCall{failure: GuestError, cause: errors.New("the policy answered that it failed")}
	}
	return &failedCall{failure: GuestError, cause: fmt.Errorf("the policy answered that it failed: %s", printable([]byte(complaint)))}
}
