package runtime

import (
	"fmt"
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
)

// inputSet is which fields a message of the portable tier has, a bit each; nil: all.
type inputSet *[16]uint64

// compileInputs looks the fields' names up in the contract. What needs a grant is in the set: who got one wants it.
func compileInputs(names []string) (inputSet, error) {
	if names == nil {
		return nil, nil
	}
	var set [16]uint64
	add := func(field abi.FieldID) { set[field>>6] |= 1 << (field & 63) }
	all := abi.Fields()
	for _, f := range all {
		if f.Grant && !f.Output {
			add(f.ID)
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(f abi.Field) bool { return f.Name == name && !f.Output })
		if i < 0 {
			return nil, fmt.Errorf("inputs: there is no field %q that a policy could read", name)
		}
		add(all[i].ID)
	}
	return &set, nil
}

// Wants reports whether a message to the policy is to have an input. Whether it may have it is another question.
func (c *Call) Wants(field abi.FieldID) bool {
	return c.inputs == nil || c.inputs[field>>6]&(1<<(field&63)) != 0
}
