package export

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Format is how a list is written.
type Format string

// The formats.
const (
	Plain      Format = "plain"       // an address or network a line
	NginxDeny  Format = "nginx-deny"  // deny …; to be included in http, server or location
	NginxGeo   Format = "nginx-geo"   // … 1; to be included in a geo block
	HAProxyACL Format = "haproxy-acl" // for acl … src -f FILE
	HAProxyMap Format = "haproxy-map" // for map_ip(FILE)
	Apache     Format = "apache"      // Require not ip …, to be included in a RequireAll block
	Caddy      Format = "caddy"       // a snippet with a matcher
	EDL        Format = "edl"         // Palo Alto's external dynamic list
	PFBlocker  Format = "pfblocker"   // pfBlockerNG
	FortiGate  Format = "fortigate"   // FortiGate's external resource
)

// Formats are all of them.
func Formats() []Format {
	return []Format{Plain, NginxDeny, NginxGeo, HAProxyACL, HAProxyMap, Apache, Caddy, EDL, PFBlocker, FortiGate}
}

// ErrFormat says that there is no such format.
var ErrFormat = errors.New("there is no such format")

// Options say what of a set is written.
type Options struct {
	IPv4, IPv6 bool
	Most       int    // entries; 0 writes all
	From       int    // entries that are left out at the beginning, for pages
	Title      string // for the comment at the head; empty writes none
}

// Written is how the writing went.
type Written struct {
	Entries int
	Cut     int // entries that there was no room for
}

// style is how a format writes entries.
type style struct {
	comment       string // what comments begin with; empty: there are none
	before, after string // an entry
	begin, end    string // all of them; not written where there is no entry
	join          string // between entries, instead of lines
	hosts         bool   // hosts without the length of their prefix
}

func (f Format) style() (style, error) {
	switch f {
	case Plain:
		return style{comment: "# ", hosts: true}, nil
	case NginxDeny:
		return style{comment: "# ", before: "deny ", after: ";", hosts: true}, nil
	case NginxGeo:
		return style{comment: "# ", after: " 1;", hosts: true}, nil
	case HAProxyACL:
		return style{comment: "# ", hosts: true}, nil
	case HAProxyMap:
		return style{comment: "# ", after: " 1"}, nil
	case Apache:
		return style{comment: "# ", before: "Require not ip ", hosts: true}, nil
	case Caddy:
		return style{comment: "# ", hosts: true, begin: "@palisade remote_ip", join: " ", end: "\nabort @palisade\n"}, nil
	case EDL, PFBlocker, FortiGate:
		return style{hosts: true}, nil // whether they bear comments differs by release: none are written
	}
	return style{}, fmt.Errorf("%w: %q", ErrFormat, f)
}

// Write writes the entries of a set in the order of their addresses, IPv4 first, in the fewest networks that hold
// them and nothing else. The error is ErrFormat, or that of the writer.
func Write(w io.Writer, set cidr.Ranges, f Format, o Options) (done Written, err error) {
	s, err := f.style()
	if err != nil {
		return done, err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	if s.comment != "" && o.Title != "" {
		fmt.Fprintf(out, "%s%s\n", s.comment, strings.ReplaceAll(o.Title, "\n", " "))
	}
	seen := 0
	var buf []byte
	for p := range set.Prefixes() {
		if is4 := p.Addr().Is4(); is4 && !o.IPv4 || !is4 && !o.IPv6 {
			continue
		}
		if seen++; seen <= o.From {
			continue
		}
		if o.Most > 0 && done.Entries >= o.Most {
			done.Cut++
			continue
		}
		if done.Entries == 0 {
			_, _ = out.WriteString(s.begin)
		}
		done.Entries++
		buf = append(append(buf[:0], s.join...), s.before...)
		buf = append(appendEntry(buf, p, s.hosts), s.after...)
		if s.join == "" {
			buf = append(buf, '\n')
		}
		_, _ = out.Write(buf)
	}
	if done.Entries > 0 {
		_, _ = out.WriteString(s.end)
	}
	if done.Cut > 0 && s.comment != "" {
		fmt.Fprintf(out, "%s%d more entries are left out: there may be %d\n", s.comment, done.Cut, o.Most)
	}
	return done, out.Flush()
}

func appendEntry(b []byte, p netip.Prefix, hosts bool) []byte {
	if hosts && p.IsSingleIP() {
		return p.Addr().AppendTo(b)
	}
	return p.AppendTo(b)
}
