package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/secret"
)

// place finds where a value of agent.conf is stored, in the section of a name where there are several.
type place[T any] func(a *AgentConf, name string) *T

func oneOf(target place[string], words ...string) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		word := strings.ToLower(value)
		if !slices.Contains(words, word) {
			t := target(a, name)
			hint := "use one of " + strings.Join(words, ", ")
			if near := nearest(word, words); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			counts := *t
			if counts == "" {
				counts = "nothing"
			}
			return []complaint{{msg: "unknown value; it counts as " + counts, hint: hint}}
		}
		*target(a, name) = word
		return nil
	}
}

func yesOrNo(target place[bool]) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		yes := ParseBool(value)
		if !yes && !slices.Contains([]string{"no", "off", "false", "0"}, strings.ToLower(value)) {
			word := "no"
			if *target(a, name) {
				word = "yes"
			}
			return []complaint{{msg: "neither yes nor no; it counts as " + word, hint: "write yes or no"}}
		}
		*target(a, name) = yes
		return nil
	}
}

// maxPrefixes bounds a list of addresses that is written into agent.conf.
const maxPrefixes = 100_000

// prefixes reads addresses and networks. Those that can be read count, whatever is beside them.
func prefixes(target place[[]netip.Prefix]) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
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
				*target(a, name) = list
				return wrong
			case p.Bits() == 0:
				wrong = append(wrong, complaint{severity: Warning, part: word, msg: "this is everybody: nobody is blocked"})
			}
			list = append(list, p)
		}
		*target(a, name) = list
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

// maxText bounds a value of one line.
const maxText = 2000

// plainText reads a text of one line; check says what is wrong with it, "" if nothing, and may be nil.
func plainText(target place[string], check func(string) (msg, hint string)) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		if len(value) > maxText || strings.ContainsFunc(value, unicode.IsControl) {
			return []complaint{{part: fmt.Sprintf("%.40q…", value), msg: "the value has more than one line, or is too long; it does not count", hint: "write it on one line"}}
		}
		if check != nil {
			if msg, hint := check(value); msg != "" {
				return []complaint{{msg: msg, hint: hint}}
			}
		}
		*target(a, name) = value
		return nil
	}
}

// wordList reads words between blanks, commas and line ends.
func wordList(target place[[]string], check func(string) (msg, hint string)) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) (wrong []complaint) {
		var list []string
		for _, w := range words(value) {
			if check != nil {
				if msg, hint := check(w); msg != "" {
					wrong = append(wrong, complaint{part: w, msg: msg, hint: hint})
					continue
				}
			}
			list = append(list, w)
		}
		*target(a, name) = list
		return wrong
	}
}

// number reads a whole number of a range.
func number(target place[int], least, most int) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		n, err := parseInt(value)
		if err != nil || n < least || n > most {
			return []complaint{{msg: fmt.Sprintf("this is no whole number from %d to %d; it counts as %d", least, most, *target(a, name)), hint: "write a number"}}
		}
		*target(a, name) = n
		return nil
	}
}

// duration reads a time of a range, as bantime is written. Where never is set, -1 is for ever, stored as a time
// below zero.
func duration(target place[time.Duration], least, most time.Duration, never bool) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		d, err := ParseTime(value)
		switch {
		case err != nil:
			return []complaint{{msg: err.Error() + "; it counts as " + target(a, name).String(), hint: "write a time as 30m, 6h or 1d"}}
		case never && d < 0:
			d = -1
		case d < least || d > most:
			return []complaint{{msg: fmt.Sprintf("this is not between %s and %s; it counts as %s", least, most, *target(a, name)), hint: "write a time as 30m, 6h or 1d"}}
		}
		*target(a, name) = d
		return nil
	}
}

// aSecret reads where a key is, or the key.
func aSecret(target place[secret.Ref]) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		r := secret.Parse(value)
		*target(a, name) = r
		if r.Open() {
			return []complaint{{severity: Warning, msg: "everybody on this machine may read the file with the key", hint: "chmod 600 " + strings.TrimPrefix(r.String(), "file:")}}
		}
		return nil
	}
}

// webAddress reads a URL without a key or password in it.
func webAddress(target place[string]) func(*AgentConf, string, string) []complaint {
	return plainText(target, goodURL)
}

// webAddresses reads several.
func webAddresses(target place[[]string]) func(*AgentConf, string, string) []complaint {
	return wordList(target, goodURL)
}

func goodURL(value string) (msg, hint string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(value) > maxText:
		return "this is no address of the web; it does not count", "write https://HOST/PATH"
	case u.User != nil:
		return "a user or a password in an address is seen by too many; it does not count", "write user = and password = instead"
	}
	return "", ""
}

// unprotected reports whether what is sent to an address can be read on its way by others than this machine's.
func unprotected(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !a.IsLoopback())
}

// wholePath reads the path of a file or folder.
func wholePath(target place[string]) func(*AgentConf, string, string) []complaint {
	return plainText(target, func(value string) (msg, hint string) {
		if !path.IsAbs(value) {
			return "this is no whole path; it does not count", "begin it with /"
		}
		return "", ""
	})
}

// notShown stands for a value that is not for everybody's eyes.
const notShown = "(not shown)"

// hides reports whether a key's value is not for everybody's eyes, whoever misspelt its name.
func hides(key string) bool {
	key = strings.ToLower(key)
	for _, part := range []string{"key", "secret", "token", "pass", "pwd", "auth"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}
