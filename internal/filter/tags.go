package filter

import (
	"regexp"
	"strconv"
	"strings"
)

// The building blocks that address tags stand for. Group names are fail2ban's, since actions and
// filters refer to them; the texts are ours and accept the same. An IPv4 address may carry the prefix
// that maps it into IPv6, which is matched but not captured. Neither form checks that numbers are in
// range: what is no address in the end is an ID all the same.
const (
	reIP4    = `(?:::f{4,6}:)?(?P<ip4>\d{1,3}(?:\.\d{1,3}){3})`
	reIP6    = `(?P<ip6>(?:[0-9A-Fa-f]{1,4}::?|:){1,7}(?:[0-9A-Fa-f]{1,4}|(?<=:):))`
	reDNS    = `(?P<dns>[\w.^-]*\w)`
	reCIDR   = `(?P<cidr>\d+)`
	reAddr   = `\[?(?:` + reIP4 + `|` + reIP6 + `)\]?`
	reSubnet = `\[?(?:` + reIP4 + `|` + reIP6 + `)(?:/` + reCIDR + `)?\]?`
	reHost   = `(?:` + reAddr + `|` + reDNS + `)`
)

// fixedTags are the tags that always stand for the same text.
var fixedTags = map[string]string{
	"IP4": reIP4, "F-IP4/": reIP4,
	"IP6": reIP6, "F-IP6/": reIP6,
	"DNS": reDNS, "F-DNS/": reDNS,
	"ADDR": reAddr, "F-ADDR/": reAddr,
	"CIDR": reCIDR, "F-CIDR/": reCIDR,
	"SUBNET": reSubnet, "F-SUBNET/": reSubnet,
	"F-ID/":   `(?P<fid>\S+)`,
	"F-PORT/": `(?P<fport>\w+)`,
}

var (
	anyTag   = regexp.MustCompile(`</?[\p{L}\p{N}_-]+/?>`)
	groupTag = regexp.MustCompile(`^(/?)F-([A-Z0-9_-]+)$`)
	// innerFlags is a group that begins with global flags: `((?i)` or `(?:(?i)`.
	innerFlags = regexp.MustCompile(`\((?:\?:)?(\(\?[a-z]+)\)`)
)

// groupName is the regex group that a tag's name means: lower case, and two short forms.
func groupName(tag string) string {
	switch name := strings.ToLower(tag); name {
	case "id":
		return "fid"
	case "port":
		return "fport"
	default:
		return name
	}
}

// expandTags replaces the tags of a regex. What is no known tag stays as it is: the regex may mean it
// literally, and fail2ban leaves it too.
func expandTags(regex string, dns UseDNS) string {
	open := map[string]bool{}
	skips := 0
	return anyTag.ReplaceAllStringFunc(regex, func(tag string) string {
		name := tag[1 : len(tag)-1]
		switch {
		case name == "HOST" && dns == DNSNo:
			return reAddr
		case name == "HOST":
			return reHost
		case name == "SKIPLINES":
			skips++
			return `\n(?P<skiplines` + strconv.Itoa(skips-1) + `>(?:(?:.*\n)*?))`
		}
		if fixed, ok := fixedTags[name]; ok {
			return fixed
		}
		m := groupTag.FindStringSubmatch(name)
		switch {
		case m == nil:
			return tag
		case m[1] == "":
			open[m[2]] = true
			return "(?P<" + groupName(m[2]) + ">"
		case open[m[2]]:
			return ")"
		default:
			return tag
		}
	})
}

// localFlags turns a group that begins with global flags into one with flags of its own, as in
// `((?i)x)` to `(?i:x)`: fail2ban does so, because Python refuses global flags amid a regex. The
// group no longer captures.
func localFlags(regex string) string {
	var b strings.Builder
	from := 0
	for _, m := range innerFlags.FindAllStringSubmatchIndex(regex, -1) {
		if m[0] > 0 && regex[m[0]-1] == '\\' {
			continue
		}
		b.WriteString(regex[from:m[0]])
		b.WriteString(regex[m[2]:m[3]])
		b.WriteByte(':')
		from = m[1]
	}
	b.WriteString(regex[from:])
	return b.String()
}
