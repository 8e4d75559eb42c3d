package regextest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
)

// Form is what fail2ban-regex's option -o asks for.
type Form struct {
	// Text is id, ip, msg, row, matches, the name of a capture, or a text with tags.
	Text string
	// Invert asks for the lines that are no failure; they have no captures.
	Invert bool
	// HostOf finds the name of an address, for <ip-host>; "" and nil find none.
	HostOf func(ident.ID) string
	// Now stands for a time that is not known, in a text with tags.
	Now time.Time
}

// Lines writes the failures of a line.
func (f Form) Lines(l Line) []string {
	if f.Invert {
		if l.Matched {
			return nil
		}
		return f.hit(Hit{Match: filter.Match{
			Captures: map[string]filter.Value{"fid": {}}, Groups: []string{"fid"}, Time: l.LastTime,
			Lines: []string{l.Text},
		}}, l)
	}
	if !l.Matched || l.Ignored {
		return nil
	}
	var out []string
	for _, h := range l.Hits {
		if !h.NoFail {
			out = append(out, f.hit(h, l)...)
		}
	}
	return out
}

func (f Form) hit(h Hit, l Line) []string {
	switch {
	case f.Text == "id" || f.Text == "fid":
		return []string{h.ID.String()}
	case f.Text == "ip":
		return []string{address(h).String()}
	case f.Text == "msg":
		return h.Lines
	case f.Text == "row":
		return []string{fmt.Sprintf("[%s,\t%s,\t%s],", f2b.Repr(h.ID.String()), epoch(h, l), f2b.Repr(dataOf(h)))}
	case !strings.Contains(f.Text, "<"):
		return []string{f2b.Str(lookup(h, f.Text))}
	}
	return f.fill(h, l)
}

// address is the address of a hit whose ID may be something else.
func address(h Hit) ident.ID {
	if !h.IP.IsZero() {
		return h.IP
	}
	return h.ID
}

// epoch is the time of a hit as Python writes it: without a fraction if the date names its zone.
func epoch(h Hit, l Line) string {
	switch {
	case h.Time.IsZero():
		return "None"
	case l.HasZone:
		return strconv.FormatInt(h.Time.Unix(), 10)
	}
	return f2b.Repr(float64(h.Time.UnixMicro()) / 1e6)
}

// dataOf are the captures of a hit in the order in which fail2ban keeps them: as they stand in prefregex and
// failregex, then what was added.
func dataOf(h Hit) pickle.Dict {
	var d pickle.Dict
	for _, name := range h.Groups {
		d = append(d, pickle.Item{Key: name, Value: lookup(h, name)})
	}
	var rest []string
	for name := range h.Captures {
		if !slices.Contains(h.Groups, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range rest {
		d = append(d, pickle.Item{Key: name, Value: lookup(h, name)})
	}
	return d
}

// lookup gives a capture, or nil as Python's None.
func lookup(h Hit, name string) any {
	if name == "matches" {
		return linesOf(h)
	}
	v, ok := h.Captures[name]
	switch {
	case !ok:
		return nil
	case name == "users" && v.Parts != nil:
		users := pickle.Set{}
		for _, u := range v.Parts {
			users = append(users, u)
		}
		return users
	}
	return v.Text
}

// linesOf are the lines of a hit in three parts each: before the date, the date, and behind it. A line that is
// no failure has no parts.
func linesOf(h Hit) pickle.List {
	lines := pickle.List{}
	for i, line := range h.Lines {
		if h.Stamps == nil {
			lines = append(lines, line)
			continue
		}
		s := h.Stamps[i]
		lines = append(lines, pickle.Tuple{line[:s.Start], line[s.Start:s.End], line[s.End:]})
	}
	return lines
}

// fill replaces the tags of a form. One with <msg> gives a text for each line of the failure.
func (f Form) fill(h Hit, l Line) []string {
	lines := []string{""}
	if strings.Contains(f.Text, "<msg>") {
		lines = h.Lines
	}
	var out []string
	for _, line := range lines {
		var b strings.Builder
		rest := f.Text
		for rest != "" {
			before, tag, after := cutTag(rest)
			b.WriteString(before)
			if tag != "" {
				b.WriteString(f.tag(tag, line, h, l))
			}
			rest = after
		}
		out = append(out, b.String())
	}
	return out
}

// cutTag finds the first tag: what stands between < and >, without these and without blanks.
func cutTag(s string) (before, tag, after string) {
	open := -1
	for i := range len(s) {
		switch s[i] {
		case '<':
			open = i
		case ' ':
			open = -1
		case '>':
			if open >= 0 && i > open+1 {
				return s[:open], s[open+1 : i], s[i+1:]
			}
			open = -1
		}
	}
	return s, "", ""
}

// tag is what a tag stands for; one that nobody knows stays.
func (f Form) tag(tag, line string, h Hit, l Line) string {
	if name, is := strings.CutPrefix(tag, "F-"); is {
		return capture(h, strings.ToLower(name))
	}
	switch tag {
	case "msg":
		return line
	case "matches":
		return strings.Join(h.Lines, "\n")
	case "fid":
		return h.ID.String()
	case "ip":
		return address(h).String()
	case "ip-rev":
		return reversed(address(h))
	case "ip-host":
		if f.HostOf != nil {
			if name := f.HostOf(address(h)); name != "" {
				return name
			}
		}
		return "None"
	case "time":
		if h.Time.IsZero() {
			h.Time = f.Now
		}
		return epoch(h, l)
	case "failures", "bancount", "restored":
		return "0" // nobody has counted
	case "family":
		switch id := address(h); {
		case !id.IsAddr():
			return "None"
		case id.Prefix().Addr().Is4():
			return "inet4"
		}
		return "inet6"
	case "br":
		return "\n"
	case "sp":
		return " "
	}
	return "<" + tag + ">"
}

// capture is what a tag <F-NAME> stands for: a capture, or nothing; all of them for <F-*>.
func capture(h Hit, name string) string {
	switch name {
	case "*":
		d := pickle.Dict{{Key: "matches", Value: linesOf(h)}, {Key: "failures", Value: 0}}
		for _, item := range dataOf(h) {
			if item.Value != nil {
				d = append(d, item)
			}
		}
		return f2b.Repr(d)
	case "matches":
		return f2b.Repr(linesOf(h))
	case "failures":
		return "0"
	case "id":
		name = "fid"
	case "port":
		name = "fport"
	}
	if v := lookup(h, name); v != nil {
		return f2b.Str(v)
	}
	return ""
}

// reversed is an address as the names of blocklists in DNS begin: its parts from the last to the first.
func reversed(id ident.ID) string {
	if !id.IsAddr() {
		return ""
	}
	parts := strings.Split(id.String(), ".")
	if a := id.Prefix().Addr(); a.Is6() {
		parts = nil
		for _, b := range a.As16() {
			parts = append(parts, strconv.FormatUint(uint64(b>>4), 16), strconv.FormatUint(uint64(b&15), 16))
		}
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "."
}
