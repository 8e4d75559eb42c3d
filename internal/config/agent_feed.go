package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/feed/catalog"
	"github.com/palisade-agent/palisade/internal/feed/jsonpath"
	"github.com/palisade-agent/palisade/internal/secret"
)

// FeedConf is a section [feed NAME]: a list of addresses that are blocked before they attack. What is zero has
// the default of its Type.
type FeedConf struct {
	Name    string
	Enabled bool
	Broken  bool // it cannot work as it is written; why is among the problems

	Type      string   // a name of the catalog, or "list", what URL and Path say
	URLs      []string // instead of those of the type
	Path      string   // a file or a folder, instead of a URL
	Key       secret.Ref
	Secret    secret.Ref // for those who want a pair
	User      string
	Password  secret.Ref
	KeyHeader string
	Country   string
	List      string // the name of a list among those of a publisher

	Format    string // "plain", "csv", "json", "drop", "stix", "taxii", "crowdsec"
	Column    string // of CSV: a number from 1 on, or a name of its header
	Separator string
	Entries   string // the path of entries in JSON
	Score     string // the path, or the column, of their score

	Interval, Expires, Timeout time.Duration // Expires below 0 is never
	MinScore                   int           // -1: as the type has it
	ShortScore, CountScore     int           // -1: none
	ShortTime                  time.Duration
	MaxEntries, MaxSize        int // MaxSize in MiB
	MaxShrink                  int // percent
	Min4, Min6                 int // the shortest prefix

	Outbound bool   // blocked are connections to them, too
	Mode     string // "drop", "reject" or "log"
	Private  bool   // a list of one's own may name private addresses
}

// anyFormat are the names of formats.
func anyFormat() []string {
	return []string{"plain", "csv", "json", "drop", "stix", "taxii", "crowdsec"}
}

// theFeed finds a feed by its name.
func (a *AgentConf) theFeed(name string) *FeedConf {
	i := slices.IndexFunc(a.Feeds, func(f FeedConf) bool { return f.Name == name })
	return &a.Feeds[i]
}

func feedSection() agentSection {
	of := func(a *AgentConf, name string) *FeedConf { return a.theFeed(name) }
	types := append([]string{"list"}, catalog.Names(catalog.Feeds())...)
	return agentSection{
		kind: "feed", named: true,
		begin: func(a *AgentConf, name string) {
			a.Feeds = append(a.Feeds, FeedConf{
				Name: name, Enabled: true, Type: "list", MinScore: -1, ShortScore: -1, CountScore: -1, ShortTime: time.Hour,
				MaxShrink: 50, Min4: 8, Min6: 19, Mode: "drop",
			})
		},
		check: checkFeed,
		keys: []agentKey{
			{"enabled", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Enabled })},
			{"type", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Type }, types...)},
			{"url", webAddresses(func(a *AgentConf, n string) *[]string { return &of(a, n).URLs })},
			{"path", wholePath(func(a *AgentConf, n string) *string { return &of(a, n).Path })},
			{"apikey", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Key })},
			{"apisecret", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Secret })},
			{"keyheader", plainText(func(a *AgentConf, n string) *string { return &of(a, n).KeyHeader }, headerName)},
			{"user", plainText(func(a *AgentConf, n string) *string { return &of(a, n).User }, nil)},
			{"password", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Password })},
			{"country", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Country }, countryCode)},
			{"list", plainText(func(a *AgentConf, n string) *string { return &of(a, n).List }, listName)},
			{"format", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Format }, anyFormat()...)},
			{"column", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Column }, nil)},
			{"separator", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Separator }, nil)},
			{"entries", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Entries }, nil)},
			{"score", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Score }, nil)},
			{"interval", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Interval }, time.Second, 30*24*time.Hour, false)},
			{"expires", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Expires }, time.Minute, 366*24*time.Hour, true)},
			{"timeout", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Timeout }, time.Second, time.Hour, false)},
			{"min_score", number(func(a *AgentConf, n string) *int { return &of(a, n).MinScore }, 0, 100)},
			{"short_score", number(func(a *AgentConf, n string) *int { return &of(a, n).ShortScore }, 0, 100)},
			{"count_score", number(func(a *AgentConf, n string) *int { return &of(a, n).CountScore }, 0, 100)},
			{"short_time", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).ShortTime }, time.Minute, 366*24*time.Hour, false)},
			{"max_entries", number(func(a *AgentConf, n string) *int { return &of(a, n).MaxEntries }, 1, 10_000_000)},
			{"max_size", number(func(a *AgentConf, n string) *int { return &of(a, n).MaxSize }, 1, 2048)},
			{"max_shrink", number(func(a *AgentConf, n string) *int { return &of(a, n).MaxShrink }, 1, 100)},
			{"min_prefix4", number(func(a *AgentConf, n string) *int { return &of(a, n).Min4 }, 1, 32)},
			{"min_prefix6", number(func(a *AgentConf, n string) *int { return &of(a, n).Min6 }, 1, 128)},
			{"direction", func(a *AgentConf, n, value string) []complaint {
				word := "in"
				wrong := oneOf(func(*AgentConf, string) *string { return &word }, "in", "both")(a, n, value)
				of(a, n).Outbound = word == "both"
				return wrong
			}},
			{"mode", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Mode }, "drop", "reject", "log")},
			{"private", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Private })},
		},
	}
}

// checkFeed looks whether there is all that a feed needs.
func checkFeed(a *AgentConf, name string) (wrong []complaint) {
	f := a.theFeed(name)
	if !f.Enabled {
		return nil
	}
	broken := func(key, msg, hint string) {
		f.Broken = true
		wrong = append(wrong, complaint{key: key, msg: msg + ": the feed does not run", hint: hint})
	}
	l, known := catalog.Find(catalog.Feeds(), f.Type)
	switch {
	case f.Path != "" && len(f.URLs) > 0:
		broken("path", "a feed has a path or a url, not both", "make two feeds of it")
	case !known && f.Path == "" && len(f.URLs) == 0:
		broken("type", "it is not said where the list is", "write type = one of "+strings.Join(catalog.Names(catalog.Feeds()), ", ")+"; or url = https://…, or path = /…")
	case known && f.Path != "":
		broken("path", "a list of type "+f.Type+" is not in a file", "leave out type, or path")
	case l.Auth == catalog.Required && !f.Key.Given() && !f.Password.Given():
		broken("type", "there is no key", "write apikey = file:/etc/agentd/"+name+".key, with the key from your account there")
	case l.Form == catalog.Pair && f.Key.Given() && !f.Secret.Given():
		broken("apikey", "this service wants a key and a secret", "write apisecret = file:/etc/agentd/"+name+".secret")
	case l.Needs == "country" && f.Country == "":
		broken("type", "it is not said which country", "write country = XX, of two letters")
	}
	if (f.Key.Given() || f.Password.Given()) && slices.ContainsFunc(f.URLs, unprotected) {
		wrong = append(wrong, complaint{severity: Warning, key: "url", msg: "the key goes over the network without TLS, where others can read it", hint: "write https://"})
	}
	if f.ShortScore >= 0 && f.MinScore >= 0 && f.ShortScore >= f.MinScore {
		wrong = append(wrong, complaint{severity: Warning, key: "short_score", msg: "nobody has a score from short_score up to min_score", hint: "make short_score less than min_score"})
	}
	if f.Min4 < 8 && f.Enabled {
		wrong = append(wrong, complaint{severity: Warning, key: "min_prefix4", msg: "one entry of this list may block more than sixteen million addresses"})
	}
	if key := f.Format; key == "json" && f.Entries == "" && !known {
		broken("format", "it is not said where in the JSON the addresses are", "write entries = list[].ip")
	}
	checkPlaces(f, broken)
	return wrong
}

// checkPlaces looks whether what is said of a format can be understood.
func checkPlaces(f *FeedConf, broken func(key, msg, hint string)) {
	if f.Entries != "" {
		if _, err := jsonpath.Parse(f.Entries); err != nil {
			broken("entries", "this is no path: "+err.Error(), "write it as list[].ip")
		}
	}
	if f.Score != "" && f.Format == "json" {
		p, err := jsonpath.Parse(f.Score)
		switch {
		case err != nil:
			broken("score", "this is no path: "+err.Error(), "write it as threat.score")
		case !p.Members():
			broken("score", "it leads through a list", "write it as it is seen from the object that the address is in: threat.score")
		}
	}
	if _, ok := Separator(f.Separator); !ok {
		broken("separator", "this is not one character", "write one, or tab, blank, comma, semicolon or bar")
	}
	if n, err := strconv.Atoi(f.Column); err == nil && n < 1 {
		broken("column", "columns are counted from 1 on", "write column = 1, or the name in the heading")
	}
}

// Separator reads what is between the columns of a list: a character, or the name of one that a file of
// settings cannot have. Empty is a comma, for which it gives 0.
func Separator(text string) (rune, bool) {
	switch text {
	case "":
		return 0, true
	case "tab", `\t`:
		return '\t', true
	case "blank":
		return ' ', true
	case "comma":
		return ',', true
	case "semicolon":
		return ';', true
	case "bar":
		return '|', true
	}
	r, n := utf8.DecodeRuneInString(text)
	return r, n == len(text) && r != utf8.RuneError && r != '"'
}

func headerName(s string) (msg, hint string) {
	if s == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "this is no name of a header; it does not count", "write it as X-API-Key"
	}
	return "", ""
}

func countryCode(s string) (msg, hint string) {
	if len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "this is no country code; it does not count", "write its two capital letters, as ISO 3166 has them"
	}
	return "", ""
}

func listName(s string) (msg, hint string) {
	if s == "" || strings.HasPrefix(s, ".") || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "this is no name of a list; it does not count", "write the name as its publisher does, without a path"
	}
	return "", ""
}
