package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/ident"
)

// agentConf is the name under which agent.conf is looked for.
const agentConf = "agent"

// AgentConf is what agent.conf says: the settings that fail2ban has none for. fail2ban does not read the
// file. What is not set, or not usable, has its default.
type AgentConf struct {
	Firewall FirewallConf
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
	kind  string
	named bool // [kind NAME], as many as one likes; else there is one, [kind]
	keys  []agentKey
}

// agentKey is a key of a section. Read stores a value, in the section of a name where there are several,
// and gives what is wrong with it; what is wrong is not stored.
type agentKey struct {
	name string
	read func(a *AgentConf, name, value string) []complaint
}

// complaint is something wrong with a value, or a part of it.
type complaint struct {
	severity  Severity
	part      string // of the value; empty if all of it is meant
	msg, hint string
}

// agentSections are all kinds of sections.
func agentSections() []agentSection {
	return []agentSection{
		{kind: "firewall", keys: []agentKey{
			{"backend", oneOf(func(a *AgentConf) *string { return &a.Firewall.Backend }, "auto", "nft", "ipset", "script", "memory")},
			{"cut", yesOrNo(func(a *AgentConf) *bool { return &a.Firewall.Cut })},
			{"hits", yesOrNo(func(a *AgentConf) *bool { return &a.Firewall.Hits })},
			{"allow", prefixes(func(a *AgentConf) *[]netip.Prefix { return &a.Firewall.Allow })},
			{"feeds", oneOf(func(a *AgentConf) *string { return &a.Firewall.Feeds }, "auto", "nft", "ipset")},
		}},
	}
}

// agentConf reads agent.conf, which need not be there.
func (l *loader) agentConf() {
	a := &l.config.Agent
	*a = AgentConf{Firewall: FirewallConf{Backend: "auto", Cut: true, Feeds: "auto"}, origins: map[agentPlace]Origin{}}
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
	case s.named && (name == "" || strings.ContainsFunc(name, isSpace)):
		r.report(sec.at.Problem(Error, "", "the section needs a name of one word: nothing in it counts", "write ["+kind+" NAME]"))
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
	for _, k := range s.keys {
		r.key(sec, k, name)
	}
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
	at.Section = sec.name
	r.config.Agent.origins[agentPlace{sec.name, k.name}] = at
	for _, c := range k.read(&r.config.Agent, name, value) {
		at.Value = value
		if c.part != "" {
			at.Value = c.part
		}
		r.report(at.Problem(c.severity, "", c.msg, c.hint))
	}
}

func (r *agentReader) unknownKey(at Origin, known []string) {
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

func oneOf(target func(*AgentConf) *string, words ...string) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, _, value string) []complaint {
		word := strings.ToLower(value)
		if !slices.Contains(words, word) {
			t := target(a)
			return []complaint{{msg: "unknown value; it counts as " + *t, hint: "use one of " + strings.Join(words, ", ")}}
		}
		*target(a) = word
		return nil
	}
}

func yesOrNo(target func(*AgentConf) *bool) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, _, value string) []complaint {
		yes := ParseBool(value)
		if !yes && !slices.Contains([]string{"no", "off", "false", "0"}, strings.ToLower(value)) {
			word := "no"
			if *target(a) {
				word = "yes"
			}
			return []complaint{{msg: "neither yes nor no; it counts as " + word, hint: "write yes or no"}}
		}
		*target(a) = yes
		return nil
	}
}

// maxPrefixes bounds a list of addresses that is written into agent.conf.
const maxPrefixes = 100_000

// prefixes reads addresses and networks. Those that can be read count, whatever is beside them.
func prefixes(target func(*AgentConf) *[]netip.Prefix) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, _, value string) []complaint {
		var list []netip.Prefix
		var wrong []complaint
		for _, word := range words(value) {
			p, msg, hint := allowed(word)
			switch {
			case msg != "":
				wrong = append(wrong, complaint{part: word, msg: msg, hint: hint})
				continue
			case len(list) == maxPrefixes:
				wrong = append(wrong, complaint{part: word, msg: fmt.Sprintf("more than %d entries; the others do not count", maxPrefixes), hint: "write networks instead of hosts"})
				*target(a) = list
				return wrong
			case p.Bits() == 0:
				wrong = append(wrong, complaint{severity: Warning, part: word, msg: "this is everybody: nobody is blocked"})
			}
			list = append(list, p)
		}
		*target(a) = list
		return wrong
	}
}

// allowed reads one address or network.
func allowed(word string) (p netip.Prefix, msg, hint string) {
	p, ok := ident.ParsePrefix(word)
	host, bits, isNet := strings.Cut(word, "/")
	switch {
	case ok && isNet && tooLong(bits, host):
		return p, "the prefix has more bits than the address; it does not count", "write a network as 192.0.2.0/24 or 2001:db8::/32"
	case ok:
		return p, "", ""
	case strings.Contains(host, "%"):
		return p, "an address with a zone means one device, which no rule does; it does not count", "leave out the zone: " + host[:strings.IndexByte(host, '%')]
	case isNet || strings.ContainsAny(word, ":") || strings.Trim(word, "0123456789.") == "":
		return p, "this is no address and no network; it does not count", "write addresses as 192.0.2.1, networks as 192.0.2.0/24 or 2001:db8::/32"
	}
	return p, "a name cannot be allowed here, since what it means may change behind the firewall's back; it does not count",
		"write its addresses, or name it in ignoreip, which asks for them"
}

func tooLong(bits, host string) bool {
	n, err := parseInt(bits)
	return err == nil && (n < 0 || n > 128 || n > 32 && !strings.Contains(host, ":"))
}
