package config

import (
	"errors"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// agentConf is the name under which agent.conf is looked for.
const agentConf = "agent"

// AgentConf is what agent.conf says: the settings that fail2ban has none for. fail2ban does not read the
// file. What is not set, or not usable, has its default.
type AgentConf struct {
	Firewall FirewallConf
	HTTP     HTTPConf
	Feeds    []FeedConf  // in the order of their sections
	Allows   []AllowConf // in the order of their sections
	Reports  []ReportConf
	Exports  []ExportConf
	Checks   []CheckConf
	origins  map[agentPlace]Origin
}

// FirewallConf is section [firewall].
type FirewallConf struct {
	// Backend is who keeps the banned out: "auto" (the default), "nft", "ipset", "script" or "memory".
	Backend string
	// Cut ends the connections that are open when somebody is banned; the default.
	Cut bool
	// Hits counts packets and bytes for each banned address.
	Hits bool
	// Allow is never blocked, by no jail and no list. Hosts are prefixes of full length; host bits are zero.
	Allow []netip.Prefix
	// Feeds is where large lists of addresses live: "auto" (the default), "nft" or "ipset".
	Feeds string
}

type agentPlace struct{ section, key string }

// Origin says where a key of a section was set; zero if nowhere.
func (a AgentConf) Origin(section, key string) Origin { return a.origins[agentPlace{section, key}] }

// Given reports whether anything of it was set.
func (a AgentConf) Given() bool { return len(a.origins) > 0 }

// InAgentConf reports whether a file belongs to agent.conf alone, so that no jail depends on what is wrong
// in it.
func InAgentConf(file string) bool {
	base := path.Base(file)
	return base == agentConf+".conf" || base == agentConf+".local" || path.Base(path.Dir(file)) == agentConf+".d"
}

// agentSection is a kind of section that agent.conf may have.
type agentSection struct {
	kind string
	// Of those with a name, [kind NAME], there may be as many as one likes; else there is one, [kind].
	named bool
	keys  []agentKey
	// begin makes room for a section, with its defaults; nil where there is nothing to do.
	begin func(a *AgentConf, name string)
	// check looks at a section as a whole, once its keys are read; nil looks at nothing.
	check func(a *AgentConf, name string) []complaint
}

// agentKey is a key of a section. Read stores a value, in the section of a name where there are several,
// and gives what is wrong with it; what is wrong is not stored.
type agentKey struct {
	name string
	read func(a *AgentConf, name, value string) []complaint
}

// complaint is something wrong with a value, or a part of it, or with a section.
type complaint struct {
	severity  Severity
	key       string // the key that is meant, if the complaint is of a section; empty means the section itself
	part      string // of the value; empty if all of it is meant
	msg, hint string
}

// agentSections are all kinds of sections.
func agentSections() []agentSection {
	return []agentSection{
		{kind: "firewall", keys: []agentKey{
			{"backend", oneOf(func(a *AgentConf, _ string) *string { return &a.Firewall.Backend }, "auto", "nft", "ipset", "script", "memory")},
			{"cut", yesOrNo(func(a *AgentConf, _ string) *bool { return &a.Firewall.Cut })},
			{"hits", yesOrNo(func(a *AgentConf, _ string) *bool { return &a.Firewall.Hits })},
			{"allow", prefixes(func(a *AgentConf, _ string) *[]netip.Prefix { return &a.Firewall.Allow })},
			{"feeds", oneOf(func(a *AgentConf, _ string) *string { return &a.Firewall.Feeds }, "auto", "nft", "ipset")},
		}},
		httpSection(),
		feedSection(),
		allowSection(),
		reportSection(),
		exportSection(),
		checkSection(),
	}
}

// agentConf reads agent.conf, which need not be there.
func (l *loader) agentConf() {
	a := &l.config.Agent
	*a = AgentConf{Firewall: FirewallConf{Backend: "auto", Cut: true, Feeds: "auto"}, HTTP: httpDefaults(), origins: map[agentPlace]Origin{}}
	set, found := l.files.load(agentConf)
	if !found {
		return
	}
	r := agentReader{loader: l, set: set, known: agentSections(), used: references(set)}
	r.ev = evaluator{set: set, doubt: func(at Origin, why *Problem) {
		if at.File != why.File || at.Line != why.Line { // else it was told as it was found
			l.report(at.Problem(Error, "", "not clear: "+why.Error(), ""))
		}
	}}
	r.defaults()
	for _, sec := range set.sections {
		if sec.name != includesSection && !strings.HasPrefix(sec.name, knownPrefix) {
			r.section(sec)
		}
	}
}

// agentReader reads section by section.
type agentReader struct {
	*loader
	set   *fileSet
	ev    evaluator
	known []agentSection
	used  map[string]bool // keys that a value refers to
}

// defaults wants of each key in [DEFAULT] that a section knows it, or a value refers to it.
func (r *agentReader) defaults() {
	var all []string
	for _, s := range r.known {
		all = append(all, s.names()...)
	}
	for _, key := range r.set.defaults.keys {
		if !r.used[key] && !slices.Contains(all, key) {
			r.unknownKey(r.set.defaults.byKey[key].origin(), all)
		}
	}
}

func (r *agentReader) section(sec *section) {
	kind, name, _ := strings.Cut(sec.name, " ")
	i := slices.IndexFunc(r.known, func(s agentSection) bool { return s.kind == kind })
	if i < 0 {
		r.report(sec.at.Problem(Error, "", "agent.conf has no such section: nothing in it counts", suggest(kind, r.kinds())))
		return
	}
	s := r.known[i]
	switch name = strings.TrimSpace(name); {
	case s.named && sec.name != kind+" "+name:
		r.report(sec.at.Problem(Error, "", "there is more than one blank before the name: nothing in it counts", "write ["+kind+" "+name+"]"))
		return
	case s.named && !validName(name):
		r.report(sec.at.Problem(Error, "", "the section needs a name: letters, digits, - and _, 40 at most: nothing in it counts", "write ["+kind+" NAME]"))
		return
	case !s.named && sec.name != kind:
		r.report(sec.at.Problem(Error, "", "the section takes no name: nothing in it counts", "write ["+kind+"]"))
		return
	}
	for _, key := range sec.keys {
		if !r.used[key] && !slices.Contains(s.names(), key) {
			r.unknownKey(sec.byKey[key].origin(), s.names())
		}
	}
	if s.begin != nil {
		s.begin(&r.config.Agent, name)
	}
	for _, k := range s.keys {
		r.key(sec, k, name)
	}
	if s.check == nil {
		return
	}
	for _, c := range s.check(&r.config.Agent, name) {
		at, known := r.config.Agent.origins[agentPlace{sec.name, c.key}]
		if !known {
			at = sec.at
		}
		r.complain(at, c)
	}
}

func (r *agentReader) complain(at Origin, c complaint) {
	if c.part != "" {
		at.Value = c.part
	}
	r.report(at.Problem(c.severity, "", c.msg, c.hint))
}

func (r *agentReader) key(sec *section, k agentKey, name string) {
	value, err := r.ev.get(sec.name, k.name)
	if e, _ := r.ev.raw(sec.name, k.name); e.lost || errors.Is(err, errUnset) {
		return // of what is lost, the line was told
	}
	if err != nil {
		f := asFault(err)
		r.report(f.at.Problem(Error, "", f.msg+"; the default is used", f.hint))
		return
	}
	at := r.ev.origin(sec.name, k.name)
	at.Section, at.Value = sec.name, value
	if hides(k.name) {
		at.Value = notShown
	}
	r.config.Agent.origins[agentPlace{sec.name, k.name}] = at
	for _, c := range k.read(&r.config.Agent, name, value) {
		r.complain(at, c)
	}
}

// validName reports whether a part of the configuration may have this name: it becomes part of names of files,
// of owners in the firewall, and of paths.
func validName(s string) bool {
	return s != "" && len(s) <= 40 && s[0] != '-' && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func (r *agentReader) unknownKey(at Origin, known []string) {
	if slices.ContainsFunc(nearest(at.Key, known), hides) {
		at.Value = notShown
	}
	r.report(at.Problem(Error, "", "there is no such key: it changes nothing", suggest(at.Key, known)))
}

func (r *agentReader) kinds() []string {
	var all []string
	for _, s := range r.known {
		all = append(all, s.kind)
	}
	return all
}

func (s agentSection) names() []string {
	var all []string
	for _, k := range s.keys {
		all = append(all, k.name)
	}
	return all
}

// references are the keys that values of a file set refer to, those that were replaced among them.
func references(set *fileSet) map[string]bool {
	used := map[string]bool{}
	look := func(values map[string]entry) {
		for _, e := range values {
			for _, m := range reference.FindAllStringSubmatch(e.value, -1) {
				used[strings.ToLower(m[1])] = true
			}
		}
	}
	look(set.defaults.byKey)
	for _, sec := range set.sections {
		look(sec.byKey)
		look(set.known[sec.name])
	}
	return used
}

// suggest names what was probably meant, else all that there is.
func suggest(name string, known []string) string {
	if near := nearest(name, known); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return "there is " + strings.Join(known, ", ")
}
