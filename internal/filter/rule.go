package filter

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
	"github.com/palisade-agent/palisade/internal/pytext"
)

// ErrEmptyRegex says that a regex has no text.
var ErrEmptyRegex = errors.New("empty regex")

// ErrNoID says that neither a failregex nor the prefregex has a group that could name an ID.
var ErrNoID = errors.New("no failure-id group")

// idGroups are the groups that an ID can come from; the last joins lines until one of the others is
// known.
var idGroups = []string{"fid", "ip4", "ip6", "dns", "mlfid"}

// complexGroup are the groups whose text belongs to a group of another name: alternatives of it, or
// parts of a tuple. A number at the end only keeps the names apart.
var complexGroup = regexp.MustCompile(`^(alt_|tuple_)(.*?)(?:_\p{Nd}+)?$`)

// rule is one compiled regex of a filter.
type rule struct {
	re     *pyre.Regexp
	role   Role
	index  int
	groups []group // the named ones
	alts   []alias // by group name
	tuples []alias // by group name
	skips  []int   // group numbers of skiplines0, skiplines1, …
}

type group struct {
	name  string
	index int
}

// alias says that what group from captured belongs to the value called to.
type alias struct{ from, to string }

func compileRule(regex string, role Role, index int, dns UseDNS, flags pyre.Flags) (*rule, error) {
	expanded := expandTags(regex, dns)
	if strings.TrimSpace(expanded) == "" {
		return nil, ErrEmptyRegex
	}
	re, err := pyre.Compile(localFlags(expanded), flags)
	if err != nil {
		return nil, err
	}
	r := &rule{re: re, role: role, index: index}
	for i, name := range re.Names() {
		if name == "" {
			continue
		}
		r.groups = append(r.groups, group{name, i})
		m := complexGroup.FindStringSubmatch(name)
		switch {
		case m == nil || len(name) <= len("alt_"):
		case m[1] == "alt_":
			r.alts = append(r.alts, alias{name, groupName(m[2])})
		default:
			r.tuples = append(r.tuples, alias{name, groupName(m[2])})
		}
	}
	byName := func(a, b alias) int { return strings.Compare(a.from, b.from) }
	slices.SortFunc(r.alts, byName)
	slices.SortFunc(r.tuples, byName)
	for n := 0; ; n++ {
		i := re.Index(fmt.Sprintf("skiplines%d", n))
		if i < 0 {
			break
		}
		r.skips = append(r.skips, i)
	}
	return r, nil
}

// has reports whether the regex has one of the named groups.
func (r *rule) has(names []string) bool {
	return r != nil && slices.ContainsFunc(names, func(n string) bool { return r.re.Index(n) >= 0 })
}

// fields are the values of a match by name; what took no part has none.
type fields map[string]Value

// fields gives the values of the groups that took part in the match, complex names resolved.
func (r *rule) fields(s *pyre.Subject, m *pyre.Match) fields {
	f := make(fields, len(r.groups))
	for _, g := range r.groups {
		if text, ok := m.GroupText(s, g.index); ok {
			f[g.name] = Value{Text: text}
		}
	}
	for _, a := range r.alts {
		if v, ok := f[a.from]; ok && !v.empty() && f[a.to].empty() {
			f[a.to] = v
		}
	}
	r.fillTuples(f)
	return f
}

// fillTuples makes tuples of the groups that ask for it: first the value of that name, if there is
// one, then the parts.
func (r *rule) fillTuples(f fields) {
	parts := map[string][]*string{}
	for _, a := range r.tuples {
		if parts[a.to] == nil {
			parts[a.to] = []*string{f.text(a.to)}
		}
		parts[a.to] = append(parts[a.to], f.text(a.from))
	}
	for name, p := range parts {
		f[name] = tuple(p)
	}
}

// text gives the text of a value, nil if there is none.
func (f fields) text(name string) *string {
	v, ok := f[name]
	if !ok {
		return nil
	}
	return &v.Text
}

func (f fields) clone() fields { return maps.Clone(f) }

// set reports whether the named flag group took part and captured something.
func (f fields) set(name string) bool {
	v, ok := f[name]
	return ok && !v.empty()
}

// tuple makes a value of several parts. Its text is what Python prints for such a tuple, since this
// is what fail2ban bans and hands to actions.
func tuple(parts []*string) Value {
	v := Value{Parts: make([]string, len(parts))}
	printed := make([]string, len(parts))
	for i, p := range parts {
		printed[i] = "None"
		if p != nil {
			v.Parts[i], printed[i] = *p, pytext.Quote(*p)
		}
	}
	v.Text = "(" + strings.Join(printed, ", ") + ")"
	return v
}

// captures gives the named groups of a match, by number.
func (r *rule) captures(s *pyre.Subject, m *pyre.Match) []Capture {
	all := make([]Capture, len(r.groups))
	for i, g := range r.groups {
		text, ok := m.GroupText(s, g.index)
		all[i] = Capture{g.name, text, ok}
	}
	return all
}
