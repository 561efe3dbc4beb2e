package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

const head = `# The plugins that policies.yaml loads, to the byte. sallyport plugin lock writes this file and plugin update changes it;
# keep both files under version control.
version: 1
`

// Encode writes plugins.lock. The same entries make the same text.
func (f *File) Encode() []byte {
	var b strings.Builder
	b.WriteString(head)
	if len(f.Plugins) == 0 {
		b.WriteString("plugins: []\n")
		return []byte(b.String())
	}
	b.WriteString("plugins:\n")
	for i := range f.Plugins {
		f.Plugins[i].write(&b)
	}
	return []byte(b.String())
}

func (e *Entry) write(b *strings.Builder) {
	first := "  - "
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%s%s: %s\n", first, name, value)
			first = "    "
		}
	}
	line("name", yamlText(e.Name))
	line("reference", yamlText(e.Reference))
	line("plugin", yamlText(e.Plugin))
	line("version", yamlText(e.Version))
	line("manifest", e.Manifest)
	line("wasm", e.Wasm)
	line("abi", fmt.Sprint(e.ABI))
	line("grants", e.writtenGrants())
	if e.Signer != (Signer{}) {
		line("signer", fmt.Sprintf("{name: %s, key: %s}", yamlText(e.Signer.Name), yamlText(e.Signer.Key)))
	}
}

// writtenGrants writes the grants as policies.yaml does.
func (e *Entry) writtenGrants() string {
	var members, inputs []string
	for _, g := range sorted(e.Grants) {
		if input, ok := strings.CutPrefix(g, grantInput); ok {
			inputs = append(inputs, yamlText(input))
		} else {
			members = append(members, g)
		}
	}
	if len(inputs) > 0 {
		members = append(members, grantInput+"["+strings.Join(inputs, ", ")+"]")
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// plainYAML is a text that every reader of YAML takes for the text that it is, wherever it stands.
var plainYAML = regexp.MustCompile(`^(?:[a-z]+://)?[A-Za-z./][A-Za-z0-9._/+=@-]*(?::[A-Za-z0-9._/@-]+)*$`)

// yamlWords are plain texts that some readers take for something else.
var yamlWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".", ".inf", ".nan"}

// yamlText writes a text, in quotes where it needs them; nothing for an empty one.
func yamlText(s string) string {
	if s == "" || plainYAML.MatchString(s) && !slices.Contains(yamlWords, strings.ToLower(s)) && !strings.HasPrefix(s, "..") {
		return s
	}
	quoted, _ := json.Marshal(s) // a text cannot fail, and JSON's are YAML's
	return string(quoted)
}

// Write replaces plugins.lock as a whole, or leaves it as it was.
func (f *File) Write(path string) error {
	if err := Replace(path, f.Encode()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Replace replaces a file by a new one, which has the mode of the old. The dot keeps what is being written from being taken
// for a policy.
func Replace(path string, text []byte) error {
	return durable.Write(path, ".sallyport-", 0o644, func(f *os.File) error {
		info, err := os.Stat(path)
		if err == nil {
			err = f.Chmod(info.Mode().Perm())
		} else if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, durable.Content(text)(f))
	})
}
