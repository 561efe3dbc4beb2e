package runtime

import (
	"bytes"
	"errors"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// confine bounds this process: its memory, beyond what it has already, and the time that it may use of a processor, after
// which the system kills it. It also makes it give way to others.
func confine(processor time.Duration, memory int64) error {
	const nice = 10
	debug.SetMemoryLimit(memory / 4 * 3) // collect garbage in earnest before the bound is met
	seconds := uint64(processorLimit(processor) / time.Second)
	return errors.Join(
		setLimit(syscall.RLIMIT_DATA, dataInUse()+uint64(memory), false),
		setLimit(syscall.RLIMIT_CPU, seconds, true), // the soft one alone sends a signal that Go's runtime ignores
		syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice),
	)
}

// setLimit lowers a limit of this process, and the hard one with it where that is what counts. One that is lower already
// stays.
func setLimit(resource int, most uint64, hard bool) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil {
		return err
	}
	l.Cur = min(l.Cur, l.Max, most)
	if hard {
		l.Max = l.Cur
	}
	return syscall.Setrlimit(resource, &l)
}

// dataInUse is what counts as data of this process: address space that it may write to and shares with nobody. What
// is only reserved, as Go's runtime does, does not count. Where the system does not say, it is 0.
func dataInUse() uint64 {
	const dataAt = 5 // of the numbers in statm, which are pages
	statm, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(statm)
	if err != nil || len(fields) <= dataAt {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[dataAt]), 10, 64)
	return pages * uint64(os.Getpagesize())
}
