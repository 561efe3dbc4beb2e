package admin

import "sync"

// children finds the series that belong to a set of labels without building the labels anew. Looking one up that is
// there already allocates nothing.
type children[K comparable, V any] struct {
	mu  sync.RWMutex
	all map[K]V
}

// get returns the value under k, which is made by fresh the first time.
func (c *children[K, V]) get(k K, fresh func() V) V {
	c.mu.RLock()
	v, ok := c.all[k]
	c.mu.RUnlock()
	if ok {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok = c.all[k]; ok {
		return v
	}
	v = fresh()
	if c.all == nil {
		c.all = map[K]V{}
	}
	c.all[k] = v
	return v
}
