// Package house holds no code: its tests keep what ARCHITECTURE.md says of the house true.
package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/sallyport-dev/sallyport/"
)

// room is a row of ARCHITECTURE.md's table of packages.
type room struct {
	imports []string // packages of ours that it imports
	owns    []string // third-party modules that it may import
}

// TestDependencies compares the imports of every package with its row, both ways: an arrow that the table does not
// have is a violation, and one that the code does not have any more is a stale row. Tests of a package are free.
func TestDependencies(t *testing.T) {
	table := readTable(t)
	actual := readImports(t)
	for name, imports := range actual {
		row, ok := table[name]
		if !ok {
			t.Errorf("package %s has no row in ARCHITECTURE.md", name)
			continue
		}
		var ours []string
		for _, i := range imports {
			if short, ok := strings.CutPrefix(i, module); ok {
				ours = append(ours, short)
				if !slices.Contains(row.imports, short) {
					t.Errorf("%s imports %s, which its row in ARCHITECTURE.md does not allow", name, short)
				}
			} else if !slices.ContainsFunc(row.owns, func(m string) bool { return i == m || strings.HasPrefix(i, m+"/") }) {
				t.Errorf("%s imports %s, which its row in ARCHITECTURE.md does not own", name, i)
			}
		}
		for _, i := range row.imports {
			if !slices.Contains(ours, i) {
				t.Errorf("ARCHITECTURE.md says that %s imports %s; it does not", name, i)
			}
		}
	}
	for name := range table {
		if _, ok := actual[name]; !ok {
			t.Errorf("ARCHITECTURE.md has a row for %s, which is no package", name)
		}
	}
}

// readTable reads the rows whose first cell is a package: | `name` | job | imports | owns |.
func readTable(t *testing.T) map[string]room {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]room{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		names := codes(cells[1])
		table[names[0]] = room{imports: codes(cells[3]), owns: codes(cells[4])}
	}
	return table
}

// codes returns what stands between backquotes.
func codes(cell string) []string {
	var all []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			all = append(all, part)
		}
	}
	return all
}

// readImports parses every Go file of the main module, tests aside, and returns what each package imports beyond
// the standard library.
func readImports(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(file, d)
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, _ := filepath.Rel(root, filepath.Dir(file))
		name := filepath.ToSlash(dir)
		all[name] = append(all[name], []string{}...)
		for _, i := range parsed.Imports {
			if p := strings.Trim(i.Path.Value, `"`); isThirdParty(p) && !slices.Contains(all[name], p) {
				all[name] = append(all[name], p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// enter skips what is no part of the main module.
func enter(dir string, d fs.DirEntry) error {
	name := d.Name()
	if dir == root {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" {
		return fs.SkipDir
	}
	return nil
}

func isThirdParty(p string) bool {
	first, _, _ := strings.Cut(path.Clean(p), "/")
	return strings.Contains(first, ".")
}

// TestStages holds ARCHITECTURE.md's list of stages against the request path: every stage is a file of gateway.
func TestStages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "1. **"); ok {
			stage, _, _ := strings.Cut(rest, "**")
			found++
			if _, err := os.Stat(filepath.Join(root, "gateway", stage+".go")); err != nil {
				t.Errorf("stage %q: %v", stage, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("ARCHITECTURE.md lists %d stages", found)
	}
}
