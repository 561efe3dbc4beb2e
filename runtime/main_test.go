package runtime_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-dev/sallyport/runtime"
)

// compileArgument makes this binary the compiler's process.
const compileArgument = "compile-policy"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == compileArgument {
		if runtime.CompileChild(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// compiler has modules compiled by this binary in a process of its own.
func compiler(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, os.Args[0], compileArgument)
}
