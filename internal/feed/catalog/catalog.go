// Package catalog knows published lists by name, so that nobody has to look up where they are, how they are
// written and how often their owners want to be asked. It is data, and pure.
package catalog

import (
	"slices"
	"strings"
	"time"
)

// Auth is what a publisher wants to see.
type Auth int

// What publishers want.
const (
	Open     Auth = iota // anybody may read it
	Optional             // with a key there is more
	Required
)

// KeyForm is how a key is sent.
type KeyForm int

// How keys are sent.
const (
	AsIs   KeyForm = iota // the key is the header's value
	Pair                  // base64 of key:secret is
	Bearer                // "Bearer " and the key
	Basic                 // user and password, as HTTP has it
)

// Part is one document of a list: some have one for each family.
type Part struct {
	URL string // with {max}, {country} and {name} for what the configuration says
	// Kind is the format, as internal/feed names it. Path and Score say where in a document of JSON the
	// entries and their scores are; Column which column of CSV.
	Kind, Path, Score, Column string
}

// List is a published list.
type List struct {
	Name  string
	About string // one line, for people
	Parts []Part

	Auth   Auth
	Header string // of the key
	Form   KeyForm

	Every   time.Duration // how often it is asked for, if nothing else is said
	Least   time.Duration // never more often, since its owner does not want that
	Expires time.Duration // how long the last good copy counts
	// MinScore is from which score on an entry counts, if nothing else is said; 0 takes all.
	MinScore int
	Max      int      // for {max}, if nothing else is said; 0: it is not asked for
	List     string   // for {name}, if nothing else is said
	MayEmpty bool     // to be empty is nothing unusual
	Needs    string   // a key of the configuration without which there is no list: "country"; or empty
	Accept   string   // media types asked for; empty asks for anything
	Terms    string   // what its owner wants; may be empty
	Pinned   []string // prefixes that count until there was a first good answer
}

// These are the times that most lists go by.
const (
	often = 30 * time.Minute
	day   = 24 * time.Hour
)

// Feeds are lists of those who attack, in the order in which they are shown.
func Feeds() []List {
	return []List{
		{
			Name: "wayscloud", About: "WAYSCloud live threats, with scores", Auth: Required, Header: "X-API-Key",
			Parts: []Part{{URL: "https://api.wayscloud.services/v1/ip/threats/live?limit={max}", Kind: "json", Path: "threats[].ip_address|threats[].ip|[].ip_address|[].ip", Score: "threat_score|score|threat.score"}},
			Every: often, Least: 15 * time.Minute, Expires: day, MinScore: 60, Max: 1000,
		},
		{
			Name: "wayscloud-portal", About: "WAYSCloud live threats from the public portal, without a key", Auth: Optional, Header: "X-API-Key",
			Parts: []Part{{URL: "https://ip.wayscloud.services/api/threats/live?limit={max}", Kind: "json", Path: "threats[].ip_address|threats[].ip|[].ip_address|[].ip", Score: "threat_score|score"}},
			Every: often, Least: 15 * time.Minute, Expires: day, MinScore: 60, Max: 1000,
		},
		{
			Name: "wayscloud-country", About: "WAYSCloud's worst addresses of a country", Auth: Optional, Header: "X-API-Key", Needs: "country",
			Parts: []Part{{URL: "https://ip.wayscloud.services/api/country/{country}", Kind: "json", Path: "top_ips[].ip_address|top_ips[].ip", Score: "threat_score|score"}},
			Every: 6 * time.Hour, Least: 15 * time.Minute, Expires: 7 * day,
		},
		{
			Name: "ismalicious", About: "isMalicious blocklist", Auth: Optional, Header: "X-API-KEY", Form: Pair,
			Parts: []Part{{URL: "https://api.ismalicious.com/blocklist/download/{name}", Kind: "plain"}}, List: "blocklist-ips-all.txt",
			Every: 6 * time.Hour, Least: time.Hour, Expires: 2 * day,
		},
		{
			Name: "ismalicious-taxii", About: "isMalicious indicators over TAXII (Pro)", Auth: Required, Header: "X-API-KEY", Form: Pair,
			Parts: []Part{{URL: "https://api.ismalicious.com/taxii/api-root/collections/malicious-ips/objects", Kind: "taxii"}},
			Every: time.Hour, Least: 15 * time.Minute, Expires: 2 * day, Accept: "application/taxii+json;version=2.1, application/json;q=0.5",
		},
		{
			Name: "abuseipdb", About: "AbuseIPDB blacklist", Auth: Required, Header: "Key",
			Parts: []Part{{URL: "https://api.abuseipdb.com/api/v2/blacklist?limit={max}", Kind: "json", Path: "data[].ipAddress", Score: "abuseConfidenceScore"}}, Max: 10_000,
			Every: 6 * time.Hour, Least: 5 * time.Hour, Expires: 2 * day, Accept: "application/json", Terms: "five requests a day with a free key",
		},
		{
			Name: "blocklist-de", About: "blocklist.de, attackers of the last 48 hours", Parts: []Part{{URL: "https://lists.blocklist.de/lists/{name}.txt", Kind: "plain"}}, List: "all",
			Every: often, Least: often, Expires: 2 * day,
		},
		{
			Name: "spamhaus-drop", About: "Spamhaus DROP, networks run by criminals",
			Parts: []Part{{URL: "https://www.spamhaus.org/drop/drop_v4.json", Kind: "drop"}, {URL: "https://www.spamhaus.org/drop/drop_v6.json", Kind: "drop"}},
			Every: 12 * time.Hour, Least: time.Hour, Expires: 7 * day, Terms: "© The Spamhaus Project; at most once an hour",
		},
		{
			Name: "dshield", About: "DShield, the networks that attacked most in three days", Parts: []Part{{URL: "https://feeds.dshield.org/block.txt", Kind: "plain"}},
			Every: 6 * time.Hour, Least: time.Hour, Expires: 3 * day, Terms: "CC BY-NC-SA 2.5: not for commercial use",
		},
		firehol("1"), firehol("2"), firehol("3"), firehol("4"),
		{
			Name: "feodo", About: "Feodo Tracker, botnet command servers (use direction = both)", Parts: []Part{{URL: "https://feodotracker.abuse.ch/downloads/ipblocklist_recommended.txt", Kind: "plain"}},
			Every: time.Hour, Least: 5 * time.Minute, Expires: 2 * day, MayEmpty: true, Terms: "CC0",
		},
		{
			Name: "tor-exits", About: "exits of Tor: a matter of policy, they are not evil", Parts: []Part{{URL: "https://check.torproject.org/torbulkexitlist", Kind: "plain"}},
			Every: time.Hour, Least: often, Expires: day, Terms: "CC0",
		},
		{
			Name: "cins", About: "CINS Army", Parts: []Part{{URL: "https://cinsscore.com/list/ci-badguys.txt", Kind: "plain"}},
			Every: 3 * time.Hour, Least: time.Hour, Expires: 2 * day,
		},
		{
			Name: "greensnow", About: "GreenSnow", Parts: []Part{{URL: "https://blocklist.greensnow.co/greensnow.txt", Kind: "plain"}},
			Every: 3 * time.Hour, Least: often, Expires: 2 * day, Terms: "not to be passed on",
		},
		{
			Name: "emerging-threats", About: "Emerging Threats, compromised hosts", Parts: []Part{{URL: "https://rules.emergingthreats.net/blockrules/compromised-ips.txt", Kind: "plain"}},
			Every: 12 * time.Hour, Least: time.Hour, Expires: 4 * day,
		},
		{
			Name: "crowdsec", About: "the decisions of a CrowdSec LAPI", Auth: Required, Header: "X-Api-Key",
			Parts: []Part{{URL: "http://127.0.0.1:8080/v1/decisions/stream", Kind: "crowdsec"}},
			Every: 10 * time.Second, Least: 5 * time.Second, Expires: day, MayEmpty: true,
		},
	}
}

func firehol(level string) List {
	return List{
		Name: "firehol-level" + level, About: "FireHOL level " + level, Parts: []Part{{URL: "https://iplists.firehol.org/files/firehol_level" + level + ".netset", Kind: "plain"}},
		Every: 6 * time.Hour, Least: often, Expires: 3 * day,
	}
}

// prefixList is how Google and Microsoft write ranges.
const prefixList = "prefixes[].ipv4Prefix|prefixes[].ipv6Prefix"

// Allows are ranges of those whom nobody wants to block by accident.
func Allows() []List {
	return []List{
		{
			Name: "cloudflare", About: "Cloudflare's proxies",
			Parts: []Part{{URL: "https://www.cloudflare.com/ips-v4", Kind: "plain"}, {URL: "https://www.cloudflare.com/ips-v6", Kind: "plain"}},
			Every: day, Least: time.Hour, Pinned: cloudflare(),
		},
		{
			Name: "fastly", About: "Fastly's proxies", Parts: []Part{{URL: "https://api.fastly.com/public-ip-list", Kind: "json", Path: "addresses[]|ipv6_addresses[]"}},
			Every: day, Least: time.Hour, Pinned: fastly(),
		},
		{
			Name: "aws", About: "services of AWS that visit: CloudFront and the health checks of Route 53, unless services says others",
			Parts: []Part{{URL: "https://ip-ranges.amazonaws.com/ip-ranges.json", Kind: "json", Path: "prefixes[service={services}].ip_prefix|ipv6_prefixes[service={services}].ipv6_prefix"}},
			Every: day, Least: time.Hour,
		},
		{Name: "google", About: "Google's own services", Parts: []Part{{URL: "https://www.gstatic.com/ipranges/goog.json", Kind: "json", Path: prefixList}}, Every: day, Least: time.Hour},
		{
			Name: "googlebot", About: "Google's crawlers", Every: day, Least: time.Hour,
			Parts: []Part{
				{URL: "https://developers.google.com/static/crawling/ipranges/common-crawlers.json", Kind: "json", Path: prefixList},
				{URL: "https://developers.google.com/static/crawling/ipranges/special-crawlers.json", Kind: "json", Path: prefixList},
			},
		},
		{Name: "bingbot", About: "Bing's crawler", Parts: []Part{{URL: "https://www.bing.com/toolbox/bingbot.json", Kind: "json", Path: prefixList}}, Every: day, Least: time.Hour},
		{Name: "applebot", About: "Apple's crawler", Parts: []Part{{URL: "https://search.developer.apple.com/applebot.json", Kind: "json", Path: prefixList}}, Every: day, Least: time.Hour},
		{Name: "uptimerobot", About: "UptimeRobot's monitors", Parts: []Part{{URL: "https://uptimerobot.com/inc/files/ips/IPv4andIPv6.txt", Kind: "plain"}}, Every: day, Least: time.Hour},
		{Name: "stripe", About: "Stripe's webhooks", Parts: []Part{{URL: "https://stripe.com/files/ips/ips_webhooks.json", Kind: "json", Path: "WEBHOOKS[]"}}, Every: day, Least: time.Hour},
		{Name: "github", About: "GitHub's webhooks", Parts: []Part{{URL: "https://api.github.com/meta", Kind: "json", Path: "hooks[]"}}, Every: day, Least: time.Hour},
	}
}

// Find gives a list by its name.
func Find(lists []List, name string) (List, bool) {
	i := slices.IndexFunc(lists, func(l List) bool { return l.Name == name })
	if i < 0 {
		return List{}, false
	}
	return lists[i], true
}

// Names are the names of lists, in their order.
func Names(lists []List) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l.Name)
	}
	return all
}

// Fill puts values for the {names} of a text.
func Fill(text string, values map[string]string) string {
	var pairs []string
	for name, v := range values {
		pairs = append(pairs, "{"+name+"}", v)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
