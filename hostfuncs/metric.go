package hostfuncs

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Meter gets what policies count. It is called by many guests at once, and must not block.
type Meter interface {
	// Add adds to a counter of a policy. Names are 1 to 64 of a to z, 0 to 9 and _, and few; value is not negative.
	Add(policy, name string, value int64)
}

// Bounds of what policies count: each name is a series that the gateway keeps for as long as it runs.
const (
	maxMetrics    = 16 // of a policy
	maxMetricName = 64
)

// counters are the names that policies count under.
type counters struct {
	meter    Meter
	policies byPolicy[*names]
}

// names are those of one policy. There are so few that looking at each finds one soonest.
type names struct {
	adding sync.Mutex
	all    atomic.Pointer[[]string]
}

// find returns a name as a string that outlives the guest's memory.
func (n *names) find(name []byte) (string, bool) {
	all := n.all.Load()
	if all == nil {
		return "", false
	}
	for _, known := range *all {
		if string(name) == known {
			return known, true
		}
	}
	return "", false
}

// add takes in a name if there is room for it.
func (n *names) add(name []byte) (string, bool) {
	n.adding.Lock()
	defer n.adding.Unlock()
	if known, ok := n.find(name); ok {
		return known, true
	}
	var more []string
	if all := n.all.Load(); all != nil {
		more = slices.Clone(*all)
	}
	if len(more) == maxMetrics {
		return "", false
	}
	more = append(more, string(name))
	n.all.Store(&more)
	return more[len(more)-1], true
}

// metric is metric(name, name_len, value) -> code.
func (m *counters) metric(c *runtime.Call, stack []uint64) {
	name, ok := c.Read(word(stack, 0), word(stack, 1))
	switch value := int64(stack[2]); {
	case c.Hook >= abi.NumHooks: // instances come up as often as the host likes
		answerCode(stack, abi.WrongHook)
	case !ok || !isMetricName(name) || value < 0:
		answerCode(stack, abi.BadArgument)
	default:
		answerCode(stack, m.add(c.Policy, name, value))
	}
}

func (m *counters) add(policy string, name []byte, value int64) abi.Code {
	n, ok := m.policies.find(policy)
	if !ok {
		n, _ = m.policies.add(policy, func() (*names, error) { return new(names), nil }) // which cannot fail
	}
	known, ok := n.find(name)
	if !ok {
		if known, ok = n.add(name); !ok {
			return abi.OverQuota
		}
	}
	if m.meter != nil {
		m.meter.Add(policy, known, value)
	}
	return abi.OK
}

func isMetricName(name []byte) bool {
	for _, b := range name[:min(len(name), maxMetricName)] {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxMetricName
}
