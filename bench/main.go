// Command bench measures what Sallyport costs beside a reverse proxy that does nothing: the same load is sent to each
// in turn, round after round, and CPU time, throughput, latency and memory are compared. README.md has the figures.
//
// It is a module of its own, because it needs libraries that the product must not have.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Parts of this program that run in processes of their own.
const (
	upstreamProgram = "upstream"
	bareProgram     = "bare"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) >= 2 && (args[0] == upstreamProgram || args[0] == bareProgram) {
		return serve(args)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "a rough measurement in less than a minute")
	gateway := flags.String("sallyport", "../bin/sallyport", "the `binary` to measure")
	rounds := flags.Int("rounds", 0, "how often each is measured (default 5, with -quick 1)")
	out := flags.String("out", "", "a `folder` for results.json and results.svg")
	beside := flags.String("beside", "", "another `binary`, measured beside it: one of before a change")
	profiles := flags.String("profiles", "", "a `folder` for a CPU profile of the gateway in each scenario; profiling costs it a little")
	only := flags.String("only", "", "scenarios, by `names` with commas between them: "+strings.Join(scenarioNames(), ", ")+
		" (default all, with -quick the first three)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	binary, err := filepath.Abs(*gateway)
	if err != nil {
		return err
	}
	p := fullPlan
	if *quick {
		p = quickPlan
	}
	if *rounds > 0 {
		p.rounds = *rounds
	}
	if *only != "" {
		p.only = *only
	}
	for _, name := range strings.Split(p.only, ",") {
		if name != "" && !slices.Contains(scenarioNames(), name) {
			return fmt.Errorf("there is no scenario %q: %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	p.profiles, p.beside = *profiles, *beside
	return measure(&p, binary, *out)
}

// serve is a part in a process of its own.
func serve(args []string) error {
	l, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	if args[0] == upstreamProgram {
		return serveUpstream(l)
	}
	if len(args) != 4 {
		return errors.New("bare needs an address, an upstream, and whether answers are streamed")
	}
	stream, err := strconv.ParseBool(args[3])
	if err != nil {
		return err
	}
	return serveBare(l, args[2], stream)
}

func measure(p *plan, binary, out string) (err error) {
	s, err := openShelf(binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	defer s.closeWhenInterrupted()()
	b := &bench{plan: *p, shelf: s, progress: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}}
	for _, sc := range scenarios {
		if err == nil && (p.only == "" || strings.Contains(","+p.only+",", ","+sc.name+",")) {
			err = sc.run(b)
		}
	}
	r := b.report() // what was measured before an error, too
	err = errors.Join(err, r.text(os.Stdout))
	if out != "" && err == nil {
		err = errors.Join(os.MkdirAll(out, 0o755), r.json(filepath.Join(out, "results.json")), r.picture(filepath.Join(out, "results.svg")))
	}
	return err
}
