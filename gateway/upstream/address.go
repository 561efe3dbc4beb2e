package upstream

import (
	"encoding/binary"
	"net/netip"
)

// special4 are the IPv4 blocks that no provider on the public internet has: IANA's registry of special-purpose
// addresses (RFC 6890 and its updates, as of 2026-11), multicast, and the address of Azure's host, which answers
// with credentials and looks public.
var special4 = [...]struct {
	base [4]byte
	bits uint8
}{
	{[4]byte{0}, 8},                 // this network; Linux takes 0.0.0.0 for itself
	{[4]byte{10}, 8},                // private
	{[4]byte{100, 64}, 10},          // behind a carrier's NAT; Alibaba's metadata
	{[4]byte{127}, 8},               // loopback
	{[4]byte{168, 63, 129, 16}, 32}, // Azure's host
	{[4]byte{169, 254}, 16},         // link-local; metadata of most clouds
	{[4]byte{172, 16}, 12},          // private
	{[4]byte{192, 0, 0}, 24},        // protocol assignments; Oracle's metadata
	{[4]byte{192, 0, 2}, 24},        // documentation
	{[4]byte{192, 31, 196}, 24},     // AS112
	{[4]byte{192, 52, 193}, 24},     // AMT
	{[4]byte{192, 88, 99}, 24},      // 6to4 relays
	{[4]byte{192, 168}, 16},         // private
	{[4]byte{192, 175, 48}, 24},     // AS112
	{[4]byte{198, 18}, 15},          // benchmarks
	{[4]byte{198, 51, 100}, 24},     // documentation
	{[4]byte{203, 0, 113}, 24},      // documentation
	{[4]byte{224}, 4},               // multicast
	{[4]byte{240}, 4},               // reserved, and broadcast
}

// special6 are the special blocks within 2000::/3, by their first 64 bits. Outside of it nothing is public.
var special6 = [...]struct {
	base uint64
	bits uint8
}{
	{0x2001_0000_0000_0000, 23}, // protocol assignments: Teredo, ORCHID and others
	{0x2001_0db8_0000_0000, 32}, // documentation
	{0x2002_0000_0000_0000, 16}, // 6to4, which leads to any IPv4 address; withdrawn by RFC 7526
	{0x2620_004f_8000_0000, 48}, // AS112
	{0x3fff_0000_0000_0000, 20}, // documentation
}

// nat64 is 64:ff9b::/96, behind which a network without IPv4 reaches the IPv4 address in the last four bytes.
const nat64 = 0x0064_ff9b_0000_0000

// isPublic reports whether a is an address that a provider on the public internet can have. An IPv4 address counts
// as what it is in whatever IPv6 address it stands.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if a.Is4() {
		return isPublic4(a.As4())
	}
	if !a.IsValid() {
		return false
	}
	b := a.As16()
	high := binary.BigEndian.Uint64(b[:8])
	if high == nat64 && binary.BigEndian.Uint32(b[8:12]) == 0 {
		return isPublic4([4]byte(b[12:]))
	}
	if high>>61 != 0b001 {
		return false
	}
	for _, s := range special6 {
		if (high^s.base)>>(64-s.bits) == 0 {
			return false
		}
	}
	return true
}

func isPublic4(b [4]byte) bool {
	n := binary.BigEndian.Uint32(b[:])
	for _, s := range special4 {
		if (n^binary.BigEndian.Uint32(s.base[:]))>>(32-s.bits) == 0 {
			return false
		}
	}
	return true
}
