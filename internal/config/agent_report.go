package config

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/secret"
)

// ReportConf is a section [report NAME]: somebody who is told whom the jails have banned.
type ReportConf struct {
	Name    string
	Enabled bool
	Broken  bool // it cannot work as it is written; why is among the problems

	Type     string
	Key      secret.Ref
	User     string
	Password secret.Ref
	URL      string
	Method   string
	Headers  []string // a line each
	Body     string
	Success  []int
	Known    []int

	Organisation, Contact, Domain string

	Jails       []string // names, with * and ?
	Hold        time.Duration
	Dedupe      time.Duration
	Pace        time.Duration
	Budget      int // a day; 0: no bound
	MinFailures int
	Flood       int    // 0: no bound
	Category    string // empty: by the jail's filter
	Lines       bool
}

// reportTypes and reportCategories are the words of package report and its destinations, which this package does
// not know; a test compares them.
func reportTypes() []string {
	return []string{"wayscloud", "abuseipdb", "blocklist-de", "dshield", "xarf", "webhook", "http"}
}

func reportCategories() []string {
	return []string{
		"ssh_bruteforce", "ftp_bruteforce", "mail_bruteforce", "web_bruteforce", "web_attack", "web_scan", "voip_fraud", "database_bruteforce", "spam", "port_scan",
		"bruteforce", "attack",
	}
}

// ReportWords are the types and categories that a section may name.
func ReportWords() (types, categories []string) { return reportTypes(), reportCategories() }

// theReport finds a section by its name.
func (a *AgentConf) theReport(name string) *ReportConf {
	i := slices.IndexFunc(a.Reports, func(r ReportConf) bool { return r.Name == name })
	return &a.Reports[i]
}

func reportSection() agentSection {
	of := func(a *AgentConf, name string) *ReportConf { return a.theReport(name) }
	return agentSection{
		kind: "report", named: true,
		begin: func(a *AgentConf, name string) {
			a.Reports = append(a.Reports, ReportConf{
				Name: name, Enabled: true, Hold: 5 * time.Minute, Dedupe: 24 * time.Hour, Pace: time.Second, Budget: 900, MinFailures: 1, Flood: 500,
			})
		},
		check: checkReport,
		keys: []agentKey{
			{"enabled", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Enabled })},
			{"type", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Type }, reportTypes()...)},
			{"apikey", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Key })},
			{"user", plainText(func(a *AgentConf, n string) *string { return &of(a, n).User }, nil)},
			{"password", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Password })},
			{"url", plainText(func(a *AgentConf, n string) *string { return &of(a, n).URL }, func(s string) (string, string) {
				return goodURL(strings.NewReplacer("{", "", "}", "").Replace(s))
			})},
			{"method", oneOfUpper(func(a *AgentConf, n string) *string { return &of(a, n).Method }, "POST", "PUT", "GET")},
			{"headers", func(a *AgentConf, n, value string) []complaint {
				of(a, n).Headers = lines(value)
				return nil
			}},
			{"body", func(a *AgentConf, n, value string) []complaint {
				of(a, n).Body = value
				return nil
			}},
			{"success", statuses(func(a *AgentConf, n string) *[]int { return &of(a, n).Success })},
			{"known", statuses(func(a *AgentConf, n string) *[]int { return &of(a, n).Known })},
			{"organisation", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Organisation }, nil)},
			{"contact", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Contact }, nil)},
			{"domain", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Domain }, nil)},
			{"jails", wordList(func(a *AgentConf, n string) *[]string { return &of(a, n).Jails }, jailPattern)},
			{"hold", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Hold }, 0, 7*24*time.Hour, false)},
			{"dedupe", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Dedupe }, 0, 30*24*time.Hour, false)},
			{"pace", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Pace }, 10*time.Millisecond, time.Hour, false)},
			{"budget", number(func(a *AgentConf, n string) *int { return &of(a, n).Budget }, 0, 1_000_000)},
			{"min_failures", number(func(a *AgentConf, n string) *int { return &of(a, n).MinFailures }, 1, 1_000_000)},
			{"flood", number(func(a *AgentConf, n string) *int { return &of(a, n).Flood }, 0, 1_000_000)},
			{"category", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Category }, reportCategories()...)},
			{"lines", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Lines })},
		},
	}
}

func checkReport(a *AgentConf, name string) (wrong []complaint) {
	r := a.theReport(name)
	if !r.Enabled {
		return nil
	}
	broken := func(key, msg, hint string) {
		r.Broken = true
		wrong = append(wrong, complaint{key: key, msg: msg + ": nothing is reported there", hint: hint})
	}
	if r.Type == "" {
		broken("type", "it is not said who is told", "write type = one of "+strings.Join(reportTypes(), ", "))
		return wrong
	}
	if len(r.Jails) == 0 {
		broken("jails", "no jail's bans are reported unless it is named", "write jails = sshd, or jails = * for all")
	}
	if (r.Key.Given() || r.Password.Given()) && unprotected(r.URL) {
		wrong = append(wrong, complaint{severity: Warning, key: "url", msg: "the key goes over the network without TLS, where others can read it", hint: "write https://"})
	}
	needs := func(key string, given bool, hint string) {
		if !given {
			broken("type", "there is no "+key, "write "+key+" = "+hint)
		}
	}
	switch r.Type {
	case "wayscloud", "abuseipdb":
		needs("apikey", r.Key.Given(), "file:/etc/agentd/"+name+".key")
	case "blocklist-de", "dshield":
		needs("apikey", r.Key.Given(), "file:/etc/agentd/"+name+".key")
		needs("user", r.User != "", "what your account calls this server")
	case "xarf":
		needs("url", r.URL != "", "https://…")
		needs("organisation", r.Organisation != "", "who reports")
		needs("contact", r.Contact != "", "a mail address")
		needs("domain", r.Domain != "", "a domain of yours")
	default:
		needs("url", r.URL != "", "https://…")
	}
	return wrong
}

func jailPattern(s string) (msg, hint string) {
	if _, err := path.Match(s, ""); err != nil {
		return "this is no name of a jail; it does not count", "use letters, * and ?"
	}
	return "", ""
}

// oneOfUpper is oneOf for words in capitals.
func oneOfUpper(target place[string], words ...string) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) []complaint {
		word := strings.ToUpper(value)
		if !slices.Contains(words, word) {
			return []complaint{{msg: "unknown value; it does not count", hint: "use one of " + strings.Join(words, ", ")}}
		}
		*target(a, name) = word
		return nil
	}
}

// statuses reads numbers of HTTP answers.
func statuses(target place[[]int]) func(*AgentConf, string, string) []complaint {
	return func(a *AgentConf, name, value string) (wrong []complaint) {
		var all []int
		for _, w := range words(value) {
			n, err := parseInt(w)
			if err != nil || n < 100 || n > 599 {
				wrong = append(wrong, complaint{part: w, msg: "this is no status of HTTP; it does not count", hint: "write numbers as 200 or 409"})
				continue
			}
			all = append(all, n)
		}
		*target(a, name) = all
		return wrong
	}
}
