package filter

import (
	"net/netip"
	"strconv"

	"github.com/palisade-agent/palisade/internal/ident"
)

// verdictOnID says what identify came to.
type verdictOnID uint8

const (
	idKnown   verdictOnID = iota // r has an ID
	idHost                       // a name must be resolved first
	idDropped                    // a name, and usedns forbids to resolve it
	idPending                    // the connection has not told yet
	idMissing                    // no group that could name an ID took part
)

// identify finds out who is responsible: ip4, else ip6, else dns, else fid. A fid beside an address
// is the ID, and the address goes with it.
func (f *Filter) identify(r *record) (id ident.ID, host string, v verdictOnID) {
	fid, hasFID := r.fields["fid"]
	for _, name := range []string{"ip4", "ip6"} {
		addr, ok := r.fields[name]
		if !ok {
			continue
		}
		ip := address(name == "ip4", addr.Text, r.fields["cidr"].Text)
		if !hasFID || fid.Text == addr.Text {
			return ip, "", idKnown
		}
		r.ip = ip
		return f.freeID(fid), "", idKnown
	}
	if name, ok := r.fields["dns"]; ok {
		if f.dns != DNSRaw {
			return f.byName(name.Text)
		}
		if !hasFID || fid.Text == name.Text {
			return ident.Raw(name.Text), "", idKnown
		}
		r.ip = ident.Raw(name.Text)
		return ident.Raw(fid.Text), "", idKnown
	}
	if hasFID {
		return f.freeID(fid), "", idKnown
	}
	if _, ok := r.fields["mlfid"]; ok {
		return ident.ID{}, "", idPending
	}
	return ident.ID{}, "", idMissing
}

// freeID makes an ID of the text of fid: an address if it looks like one, unless usedns is raw.
func (f *Filter) freeID(fid Value) ident.ID {
	if f.dns == DNSRaw || fid.Parts != nil {
		return ident.Raw(fid.Text)
	}
	return hostOfEverything(ident.Parse(fid.Text))
}

// byName decides on the text of group dns, which may be an address after all.
func (f *Filter) byName(name string) (ident.ID, string, verdictOnID) {
	if id := ident.Parse(name); id.IsAddr() && id.Prefix().IsSingleIP() {
		return id, "", idKnown
	}
	if f.dns == DNSNo {
		return ident.ID{}, "", idDropped
	}
	return ident.ID{}, name, idHost
}

// address makes an ID of what group ip4 or ip6 captured and the number of bits that belong to it;
// without a number, or with one that the family has not, it is one host. What is no address of the
// group's family stays text; with a number, either family will do.
func address(is4 bool, text, bits string) ident.ID {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || bits == "" && addr.Is4() != is4 {
		return ident.Raw(text)
	}
	n, err := strconv.Atoi(bits)
	if err != nil || n < 0 || n > addr.BitLen() {
		return ident.FromAddr(addr)
	}
	return hostOfEverything(ident.FromPrefix(netip.PrefixFrom(addr, n)))
}

// hostOfEverything guards against a log line that names a network of all addresses: as with fail2ban,
// its ID is the address 0.0.0.0 or ::, which nobody has.
func hostOfEverything(id ident.ID) ident.ID {
	if id.IsAddr() && id.Prefix().Bits() == 0 {
		return ident.FromAddr(id.Prefix().Addr())
	}
	return id
}
