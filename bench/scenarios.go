package main

import (
	"errors"
	"fmt"
	"time"
)

// scenarios are what is measured, in order. Each starts what it needs and ends it.
var scenarios = []struct {
	name string
	run  func(*bench) error
}{
	{"start", (*bench).starting},
	{"answers", (*bench).answersScenario},
	{"streams", (*bench).streamsScenario},
	{"keys", (*bench).keysScenario},
	{"policies", (*bench).policiesScenario},
}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func (b *bench) endAll(targets []target) (err error) {
	for i := range targets {
		err = errors.Join(err, b.shelf.end(targets[i].process))
	}
	return err
}

// everyone starts all proxies; those that are not installed are left out.
func (b *bench) everyone(stream bool) (targets []target, end func() error, err error) {
	var started []*process
	end = func() (err error) {
		for _, p := range started {
			err = errors.Join(err, b.shelf.end(p))
		}
		return err
	}
	add := func(p *process, err error) error {
		if err == nil && p != nil {
			started = append(started, p)
			targets = append(targets, target{process: p})
		}
		return err
	}
	err = add(b.shelf.bare(stream))
	for _, name := range []string{nginxName, haproxyName} {
		if err == nil {
			err = add(b.shelf.other(name))
		}
	}
	sets := []setup{{name: sallyportName}}
	if b.beside != "" {
		sets = append(sets, setup{name: "sallyport, the other", binary: b.beside})
	}
	for i := range sets {
		var g *gateway
		if err == nil {
			g, err = b.gateway(&sets[i])
		}
		if err == nil {
			started = append(started, g.process)
			targets = append(targets, target{process: g.process, gateway: g})
		}
	}
	if err != nil {
		err = errors.Join(err, end())
	}
	return targets, end, err
}

// gateway starts a Sallyport whose accounts are checked at the end.
func (b *bench) gateway(set *setup) (*gateway, error) {
	b.progress("starting %s", set.name)
	g, err := b.shelf.startGateway(set)
	if err == nil {
		b.gateways = append(b.gateways, g)
	}
	return g, err
}

// starting measures how long a start takes with the policies compiled already, and what a gateway takes of memory then.
func (b *bench) starting() error {
	g, err := b.gateway(&setup{name: sallyportName})
	if err != nil {
		return err
	}
	for range max(b.rounds, 3) {
		if err := b.shelf.restart(g); err != nil {
			return err
		}
		b.note("start", "ready after ms", sallyportName, float64(g.ready.Microseconds())/1e3)
		idle, err := g.settledMemory()
		if err != nil {
			return err
		}
		b.note("memory", "MiB idle", sallyportName, float64(idle)/(1<<20))
	}
	return errors.Join(b.check(), b.shelf.end(g.process))
}

// answersScenario measures answers that come whole, in three sizes of the request, and latency at a fixed rate.
func (b *bench) answersScenario() error {
	targets, end, err := b.everyone(false)
	if err != nil {
		return err
	}
	for _, size := range b.sizes {
		if err := b.closedLoop(sizeName(size), chatBody(size), targets, 1); err != nil {
			return errors.Join(err, end())
		}
	}
	err = b.latency(targets)
	return errors.Join(err, b.check(), end())
}

func sizeName(size int) string { return fmt.Sprintf("%d KB", size>>10) }

// streamsScenario measures streams, their timing, and what open ones take of memory.
func (b *bench) streamsScenario() error {
	targets, end, err := b.everyone(true)
	if err != nil {
		return err
	}
	err = b.holding(targets)
	if err == nil {
		err = b.closedLoop("streams", eventsBody(loadedGap), targets, events)
	}
	if err == nil {
		err = b.timing(targets)
	}
	return errors.Join(err, b.check(), end())
}

// keysScenario compares gateways with few and with many keys, all of which are used alike.
func (b *bench) keysScenario() error {
	var targets []target
	for _, n := range b.keys {
		g, err := b.gateway(&setup{name: fmt.Sprint(n, " keys"), keys: n})
		if err != nil {
			return err
		}
		targets = append(targets, target{process: g.process, gateway: g, keys: n})
	}
	return errors.Join(b.closedLoop("keys", chatBody(1<<10), targets, 1), b.check(), b.endAll(targets))
}

// policiesScenario compares gateways with more policies: idle ones, and such as are asked and pass.
func (b *bench) policiesScenario() error {
	var targets []target
	for _, set := range []setup{
		{name: "1 policy"},
		{name: "3, of which 2 are idle", idle: 2},
		{name: "10, of which 9 are idle", idle: 9},
		{name: "3, all asked", passing: 2},
		{name: "10, all asked", passing: 9},
	} {
		g, err := b.gateway(&set)
		if err != nil {
			return err
		}
		targets = append(targets, target{process: g.process, gateway: g})
	}
	return errors.Join(b.closedLoop("policies", chatBody(1<<10), targets, 1), b.check(), b.endAll(targets))
}

// settledMemory is what a gateway takes two seconds after its start.
func (g *gateway) settledMemory() (int64, error) {
	<-time.After(2 * time.Second)
	return g.memory()
}
