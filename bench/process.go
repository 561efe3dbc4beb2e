package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that is measured, or that answers those that are.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	said    bytes.Buffer
	ended   chan struct{} // closed when it has ended
	ready   time.Duration // from its start until it took connections
}

// patience bounds the wait for a program to start, and to end.
const patience = 60 * time.Second

// start runs a program and waits until its address takes connections.
func start(name, address, program string, args ...string) (*process, error) {
	p := &process{name: name, address: address, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	// Whatever ends the bench ends what it has started.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is asked of the process
		close(p.ended)
	}()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			p.ready = time.Since(began)
			return p, c.Close()
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("starting %s: it ended: %s", name, p.said.String())
		case <-time.After(time.Millisecond):
		}
		if time.Since(began) > patience {
			return nil, errors.Join(fmt.Errorf("starting %s: it takes no connections at %s", name, address), p.stop())
		}
	}
}

// stop ends it and waits for that.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return errors.Join(p.cmd.Process.Kill(), fmt.Errorf("%s did not end by itself", p.name))
	}
}

// pids are those of the process and of what it has started: nginx works in children.
func (p *process) pids() ([]int, error) {
	pid := p.cmd.Process.Pid
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "task", strconv.Itoa(pid), "children"))
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	for field := range strings.FieldsSeq(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, child)
	}
	return pids, nil
}

// clockTick is the unit in which Linux tells CPU time, on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// cpu is the CPU time that it has used so far, in user and in kernel mode, as the kernel accounts for it.
func (p *process) cpu() (time.Duration, error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(text), ") ") // behind the name
		const user, system = 11, 12                   // utime and stime, counted from the state
		fields := strings.Fields(rest)
		for _, field := range []int{user, system} {
			n, err := strconv.Atoi(fields[field])
			if err != nil {
				return 0, err
			}
			sum += time.Duration(n) * clockTick
		}
	}
	return sum, nil
}

// memory is what it has in memory, in bytes: everything, shared files included, as operators see it.
func (p *process) memory() (bytes int64, err error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			if name != "VmRSS" {
				continue
			}
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, err
			}
			bytes += kilobytes << 10
		}
	}
	return bytes, nil
}

// freeAddress is an address on loopback where nobody listens. It is none of those that the kernel gives to outgoing
// connections: whoever dials one of them before somebody listens there may be connected with himself.
func freeAddress() (string, error) {
	const first, last = 20_000, 32_000
	for {
		address := fmt.Sprint("127.0.0.1:", first+rand.IntN(last-first))
		l, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", err
		}
		return address, l.Close()
	}
}
