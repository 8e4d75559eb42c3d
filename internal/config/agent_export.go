package config

import (
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/secret"
)

// ExportConf is a section [export NAME]: what is blocked, for another program.
type ExportConf struct {
	Name    string
	Enabled bool
	Broken  bool // it cannot work as it is written; why is among the problems

	Format   string
	Path     string
	Contents string   // "all", "bans" or "feeds"
	Jails    []string // none: all
	Feeds    []string // none: all
	Family   string   // "both", "ipv4" or "ipv6"
	Max      int      // 0: as many as there are
	Every    time.Duration
	Empty    bool // it may become empty at once
	Test     string
	Reload   string
	Serve    bool // over HTTP

	CloudflareAccount, CloudflareList string // IDs of a list of Cloudflare's
	CloudflareToken                   secret.Ref
	CloudflareURL                     string // instead of Cloudflare's
}

// exportFormats are the words of package export, which this package does not know; a test compares them.
func exportFormats() []string {
	return []string{"plain", "nginx-deny", "nginx-geo", "haproxy-acl", "haproxy-map", "apache", "caddy", "edl", "pfblocker", "fortigate"}
}

// ExportFormats are the formats that a section may name.
func ExportFormats() []string { return exportFormats() }

func (a *AgentConf) theExport(name string) *ExportConf {
	i := slices.IndexFunc(a.Exports, func(e ExportConf) bool { return e.Name == name })
	return &a.Exports[i]
}

func exportSection() agentSection {
	of := func(a *AgentConf, name string) *ExportConf { return a.theExport(name) }
	return agentSection{
		kind: "export", named: true,
		begin: func(a *AgentConf, name string) {
			a.Exports = append(a.Exports, ExportConf{Name: name, Enabled: true, Format: "plain", Contents: "all", Family: "both", Every: 10 * time.Second})
		},
		check: checkExport,
		keys: []agentKey{
			{"enabled", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Enabled })},
			{"format", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Format }, exportFormats()...)},
			{"path", wholePath(func(a *AgentConf, n string) *string { return &of(a, n).Path })},
			{"contents", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Contents }, "all", "bans", "feeds")},
			{"jails", wordList(func(a *AgentConf, n string) *[]string { return &of(a, n).Jails }, nil)},
			{"feeds", wordList(func(a *AgentConf, n string) *[]string { return &of(a, n).Feeds }, nil)},
			{"family", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Family }, "both", "ipv4", "ipv6")},
			{"max", number(func(a *AgentConf, n string) *int { return &of(a, n).Max }, 0, 10_000_000)},
			{"every", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Every }, time.Second, 24*time.Hour, false)},
			{"empty", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Empty })},
			{"test", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Test }, nil)},
			{"reload", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Reload }, nil)},
			{"cloudflare_account", plainText(func(a *AgentConf, n string) *string { return &of(a, n).CloudflareAccount }, listName)},
			{"cloudflare_list", plainText(func(a *AgentConf, n string) *string { return &of(a, n).CloudflareList }, listName)},
			{"cloudflare_token", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).CloudflareToken })},
			{"cloudflare_url", webAddress(func(a *AgentConf, n string) *string { return &of(a, n).CloudflareURL })},
			{"serve", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Serve })},
		},
	}
}

func checkExport(a *AgentConf, name string) (wrong []complaint) {
	e := a.theExport(name)
	if !e.Enabled {
		return nil
	}
	cloud := e.CloudflareAccount != "" || e.CloudflareList != "" || e.CloudflareToken.Given()
	if cloud && (e.CloudflareAccount == "" || e.CloudflareList == "" || !e.CloudflareToken.Given()) {
		e.Broken = true
		wrong = append(wrong, complaint{key: "cloudflare_list", msg: "a list of Cloudflare's wants an account, a list and a token: nothing is written", hint: "write cloudflare_account, cloudflare_list and cloudflare_token = file:/…"})
	}
	if cloud && e.Every < time.Minute {
		e.Every = time.Minute // each change is two writes at least, and an account has so many in a day
	}
	if e.Path == "" && !e.Serve && !cloud {
		e.Broken = true
		wrong = append(wrong, complaint{key: "path", msg: "it is not said where the list goes: nothing is written", hint: "write path = /…, or serve = yes, or cloudflare_list = …"})
	}
	for _, o := range a.Exports {
		if o.Name != name && o.Path != "" && o.Path == e.Path {
			e.Broken = true
			wrong = append(wrong, complaint{key: "path", msg: "[export " + o.Name + "] writes the same file: this one does not run", hint: "write another path"})
			break
		}
	}
	if e.Serve && a.HTTP.Listen == "" {
		wrong = append(wrong, complaint{key: "serve", severity: Warning, msg: "nobody is served: [http] has no listen", hint: "write listen = 127.0.0.1:8899 into [http], above this section"})
	}
	if e.Path == "" && (e.Test != "" || e.Reload != "") {
		wrong = append(wrong, complaint{key: "test", severity: Warning, msg: "test and reload are of files, and there is none", hint: "write path = /…"})
	}
	if strings.HasPrefix(e.Format, "nginx") && e.Path != "" && e.Reload == "" {
		wrong = append(wrong, complaint{key: "format", severity: Warning, msg: "nginx reads the file only when it is reloaded", hint: "write test = nginx -t, and reload = systemctl reload nginx"})
	}
	return wrong
}
