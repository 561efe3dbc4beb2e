package fuel

import (
	"fmt"
	"slices"
)

// functionName names a function for a message: its index and, where the module's name section knows it, its name.
// The section is read only now, since messages are rare, and leniently, since it is no part of the program.
func (m *module) functionName(index int) string {
	i := slices.IndexFunc(m.info.Custom, func(c CustomSection) bool { return c.Name == "name" })
	if i < 0 {
		return fmt.Sprint(index)
	}
	const functions = 1
	r := &reader{buf: m.info.Custom[i].Data}
	for r.more() {
		kind, sub := r.byte(), &reader{buf: r.take(r.u32())}
		if kind != functions {
			continue
		}
		for range sub.count() {
			if at, name := sub.u32(), sub.name(); sub.err == nil && int64(at) == int64(index) {
				return fmt.Sprintf("%d %q", index, name)
			}
		}
	}
	return fmt.Sprint(index)
}
