package project

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// build is one run of a toolchain.
type build struct {
	ctx     context.Context
	dir     string // the project's
	sdk     string // where the SDK's sources are
	scratch string // for what the toolchain makes on the way
	out     string // the module to make
	log     io.Writer
	engine  func() ([]byte, error) // runs policies in JavaScript; nil: there is none
}

// ErrToolchain says that a toolchain is not installed. What to install stands around it.
var ErrToolchain = errors.New("is not installed")

func missing(tool, packages string) error {
	return fmt.Errorf("%s %w: %s", tool, ErrToolchain, packages)
}

// cleared are variables that would make a module depend on who builds it.
var cleared = []string{
	"GOFLAGS", "GOWORK", "GOEXPERIMENT", "GOWASM", "GO111MODULE", "GOOS", "GOARCH", "GOTOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER",
	"CPATH", "C_INCLUDE_PATH", "CFLAGS", "SOURCE_DATE_EPOCH",
}

// run runs a command in the project's folder.
func (b *build) run(environment []string, command string, args ...string) error {
	c := exec.CommandContext(b.ctx, command, args...)
	c.Dir, c.Stdout, c.Stderr = b.dir, b.log, b.log
	c.Env = append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(cleared, name)
	}), environment...)
	if err := c.Run(); err != nil {
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		return fmt.Errorf("%s: %w", filepath.Base(command), err)
	}
	return nil
}

// say returns the first line that a command prints.
func (b *build) say(command string, args ...string) string {
	c := exec.CommandContext(b.ctx, command, args...)
	c.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	text, err := c.Output()
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimSpace(string(line))
}

// buildGo leaves the names of functions in, without which a failure cannot say where it happened.
func buildGo(b *build) (string, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", missing("go", "https://go.dev/dl, version 1.26 or newer")
	}
	err = b.run([]string{"GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "GOTOOLCHAIN=local"}, compiler,
		"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-buildid=", "-o", b.out, ".")
	return b.say(compiler, "env", "GOVERSION"), err
}

const rustPackages = "(Debian: apt-get install rustc libstd-rust-dev-wasm32 lld; with rustup: rustup target add wasm32-unknown-unknown)"

const rustTarget = "wasm32-unknown-unknown"

// rustc finds the first Rust compiler that has the target.
func (b *build) rustc() (string, error) {
	for _, name := range []string{"rustc", "/usr/bin/rustc"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if library := b.say(path, "--print", "target-libdir", "--target", rustTarget); library != "" {
			if _, err := os.Stat(library); err == nil {
				return path, nil
			}
		}
	}
	return "", missing("rustc with the library of "+rustTarget, rustPackages)
}

func buildRust(b *build) (string, error) {
	compiler, err := b.rustc()
	if err != nil {
		return "", err
	}
	flags := []string{
		"--edition", "2021", "--target", rustTarget, "-C", "opt-level=s", "-C", "lto=fat", "-C", "panic=abort", "-C", "strip=debuginfo",
		"--remap-path-prefix", b.sdk + "=sallyport", "--remap-path-prefix", b.scratch + "=build", "--remap-path-prefix", b.dir + "=.",
	}
	library := filepath.Join(b.scratch, "libsallyport.rlib")
	err = b.run(nil, compiler, append(slices.Clone(flags), "--crate-type", "rlib", "--crate-name", "sallyport", "-o", library,
		filepath.Join(b.sdk, "src", "lib.rs"))...)
	if err == nil {
		err = b.run(nil, compiler, append(slices.Clone(flags), "--crate-type", "cdylib", "--extern", "sallyport="+library, "-o", b.out, "policy.rs")...)
	}
	return b.say(compiler, "--version"), err
}

const cPackages = "(Debian: apt-get install clang lld)"

func buildC(b *build) (string, error) {
	compiler, err := exec.LookPath("clang")
	if err != nil {
		return "", missing("clang", cPackages)
	}
	if b.say(compiler, "--print-prog-name=wasm-ld") == "wasm-ld" { // that is its answer when it finds none
		return "", missing("wasm-ld", cPackages)
	}
	err = b.run(nil, compiler, "--target=wasm32", "-std=c11", "-O2", "-Wall", "-Wextra", "-ffreestanding", "-nostdlib", "-mbulk-memory",
		"-fno-ident", "-ffile-prefix-map="+b.sdk+"=sallyport", "-Wl,--no-entry", "-Wl,--strip-debug", "-I"+b.sdk, "-o", b.out, "policy.c")
	return b.say(compiler, "--version"), err
}

// buildAssemblyScript uses the compiler that npm has put beside the project, or beside a folder around it.
func buildAssemblyScript(b *build) (string, error) {
	compiler, err := b.asc()
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("node"); err != nil {
		return "", missing("node", "(Debian: apt-get install nodejs npm)")
	}
	// The compiler takes paths as names of modules, so they have to be relative.
	out, err := filepath.Rel(b.dir, b.out)
	if err != nil {
		return "", err
	}
	err = b.run(nil, compiler, "policy.ts", "-O3", "--shrinkLevel", "1", "--runtime", "incremental", "--debug",
		"--use", "abort="+SDKFolder+"/assembly/host/abort", "-o", out)
	return strings.Replace(b.say(compiler, "--version"), "Version", "AssemblyScript", 1), err
}

func (b *build) asc() (string, error) {
	for dir, above := b.sdk, b.dir; dir != above; dir, above = above, filepath.Dir(above) {
		path := filepath.Join(dir, "node_modules", ".bin", "asc")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath("asc"); err == nil {
		return path, nil
	}
	return "", missing("the AssemblyScript compiler", "run `npm install` in "+b.dir+", which brings what package.json names")
}

// buildZig needs no SDK: a policy in Zig declares what it calls.
func buildZig(b *build) (string, error) {
	compiler, arguments, err := b.zig()
	if err != nil {
		return "", err
	}
	zig := func(more ...string) []string { return append(slices.Clone(arguments), more...) }
	err = b.run(nil, compiler, zig("build-exe", "-target", "wasm32-freestanding", "-O", "ReleaseSmall", "-fno-entry", "-rdynamic",
		"--cache-dir", b.scratch, "-femit-bin="+b.out, "policy.zig")...)
	return "Zig " + b.say(compiler, zig("version")...), err
}

// zig finds the compiler: by its own name, by the one that PyPI's package gives it, or inside Python.
func (b *build) zig() (compiler string, arguments []string, err error) {
	for _, name := range []string{"zig", "python-zig"} {
		if compiler, err = exec.LookPath(name); err == nil {
			return compiler, nil, nil
		}
	}
	inPython := []string{"-m", "ziglang"}
	if compiler, err = exec.LookPath("python3"); err == nil && b.say(compiler, append(inPython, "version")...) != "" {
		return compiler, inPython, nil
	}
	return "", nil, missing("zig", "https://ziglang.org/download, or python3 -m pip install ziglang")
}

// ErrNoEngine says that there is nothing that runs policies in JavaScript.
var ErrNoEngine = errors.New("this program has no JavaScript engine")

// buildJavaScript puts the script beside the engine that runs it.
func buildJavaScript(b *build) (string, error) {
	if b.engine == nil {
		return "", ErrNoEngine
	}
	wasm, err := b.engine()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	script, err := os.ReadFile(filepath.Join(b.dir, "policy.js"))
	if err != nil {
		return "", err
	}
	if wasm, err = manifest.EmbedSection(wasm, manifest.ScriptSection, script); err != nil {
		return "", err
	}
	return "sallyport's JavaScript engine", os.WriteFile(b.out, wasm, 0o600)
}
