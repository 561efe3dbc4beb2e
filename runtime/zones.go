package runtime

import (
	"sync"
	"time"
)

// Caps of time zones. There are some 600 names.
const (
	maxZoneName  = 64
	maxZones     = 1024 // kept in memory
	maxZoneLoads = 8    // read from disk in one call
)

// zones keeps the time zones that policies have named, because loading one reads a file.
type zones struct {
	mu    sync.RWMutex
	known map[string]*time.Location
}

// findZone finds a time zone by its name in the IANA database. "Local" is none: it means another zone on another
// machine.
func (c *Call) findZone(name []byte) (*time.Location, bool) {
	if len(name) == 0 || len(name) > maxZoneName || string(name) == "Local" {
		return nil, false
	}
	z := &c.in.pool.runtime.zones
	z.mu.RLock()
	zone, ok := z.known[string(name)]
	z.mu.RUnlock()
	if ok {
		return zone, true
	}
	if c.zoneLoads == maxZoneLoads { // a guest that guesses names must not keep the disk busy
		return nil, false
	}
	c.zoneLoads++
	zone, err := time.LoadLocation(string(name))
	if err != nil {
		return nil, false
	}
	z.keep(string(name), zone)
	return zone, true
}

func (z *zones) keep(name string, zone *time.Location) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.known == nil {
		z.known = map[string]*time.Location{}
	}
	if len(z.known) < maxZones {
		z.known[name] = zone
	}
}
