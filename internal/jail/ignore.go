package jail

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/ident"
)

// maxResolved bounds the addresses kept of one host name: the answers come from the network.
const maxResolved = 256

// Source says which kind of rule ignores an ID, in the words of fail2ban's log.
type Source string

const (
	// SourceIP is an address, a network or a raw ID of the list.
	SourceIP Source = "ip"
	// SourceDNS is a host name of the list.
	SourceDNS Source = "dns"
	// SourceSelf is an address of this machine.
	SourceSelf Source = "ignoreself rule"
)

// ruleSelf is the rule that own addresses match.
const ruleSelf = "ignoreself"

// Rule is what an ID was ignored by.
type Rule struct {
	// Entry is the entry as it was configured, or "ignoreself".
	Entry  string
	Source Source
}

// IgnoreList knows the IDs that are never to be banned: addresses, networks, raw IDs, host names and
// the machine's own addresses. It resolves nothing: Hosts tells what to look up, SetResolved takes the
// answers. Matching an address costs one look-up per prefix length in the list. It is not safe for
// concurrent use while it is being changed.
type IgnoreList struct {
	entries []string                // as configured, in order
	raw     map[string]string       // text of raw IDs -> entry
	nets    map[netip.Prefix]string // also single addresses -> entry
	own     map[netip.Addr]struct{} // addresses of this machine
	hosts   map[string][]netip.Addr // host name -> its addresses, as last resolved
	byHost  map[netip.Addr][]string // and back
	lengths [2][129]int             // of IPv4 and IPv6: how many nets have that prefix length
}

// length gives the count of the nets that have the prefix length of p.
func (l *IgnoreList) length(p netip.Prefix) *int {
	if p.Addr().Is4() {
		return &l.lengths[0][p.Bits()]
	}
	return &l.lengths[1][p.Bits()]
}

// NewIgnoreList makes a list of entries: addresses, networks as address/bits or address/netmask, host
// names, raw IDs. Empty and repeated entries are left out.
func NewIgnoreList(entries []string) *IgnoreList {
	l := &IgnoreList{
		raw: map[string]string{}, nets: map[netip.Prefix]string{}, own: map[netip.Addr]struct{}{},
		hosts: map[string][]netip.Addr{}, byHost: map[netip.Addr][]string{},
	}
	for _, e := range entries {
		l.Add(e)
	}
	return l
}

// Add adds an entry and reports whether it is new.
func (l *IgnoreList) Add(entry string) bool {
	id := ident.Parse(strings.TrimSpace(entry))
	if id.IsZero() {
		return false
	}
	if !id.IsAddr() {
		if _, has := l.raw[id.String()]; has {
			return false
		}
		l.raw[id.String()] = entry
		l.entries = append(l.entries, entry)
		return true
	}
	p := id.Prefix()
	if _, has := l.nets[p]; has {
		return false
	}
	l.nets[p] = entry
	*l.length(p)++
	l.entries = append(l.entries, entry)
	return true
}

// Remove removes an entry, in whatever spelling, and reports whether it was there.
func (l *IgnoreList) Remove(entry string) bool {
	id := ident.Parse(strings.TrimSpace(entry))
	was, ok := l.raw[id.String()], false
	if id.IsAddr() {
		p := id.Prefix()
		if was, ok = l.nets[p]; !ok {
			return false
		}
		delete(l.nets, p)
		*l.length(p)--
	} else {
		if was == "" {
			return false
		}
		delete(l.raw, id.String())
		l.SetResolved(id.String(), nil)
	}
	i := slices.Index(l.entries, was)
	l.entries = slices.Delete(l.entries, i, i+1)
	return true
}

// Entries gives the entries as they were configured, in order.
func (l *IgnoreList) Entries() []string { return slices.Clone(l.entries) }

// Hosts gives the entries that could be host names, sorted. They are also matched as raw IDs.
func (l *IgnoreList) Hosts() []string {
	var out []string
	for text := range l.raw {
		if isHostName(text) {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// isHostName is generous: it leaves out what no resolver could answer.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 || strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// SetResolved gives the addresses of a host, in place of those it had; none forgets them. Of more than
// 256 the rest is left out. A host that is not in the list is left out altogether.
func (l *IgnoreList) SetResolved(host string, addrs []netip.Addr) {
	for _, a := range l.hosts[host] {
		hosts := slices.DeleteFunc(l.byHost[a], func(h string) bool { return h == host })
		if len(hosts) == 0 {
			delete(l.byHost, a)
		} else {
			l.byHost[a] = hosts
		}
	}
	delete(l.hosts, host)
	if _, has := l.raw[host]; !has {
		return
	}
	var kept []netip.Addr
	for _, a := range addrs {
		if a = plain(a); a.IsValid() && len(kept) < maxResolved && !slices.Contains(kept, a) {
			kept = append(kept, a)
			l.byHost[a] = append(l.byHost[a], host)
		}
	}
	if len(kept) > 0 {
		l.hosts[host] = kept
	}
}

// Resolved gives the addresses that a host was last set to.
func (l *IgnoreList) Resolved(host string) []netip.Addr { return slices.Clone(l.hosts[host]) }

// SetOwn gives the machine's own addresses, in place of those set before; none turns ignoreself off.
func (l *IgnoreList) SetOwn(addrs []netip.Addr) {
	clear(l.own)
	for _, a := range addrs {
		if a = plain(a); a.IsValid() {
			l.own[a] = struct{}{}
		}
	}
}

// plain is the form that IDs have: no mapped addresses, no zones.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Match reports whether an ID is ignored, and by which entry ("ignoreself" for an own address). A
// network is ignored if it lies in an ignored one as a whole.
func (l *IgnoreList) Match(id ident.ID) (rule string, ok bool) {
	r, ok := l.Find(id)
	return r.Entry, ok
}

// Find is Match with the kind of the rule. Own addresses come first, then the narrowest network, then
// host names, as many as they are.
func (l *IgnoreList) Find(id ident.ID) (Rule, bool) {
	if !id.IsAddr() {
		entry, ok := l.raw[id.String()]
		if !ok {
			return Rule{}, false
		}
		return Rule{entry, SourceIP}, true
	}
	p := id.Prefix()
	single := p.Bits() == p.Addr().BitLen()
	if _, ok := l.own[p.Addr()]; ok && single {
		return Rule{ruleSelf, SourceSelf}, true
	}
	for bits := p.Bits(); bits >= 0; bits-- {
		wider := netip.PrefixFrom(p.Addr(), bits).Masked()
		if *l.length(wider) == 0 {
			continue
		}
		if entry, ok := l.nets[wider]; ok {
			return Rule{entry, SourceIP}, true
		}
	}
	if hosts := l.byHost[p.Addr()]; single && len(hosts) > 0 {
		return Rule{l.raw[hosts[0]], SourceDNS}, true
	}
	return Rule{}, false
}

// Touches reports whether a ban of the ID would reach anything that is ignored: whether it is ignored
// itself, or is a network that holds something ignored. It is meant for bans by hand.
func (l *IgnoreList) Touches(id ident.ID) (Rule, bool) {
	if r, ok := l.Find(id); ok || !id.IsAddr() {
		return r, ok
	}
	p := id.Prefix()
	if p.Bits() == p.Addr().BitLen() {
		return Rule{}, false
	}
	for a := range l.own {
		if p.Contains(a) {
			return Rule{ruleSelf, SourceSelf}, true
		}
	}
	for _, entry := range l.entries { // in order, so that the answer is always the same
		e := ident.Parse(strings.TrimSpace(entry))
		if e.IsAddr() && p.Overlaps(e.Prefix()) {
			return Rule{entry, SourceIP}, true
		}
		if slices.ContainsFunc(l.hosts[e.String()], p.Contains) {
			return Rule{entry, SourceDNS}, true
		}
	}
	return Rule{}, false
}
