package state

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// A digest's row holds what a lookup needs of the key, so that a key that no cache holds costs one read and no JSON.
// The key's row is the truth, and both are written in one transaction. Version 2:
//
//	1 byte    version (2)
//	1 byte    state
//	1 byte    1 if it expires, else 0; then 8 bytes Unix seconds and 4 bytes nanoseconds, big-endian
//	string    id; name; team; default model
//	strings   models
//	list      labels: string name, string value
//	varint    mask of the limits that are set, lowest bit first; then a varint for each
//	list      budgets: 1 byte period, varint nano-dollars, string time zone
//
// A string is a varint length and its bytes, a list a varint count and its elements; varints are unsigned LEB128. A key
// "key_1" named "ci" of the team "x" with 60 requests per minute:
//
//	02 00 00  05 6b65795f31  02 6369  01 78  00  00  00  01 3c  00
//
// Rows of version 1 are the key's id alone, which begins with a printable character.
const digestVersion = 2

func appendIdentity(b []byte, id *abi.Identity) []byte {
	b = append(b, digestVersion, byte(id.State))
	if id.Expires.IsZero() {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint64(b, uint64(id.Expires.Unix()))
		b = binary.BigEndian.AppendUint32(b, uint32(id.Expires.Nanosecond()))
	}
	for _, s := range [...]string{id.KeyID, id.Name, id.Team, id.DefaultModel} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(id.Models)))
	for _, s := range id.Models {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(id.Labels)))
	for _, l := range id.Labels {
		b = appendString(appendString(b, l.Name), l.Value)
	}
	return appendBudgets(appendLimits(b, &id.Limits), id.Budgets)
}

func appendLimits(b []byte, limits *abi.Limits) []byte {
	var mask uint64
	for i, limit := range limits {
		if limit != 0 {
			mask |= 1 << i
		}
	}
	b = binary.AppendUvarint(b, mask)
	for _, limit := range limits {
		if limit != 0 {
			b = binary.AppendUvarint(b, uint64(limit))
		}
	}
	return b
}

func appendBudgets(b []byte, budgets []abi.Budget) []byte {
	b = binary.AppendUvarint(b, uint64(len(budgets)))
	for i := range budgets {
		b = append(b, byte(budgets[i].Period))
		b = binary.AppendUvarint(b, uint64(budgets[i].Amount))
		b = appendString(b, budgets[i].Zone())
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parsed is an entry in one piece with what most keys have: a quarter of what a cold lookup costs is making memory.
type parsed struct {
	entry
	id     abi.Identity
	budget [1]abi.Budget
}

// parseEntry reads a digest's row of version 2, but for the digest. All strings of the identity share one copy of the row.
func parseEntry(row []byte, z *zones) (*entry, error) {
	p := new(parsed)
	p.identity = &p.id
	if err := p.parse(row, z); err != nil {
		return nil, err
	}
	return &p.entry, nil
}

func (p *parsed) parse(row []byte, z *zones) error {
	id, r := &p.id, rowReader{rest: string(row)}
	if r.byte() != digestVersion {
		return fmt.Errorf("%w: a digest's row is of no version that this program knows", ErrCorrupt)
	}
	if id.State = abi.KeyState(r.byte()); id.State > abi.KeyRevoked {
		return fmt.Errorf("%w: a digest's row has the unknown state %d", ErrCorrupt, id.State)
	}
	if r.byte() != 0 {
		seconds, nanoseconds := r.fixed(8), r.fixed(4)
		id.Expires = time.Unix(int64(seconds), int64(nanoseconds)).UTC()
	}
	id.KeyID, id.Name, id.Team, id.DefaultModel = r.string(), r.string(), r.string(), r.string()
	if n := r.count(); n > 0 {
		id.Models = make([]string, n)
		for i := range id.Models {
			id.Models[i] = r.string()
		}
	}
	if n := r.count(); n > 0 {
		id.Labels = make([]abi.Label, n)
		for i := range id.Labels {
			id.Labels[i] = abi.Label{Name: r.string(), Value: r.string()}
		}
	}
	r.limits(&id.Limits)
	if err := r.budgets(p, z); err != nil {
		return err
	}
	if r.bad || r.rest != "" {
		return fmt.Errorf("%w: a digest's row does not end where it should", ErrCorrupt)
	}
	return nil
}

// rowReader takes a row apart. Once something is missing it is bad, and all that it gives is empty.
type rowReader struct {
	rest string
	bad  bool
}

func (r *rowReader) take(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.rest, r.bad = "", true
		return ""
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *rowReader) byte() byte { return byte(r.fixed(1)) }

// fixed reads a big-endian number of n bytes.
func (r *rowReader) fixed(n uint64) (v uint64) {
	for _, b := range []byte(r.take(n)) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *rowReader) uvarint() (v uint64) {
	for shift := 0; shift < 63; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.rest, r.bad = "", true // none of our numbers is negative as an int64
	return 0
}

// count reads the length of a list. Each element has at least one byte, which bounds what a damaged row can ask for.
func (r *rowReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = "", true
		return 0
	}
	return int(n)
}

func (r *rowReader) string() string { return r.take(r.uvarint()) }

func (r *rowReader) limits(limits *abi.Limits) {
	mask := r.uvarint()
	if mask >= 1<<abi.NumLimits {
		r.bad = true // a limit that this version does not know must not be passed over
	}
	for i := range limits {
		if mask&(1<<i) != 0 {
			limits[i] = int64(r.uvarint())
		}
	}
}

func (r *rowReader) budgets(p *parsed, z *zones) error {
	n := r.count()
	if n == 0 {
		return nil
	}
	if p.id.Budgets = p.budget[:]; n > len(p.budget) {
		p.id.Budgets = make([]abi.Budget, n)
	}
	for i := range p.id.Budgets {
		b := &p.id.Budgets[i]
		b.Period = abi.Period(r.byte())
		b.Amount = abi.NanoUSD(r.uvarint())
		zone := r.string()
		if r.bad || b.Period >= abi.NumPeriods {
			return fmt.Errorf("%w: a digest's row has a budget that cannot be read", ErrCorrupt)
		}
		var err error
		if b.Location, err = z.load(zone); err != nil {
			return err
		}
	}
	return nil
}
