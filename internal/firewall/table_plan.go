package firewall

import (
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// maxLengths is how many prefix lengths the networks of a feed group have at most, per family: each
// costs every packet about 0.1 µs (measured).
const maxLengths = 8

// Feeds joins the contents of feeds to what the sets of their groups are to hold. It is pure and has one
// owner; make one with NewFeeds.
type Feeds struct {
	owners  map[string]*feedOwner
	allow   cidr.Ranges
	largeAt int
	large   map[string]bool // groups that are large now, by the name of the small ones
	plan    *FeedPlan       // the last one
	stale   map[string]bool // groups to be planned anew
}

type feedOwner struct {
	group     Group
	contents  cidr.Ranges
	delivered bool
}

// FeedPlan is what the sets of feed groups are to hold. It does not change.
type FeedPlan struct {
	seq    uint64
	groups map[string]Group      // of all feeds
	lists  map[string]cidr.Lists // by group
	// complete are groups whose feeds have all delivered: what else an earlier process has left in their
	// sets is not wanted any more.
	complete map[string]bool
	owners   []planOwner // by name
	allow    cidr.Ranges
}

type planOwner struct {
	name     string
	group    string
	contents cidr.Ranges
}

// NewFeeds makes a Feeds without feeds. Groups of largeAt elements are Large; 0 makes none so.
func NewFeeds(largeAt int) *Feeds {
	return &Feeds{owners: map[string]*feedOwner{}, largeAt: largeAt, large: map[string]bool{}, plan: &FeedPlan{}, stale: map[string]bool{}}
}

// SetScopes replaces all scopes; those that are not of feeds are ignored. Contents of owners that are
// gone go with them.
func (f *Feeds) SetScopes(scopes []Scope) {
	named := map[string]bool{}
	for _, s := range scopes {
		if !s.Feed {
			continue
		}
		named[s.Owner] = true
		g := groupOf(s)
		o := f.owners[s.Owner]
		switch {
		case o == nil:
			o = &feedOwner{}
			f.owners[s.Owner] = o
		case o.group.Name != g.Name:
			f.stale[o.group.Name] = true
		default:
			continue
		}
		o.group = g
		f.stale[g.Name] = true
	}
	for name, o := range f.owners {
		if !named[name] {
			f.stale[o.group.Name] = true
			delete(f.owners, name)
		}
	}
}

// Replace takes in the whole contents of a feed. Those of owners without a scope are ignored.
func (f *Feeds) Replace(owner string, contents cidr.Ranges) {
	o := f.owners[owner]
	if o == nil || o.delivered && o.contents.Equal(contents) {
		return
	}
	o.contents, o.delivered = contents, true
	f.stale[o.group.Name] = true
}

// SetAllow says what no feed may block.
func (f *Feeds) SetAllow(allow cidr.Ranges) {
	if f.allow.Equal(allow) {
		return
	}
	f.allow = allow
	for _, o := range f.owners {
		f.stale[o.group.Name] = true
	}
}

// Plan joins what has come so far, under a number that says so to those who wait for it. It takes about
// 0.1 s for a million addresses, and nothing if nothing has changed.
func (f *Feeds) Plan(seq uint64) *FeedPlan {
	old := f.plan
	p := &FeedPlan{seq: seq, groups: map[string]Group{}, lists: map[string]cidr.Lists{}, complete: map[string]bool{}, allow: f.allow}
	members := map[string][]*feedOwner{}
	for _, name := range sortedNames(f.owners) {
		o := f.owners[name]
		members[o.group.Name] = append(members[o.group.Name], o)
	}
	for name, owners := range members {
		g := owners[0].group
		var lists cidr.Lists
		if f.stale[name] {
			lists = f.join(owners)
			// Once large, a group stays so until it has shrunk well below: moving costs a second.
			if n := lists.Len(); f.largeAt > 0 {
				f.large[name] = n >= f.largeAt || f.large[name] && n >= f.largeAt/2
			}
		} else {
			lists = old.lists[f.groupName(name)]
		}
		g.Name, g.Large = f.groupName(name), f.large[name]
		p.groups[g.Name], p.lists[g.Name] = g, lists
		p.complete[g.Name] = !slices.ContainsFunc(owners, func(o *feedOwner) bool { return !o.delivered })
		// Of the other size: nothing.
		other := g
		other.Large = !g.Large
		if other.Name = strings.TrimSuffix(name, largeSuffix); other.Large {
			other.Name += largeSuffix
		}
		p.groups[other.Name], p.complete[other.Name] = other, p.complete[g.Name]
	}
	for name, o := range f.owners {
		p.owners = append(p.owners, planOwner{name, f.groupName(o.group.Name), o.contents})
	}
	slices.SortFunc(p.owners, func(a, b planOwner) int { return strings.Compare(a.name, b.name) })
	clear(f.stale)
	f.plan = p
	return p
}

const largeSuffix = ".large"

func (f *Feeds) groupName(name string) string {
	if f.large[name] {
		return name + largeSuffix
	}
	return name
}

func (f *Feeds) join(owners []*feedOwner) cidr.Lists {
	var all []cidr.Ranges
	for _, o := range owners {
		all = append(all, o.contents)
	}
	joined := all[0]
	if len(all) > 1 {
		joined = cidr.Union(all...)
	}
	if !f.allow.Empty() {
		joined = joined.Without(f.allow)
	}
	return joined.Lists(maxLengths)
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
