package report

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// The bounds of lines that are sent.
const (
	maxLines     = 10
	maxLineBytes = 500
)

// scrubber are the forms of what must not leave the machine. RE2 reads each in linear time.
type scrubber struct {
	mail, query, secret, token, user, addr *regexp.Regexp
}

func newScrubber() scrubber {
	return scrubber{
		mail:   regexp.MustCompile(`[^\s@<>"'=,;:]+@[^\s@<>"',;:]+`),
		query:  regexp.MustCompile(`\?[^\s"']+`),
		secret: regexp.MustCompile(`(?i)\b(pass(?:word|wd)?["']?\s*[=:]|pwd["']?\s*[=:]|key["']?\s*[=:]|token["']?\s*[=:]|secret["']?\s*[=:]|api[-_]?key["']?\s*[=:]|authorization["']?\s*:|bearer|basic|cookie["']?\s*:|session(?:id)?["']?\s*[=:]?)(\s*)(\S+)`),
		token:  regexp.MustCompile(`[A-Za-z0-9+/_=-]{32,}`),
		user:   regexp.MustCompile(`(?i)\b(for invalid user|for illegal user|for user|invalid user|illegal user|user(?:name)?|ruser|logname|login|account|for|sasl_username|rip_user)(["']?\s*[=:]\s*|\s+)(?:"[^"]*"|'[^']*'|<[^>]*>|[^\s"',;)]+)`),
		addr:   regexp.MustCompile(`[0-9A-Fa-f:.]*[0-9A-Fa-f][0-9A-Fa-f:.]*`),
	}
}

// scrub gives the lines of a ban without those who were attacked: without names of users, addresses other than
// the attacker's, mail addresses, names of this machine, queries, and whatever looks like a password, a token or
// a cookie. Attackers write parts of these lines, so that no control character is left, and what is taken out is
// taken out generously: a line that says too little is no harm.
func scrub(b Ban, f Facts) []string {
	s := newScrubber()
	var all []string
	for _, line := range b.Lines[max(len(b.Lines)-maxLines, 0):] {
		all = append(all, s.line(line, b, f))
	}
	return all
}

func (s scrubber) line(line string, b Ban, f Facts) string {
	line = strings.ToValidUTF8(line, "�")
	if len(line) > 4*maxLineBytes {
		line = strings.ToValidUTF8(line[:4*maxLineBytes], "")
	}
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, line)
	for _, text := range captured(b) {
		line = strings.ReplaceAll(line, text, "<user>")
	}
	for _, name := range f.Names {
		if len(name) > 1 {
			line = replaceFold(line, name, "<host>")
		}
	}
	line = s.mail.ReplaceAllString(line, "<mail>")
	line = s.query.ReplaceAllString(line, "?<query>")
	line = s.secret.ReplaceAllString(line, "$1$2<secret>")
	line = s.user.ReplaceAllString(line, "$1$2<user>")
	line = s.token.ReplaceAllString(line, "<token>")
	attacker := b.Prefix.Addr().Unmap()
	line = s.addr.ReplaceAllStringFunc(line, func(word string) string {
		trimmed := strings.TrimRight(word, ".:")
		a, err := netip.ParseAddr(trimmed)
		if err != nil || a.Unmap() == attacker {
			return word
		}
		return "<addr>" + word[len(trimmed):]
	})
	if len(line) > maxLineBytes {
		line = strings.ToValidUTF8(line[:maxLineBytes], "") + "…"
	}
	return line
}

// captured are the texts that a filter took out of the lines, other than the attacker's address: names of users,
// most of all. The longest come first.
func captured(b Ban) (all []string) {
	for name, text := range b.Data {
		if len(text) < 2 || name == "ip" || name == "ip4" || name == "ip6" {
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Unmap() == b.Prefix.Addr().Unmap() {
			continue
		}
		all = append(all, text)
	}
	slices.SortFunc(all, func(x, y string) int { return cmp.Or(cmp.Compare(len(y), len(x)), cmp.Compare(x, y)) })
	return all
}

// replaceFold replaces a name in any case, in letters of ASCII as names of hosts are.
func replaceFold(s, name, by string) string {
	lower, name := strings.ToLower(s), strings.ToLower(name)
	if len(lower) != len(s) {
		return strings.ReplaceAll(s, name, by)
	}
	var b strings.Builder
	for {
		i := strings.Index(lower, name)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i] + by)
		s, lower = s[i+len(name):], lower[i+len(name):]
	}
}
