package config

import (
	"regexp"
	"strings"
)

// reference is how one value refers to another: %(name)s or %(section/name)s.
var reference = regexp.MustCompile(`%\((?:[^()/]*/)?([^()/]+)\)s`)

// misspelt warns of keys that are one slip away from an option of a jail, and that nothing refers to.
// fail2ban has no list of what may stand in a jail, since values may use names of their own, and says
// nothing of them.
func (l *loader) misspelt() {
	used := references(l.jails)
	sections := append([]*section{l.jails.defaults}, l.jails.sections...)
	for _, sec := range sections {
		if sec.name == includesSection || strings.HasPrefix(sec.name, knownPrefix) {
			continue
		}
		for _, key := range sec.keys {
			if used[key] {
				continue
			}
			if meant := slipOf(key); meant != "" {
				at := sec.byKey[key].origin()
				l.report(at.Problem(Warning, "", "a jail has no such option: it changes nothing", "did you mean "+meant+"?"))
			}
		}
	}
}

// shortestOption is the length of the shortest name that is still taken for a slip: any two names of
// less are close to each other.
const shortestOption = 5

// slipOf gives the option that a key becomes when one letter is put in, left out or changed, or two
// change places; "" for an option and for what is further off.
func slipOf(key string) string {
	if len(key) < shortestOption || len(key) > maxShown {
		return ""
	}
	var meant string
	for _, list := range [][]option{unsentOptions, jailOptions, filterOptions} {
		for _, o := range list {
			if d := len(key) - len(o.name); d < -1 || d > 1 {
				continue
			}
			switch far := distance(key, o.name); {
			case far == 0:
				return ""
			case far == 1, far == 2 && swapped(key, o.name):
				meant = o.name
			}
		}
	}
	return meant
}

// swapped reports whether two texts differ in the order of two neighbours alone.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
