package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// Replace replaces a file by a new one beside it, so that no reader sees half of it, and none is left after a power cut. The dot
// keeps the new one from being taken for a policy.
func Replace(path string, text []byte) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".sallyport-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	mode := os.FileMode(0o644)
	if info, statErr := os.Stat(path); statErr == nil {
		mode = info.Mode().Perm()
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil //nolint:nilerr // the file is there; the folder is synced where that can be done
	}
	defer folder.Close()
	_ = folder.Sync()
	return nil
}
