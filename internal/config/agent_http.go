package config

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/palisade-agent/palisade/internal/secret"
)

// HTTPConf is section [http]: how the daemon asks others, and how others ask it for lists.
type HTTPConf struct {
	Proxy   string        // a URL; empty is that of the environment
	CA      string        // a file with certificates that are trusted besides the system's
	Timeout time.Duration // of one request, where its section says no other

	Listen    string // HOST:PORT; empty: nobody is served
	Cert, Key string // files; empty: without TLS
	Token     secret.Ref
	User      string
	Password  secret.Ref
	Allow     []netip.Prefix // who may ask; none: everybody
	Insecure  bool           // serve other machines without TLS
	TAXII     bool           // show our own bans as a collection of TAXII 2.1, at /taxii2/
}

func httpDefaults() HTTPConf { return HTTPConf{Timeout: time.Minute} }

func httpSection() agentSection {
	return agentSection{kind: "http", check: checkHTTP, keys: []agentKey{
		{"proxy", webAddress(func(a *AgentConf, _ string) *string { return &a.HTTP.Proxy })},
		{"ca", wholePath(func(a *AgentConf, _ string) *string { return &a.HTTP.CA })},
		{"timeout", duration(func(a *AgentConf, _ string) *time.Duration { return &a.HTTP.Timeout }, time.Second, time.Hour, false)},
		{"listen", plainText(func(a *AgentConf, _ string) *string { return &a.HTTP.Listen }, hostPort)},
		{"cert", wholePath(func(a *AgentConf, _ string) *string { return &a.HTTP.Cert })},
		{"key", wholePath(func(a *AgentConf, _ string) *string { return &a.HTTP.Key })},
		{"token", aSecret(func(a *AgentConf, _ string) *secret.Ref { return &a.HTTP.Token })},
		{"user", plainText(func(a *AgentConf, _ string) *string { return &a.HTTP.User }, nil)},
		{"password", aSecret(func(a *AgentConf, _ string) *secret.Ref { return &a.HTTP.Password })},
		{"allow", prefixes(func(a *AgentConf, _ string) *[]netip.Prefix { return &a.HTTP.Allow })},
		{"taxii", yesOrNo(func(a *AgentConf, _ string) *bool { return &a.HTTP.TAXII })},
		{"insecure", yesOrNo(func(a *AgentConf, _ string) *bool { return &a.HTTP.Insecure })},
	}}
}

func hostPort(s string) (msg, hint string) {
	host, port, err := net.SplitHostPort(s)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if _, err3 := netip.ParseAddr(host); err != nil || err2 != nil || err3 != nil && host != "" || n == 0 && port != "0" {
		return "this is no address with a port; nobody is served", "write it as 127.0.0.1:8899, or [::1]:8899"
	}
	return "", ""
}

// checkHTTP lets nobody be served in a way that others can listen in or ask along.
func checkHTTP(a *AgentConf, _ string) (wrong []complaint) {
	h := &a.HTTP
	if h.Listen == "" {
		return nil
	}
	refuse := func(key, msg, hint string) {
		h.Listen = ""
		wrong = append(wrong, complaint{key: key, msg: msg + ": nobody is served", hint: hint})
	}
	host, _, _ := net.SplitHostPort(h.Listen)
	addr, err := netip.ParseAddr(host)
	local := err == nil && addr.IsLoopback()
	switch {
	case (h.Cert == "") != (h.Key == ""):
		refuse("cert", "TLS wants a certificate and its key", "write both cert = and key =")
	case h.Password.Given() != (h.User != ""):
		refuse("user", "a user wants a password, and a password a user", "write both user = and password =")
	case !local && !h.Token.Given() && !h.Password.Given():
		refuse("listen", "other machines may ask, and there is no token and no password", "write token = file:/etc/agentd/http.token, or listen on 127.0.0.1")
	case !local && h.Cert == "" && !h.Insecure:
		refuse("listen", "other machines would be told the token without TLS", "write cert = and key =, or insecure = yes if the network is your own")
	}
	return wrong
}
