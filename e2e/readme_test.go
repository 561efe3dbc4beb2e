//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme runs every block of the README that is marked as sh, in order, as a newcomer would: in the root of the
// project, stopping at the first command that fails. Blocks marked as text are for reading.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the project")
	}
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	must(t, err)
	blocks := shellBlocks(string(text))
	if len(blocks) == 0 {
		t.Fatal("the README has no sh block")
	}
	// A folder of its own, that is not there yet, in place of the one that the README names.
	commands := strings.ReplaceAll(strings.Join(blocks, "\n"), "/tmp/sallyport-readme", filepath.Join(t.TempDir(), "first"))
	c := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", commands)
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// shellBlocks returns the content of the blocks that are fenced as sh.
func shellBlocks(text string) (blocks []string) {
	for rest := text; ; {
		_, block, found := strings.Cut(rest, "\n```sh\n")
		if !found {
			return blocks
		}
		block, rest, _ = strings.Cut(block, "\n```")
		blocks = append(blocks, block)
	}
}
