package regextest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/filter"
)

// Out writes the failures of a line in the form that fail2ban-regex's option -o asks for: id, ip, msg, row,
// the name of a capture, or a text with tags. It gives the lines to print.
func Out(form string, l Line, f *filter.Filter) []string {
	if !l.Matched || l.Ignored {
		return nil
	}
	var out []string
	for _, h := range l.Hits {
		if h.NoFail {
			continue
		}
		switch {
		case form == "id" || form == "fid":
			out = append(out, h.ID.String())
		case form == "ip":
			ip := h.ID
			if !h.IP.IsZero() {
				ip = h.IP
			}
			out = append(out, ip.String())
		case form == "msg":
			out = append(out, h.Lines...)
		case form == "row":
			out = append(out, fmt.Sprintf("[%s,\t%s,\t%s],", f2b.Repr(h.ID.String()), epoch(h), f2b.Repr(dataOf(h, f))))
		case !strings.Contains(form, "<"):
			out = append(out, f2b.Str(lookup(h, form)))
		default:
			out = append(out, fill(form, h)...)
		}
	}
	return out
}

// epoch is the time of a hit as Python writes it: with a fraction, unless it is an entry's own time.
func epoch(h Hit) string {
	if h.Time.IsZero() {
		return "None"
	}
	return f2b.Repr(float64(h.Time.UnixMicro()) / 1e6)
}

// dataOf are the captures of a hit in the order in which fail2ban keeps them: those of prefregex and
// failregex as they stand there, then what was added.
func dataOf(h Hit, f *filter.Filter) pickle.Dict {
	var d pickle.Dict
	seen := map[string]bool{}
	for _, name := range f.Groups(h.Regex) {
		if name == "content" || seen[name] {
			continue
		}
		seen[name] = true
		d = append(d, pickle.Item{Key: name, Value: lookup(h, name)})
	}
	var rest []string
	for name := range h.Captures {
		if !seen[name] {
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
		lines := pickle.List{}
		for _, l := range h.Lines {
			lines = append(lines, l)
		}
		return lines
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

// fill replaces the tags of a form. One with <msg> gives a text for each line of the failure.
func fill(form string, h Hit) []string {
	lines := []string{""}
	if strings.Contains(form, "<msg>") {
		lines = h.Lines
	}
	var out []string
	for _, line := range lines {
		var b strings.Builder
		for rest := form; rest != ""; {
			before, after, found := strings.Cut(rest, "<")
			b.WriteString(before)
			if !found {
				break
			}
			tag, behind, closed := strings.Cut(after, ">")
			if !closed {
				b.WriteString("<" + after)
				break
			}
			b.WriteString(tagOf(tag, line, h))
			rest = behind
		}
		out = append(out, b.String())
	}
	return out
}

func tagOf(tag, line string, h Hit) string {
	if name, is := strings.CutPrefix(tag, "F-"); is {
		name = strings.ToLower(name)
		switch name {
		case "id":
			name = "fid"
		case "port":
			name = "fport"
		}
		return h.Captures[name].Text
	}
	switch tag {
	case "msg":
		return line
	case "matches":
		return strings.Join(h.Lines, "\n")
	case "fid":
		return h.ID.String()
	case "ip":
		if !h.IP.IsZero() {
			return h.IP.String()
		}
		return h.ID.String()
	case "time":
		return epoch(h)
	case "failures":
		return "0" // nobody has counted
	case "family":
		p := h.ID.Prefix()
		switch {
		case !h.ID.IsAddr():
			return "None"
		case p.Addr().Is4():
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
