package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Given is what policies.yaml gives to a policy, with the limits that hold where it states none.
type Given struct {
	Identities, KV bool
	Inputs         []string
	Fuel, Memory   int64
	Time           time.Duration
}

// Missing returns what the plugin asks for beyond what is given, each with what to do about it, in words.
func (m *Manifest) Missing(g Given) (missing []string) {
	for _, a := range m.Grants {
		switch {
		case a.Identities != "" && !g.Identities, a.KV != "" && !g.KV:
			missing = append(missing, fmt.Sprintf("asks for the grant %s, %s: to give it, add %s to grants", a, because(a.Reason), a))
		case a.Input != "" && !slices.Contains(g.Inputs, a.Input):
			missing = append(missing, fmt.Sprintf("asks for the input %s, %s: to give it, add %s to grants.inputs", a.Input, because(a.Reason), a.Input))
		}
	}
	return append(missing, m.Limits.missing(g)...)
}

func because(reason string) string { return fmt.Sprintf("with the reason %q", reason) }

func (l Limits) missing(g Given) (missing []string) {
	say := func(name, asked, given, setting string) {
		missing = append(missing, fmt.Sprintf("needs %s of %s, and may have %s: to give it, set limits.%s", name, asked, given, setting))
	}
	if l.Fuel > g.Fuel {
		say("fuel", fmt.Sprint(l.Fuel), fmt.Sprint(g.Fuel), fmt.Sprintf("fuel to %d", l.Fuel))
	}
	if asked := time.Duration(l.Time) * time.Millisecond; asked > g.Time {
		say("a time", asked.String(), g.Time.String(), "time to "+asked.String())
	}
	if l.Memory > g.Memory {
		say("memory", Size(l.Memory), Size(g.Memory), "memory to "+Size(l.Memory))
	}
	return missing
}

// Size writes a number of bytes as policies.yaml does.
func Size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes > 0 && bytes%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", bytes/unit.bytes, unit.name)
		}
	}
	return fmt.Sprint(bytes)
}

// Entry returns the line of policies.yaml that gives the plugin everything that it asks for. wasm is the path that the line
// is to name; what of its configuration is required stands there as "…", to be filled in.
func (m *Manifest) Entry(wasm string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- {name: %s, wasm: %s", m.Name, quoteYAML(wasm))
	if len(m.Hooks) > 0 {
		fmt.Fprintf(&b, ", hooks: [%s]", strings.Join(m.Hooks, ", "))
	}
	if m.Veto {
		b.WriteString(", veto: true")
	}
	if required := m.requiredConfig(); len(required) > 0 {
		fmt.Fprintf(&b, ", config: {%s: …}", strings.Join(required, ": …, "))
	}
	if grants := m.grantMembers(); len(grants) > 0 {
		fmt.Fprintf(&b, ", grants: {%s}", strings.Join(grants, ", "))
	}
	if limits := m.Limits.members(); len(limits) > 0 {
		fmt.Fprintf(&b, ", limits: {%s}", strings.Join(limits, ", "))
	}
	return b.String() + "}"
}

func (m *Manifest) requiredConfig() []string {
	var schema struct {
		Required []string `json:"required"`
	}
	if json.Unmarshal(m.ConfigSchema, &schema) != nil {
		return nil // there is none
	}
	return schema.Required
}

func (m *Manifest) grantMembers() (members []string) {
	var inputs []string
	for _, a := range m.Grants {
		if a.Input != "" {
			inputs = append(inputs, a.Input)
		} else {
			members = append(members, a.String())
		}
	}
	if len(inputs) > 0 {
		members = append(members, "inputs: ["+strings.Join(inputs, ", ")+"]")
	}
	return members
}

func (l Limits) members() (members []string) {
	if l.Fuel > 0 {
		members = append(members, fmt.Sprintf("fuel: %d", l.Fuel))
	}
	if l.Time > 0 {
		members = append(members, "time: "+(time.Duration(l.Time)*time.Millisecond).String())
	}
	if l.Memory > 0 {
		members = append(members, "memory: "+Size(l.Memory))
	}
	return members
}

// quoteYAML puts quotes around a text that YAML could read as something else.
func quoteYAML(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(":#{}[],&*!|>'\"%@` ", r) }) {
		quoted, _ := json.Marshal(s) // a text cannot fail
		return string(quoted)
	}
	return s
}
