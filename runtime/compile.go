package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
)

// CompileLimits bound the process that compiles one module. Zero values mean the defaults.
type CompileLimits struct {
	Time   time.Duration // of a processor, rounded up to seconds; default DefaultCompileTime
	Memory int64         // bytes beyond those that the process has when it begins; default DefaultCompileMemory
}

// The limits that hold where none are given. A Go guest of 4 MB takes two seconds, and 64 to 128 MiB.
const (
	DefaultCompileTime   = 30 * time.Second
	DefaultCompileMemory = 512 << 20
)

// compileShare is the least share of a processor that a child gets, as one by so much: it gives way to others, and on a
// machine that starts a lot at once that is no fault of the module. The time on the clock ends a child that hangs.
const compileShare = 10

// compiler compiles modules in child processes, which fill the disk cache. wazero's compiler heeds no context, and
// what it takes is the guest's choice; a process can be killed, and its memory bounded.
type compiler struct {
	command func(ctx context.Context) *exec.Cmd
	limits  CompileLimits
}

// job is what a child is told on its standard input, on one line. The module follows.
type job struct {
	CacheDir    string        `json:"cache_dir"`
	MemoryPages uint32        `json:"memory_pages"`
	Time        time.Duration `json:"time_ns"`
	Memory      int64         `json:"memory_bytes"`
}

// newCompiler returns nil where modules are to be compiled in this process.
func newCompiler(o Options) (*compiler, error) {
	if o.Compiler == nil {
		return nil, nil
	}
	if o.CacheDir == "" {
		return nil, errors.New("a compiler in a process of its own needs a cache's folder to leave its work in")
	}
	c := &compiler{command: o.Compiler, limits: o.CompileLimits}
	if c.limits.Time == 0 {
		c.limits.Time = DefaultCompileTime
	}
	if c.limits.Memory == 0 {
		c.limits.Memory = DefaultCompileMemory
	}
	return c, nil
}

// childEnvironment is all that a child gets of the environment, where the operator's secrets are. One processor is
// enough for it: the others serve requests.
var childEnvironment = [...]string{"GOMAXPROCS=1"}

// maxSaid is how much of what a child says is read, in bytes.
const maxSaid = 4 << 10

// compile has a module compiled by a child. If it returns nil, the compiled code is in the folder. If not, the folder is
// gone, with what a child may have left half-written.
func (c *compiler) compile(ctx context.Context, folder string, pages uint32, wasm []byte) error {
	header, err := json.Marshal(job{folder, pages, c.limits.Time, c.limits.Memory})
	if err != nil {
		return fmt.Errorf("telling the compiler what to do: %w", err)
	}
	timed, cancel := context.WithTimeout(ctx, compileShare*processorLimit(c.limits.Time))
	defer cancel()
	reason, last := &head{}, &head{}
	cmd := c.command(timed)
	cmd.Env = childEnvironment[:]
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(header, '\n')), bytes.NewReader(wasm))
	cmd.Stdout, cmd.Stderr = reason, last
	cmd.WaitDelay = time.Second
	if err = cmd.Run(); err == nil {
		return nil
	}
	_ = os.RemoveAll(folder) // what is left is in nobody's way
	if usedUp(cmd.ProcessState, c.limits.Time) {
		return fmt.Errorf("it takes longer than the %s that are allowed", c.limits.Time)
	}
	return c.explain(ctx, timed, err, string(reason.kept), string(last.kept))
}

// explain says why a child did not do its work. reason is what it says itself, last what it said when it crashed.
func (c *compiler) explain(ctx, timed context.Context, err error, reason, last string) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case timed.Err() != nil:
		return fmt.Errorf("it is not done after %s, of which %s of a processor are allowed", compileShare*processorLimit(c.limits.Time), c.limits.Time)
	case isOutOfMemory(reason + last):
		return fmt.Errorf("it takes more than the %d MiB of memory that are allowed", c.limits.Memory>>20)
	case reason != "":
		return errors.New(printable([]byte(strings.TrimSpace(reason))))
	default:
		return fmt.Errorf("the compiler's process failed: %w: %s", err, onOneLine(last))
	}
}

// processorLimit is a time in whole seconds, as the system bounds it.
func processorLimit(t time.Duration) time.Duration {
	return (t + time.Second - 1).Truncate(time.Second)
}

// usedUp reports whether the system ended a child for the time that it took of a processor. What it says that this was may
// be a little less than what it went by.
func usedUp(p *os.ProcessState, limit time.Duration) bool {
	if p == nil {
		return false
	}
	status, ok := p.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL && p.UserTime()+p.SystemTime() > limit/10*9
}

// isOutOfMemory recognizes how Go's runtime, and wazero on it, say that the system gave them no more.
func isOutOfMemory(said string) bool {
	for _, words := range []string{"out of memory", "cannot allocate memory", "cannot map pages"} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return false
}

// head keeps the beginning of what is written to it.
type head struct{ kept []byte }

func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), maxSaid-len(h.kept))]...)
	return len(b), nil
}

// CompileChild compiles one module into the disk cache: it is what a process that Options.Compiler starts does, and
// all that it does. in is its standard input, out its standard output, on which it says what is wrong with the module;
// the process ends with a status other than 0 if there is an error. It bounds the memory and the processor time of the
// whole process and lowers its priority, so no other process may call it.
func CompileChild(ctx context.Context, in io.Reader, out io.Writer) error {
	err := compileChild(ctx, in)
	if err != nil {
		fmt.Fprintln(out, err)
	}
	return err
}

func compileChild(ctx context.Context, in io.Reader) error {
	j, wasm, err := readJob(in)
	if err != nil {
		return fmt.Errorf("reading what to compile: %w", err)
	}
	if err := confine(j.Time, j.Memory); err != nil {
		return fmt.Errorf("bounding the compiler's process: %w", err)
	}
	cache, err := openCache(j.CacheDir)
	if err != nil {
		return err
	}
	r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(cache, j.MemoryPages))
	if _, err = compile(ctx, r, wasm); err != nil {
		return err
	}
	return errors.Join(r.Close(ctx), cache.Close(ctx))
}

func readJob(in io.Reader) (j job, wasm []byte, err error) {
	all, err := io.ReadAll(in)
	if err != nil {
		return j, nil, err
	}
	header, wasm, found := bytes.Cut(all, []byte("\n"))
	if !found {
		return j, nil, errors.New("the line that says how is missing")
	}
	return j, wasm, json.Unmarshal(header, &j)
}
