package setup

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/lookup"
	"github.com/palisade-agent/palisade/internal/secret"
)

// Lookups are the services that agent.conf lets us ask about an address: those of [check], and those that [feed]
// and [report] have a key for, each type once.
func Lookups(c config.AgentConf) (all []lookup.Service) {
	add := func(name, typ, address string, key, pair secret.Ref) {
		if slices.Contains(lookup.Types(), typ) && !slices.ContainsFunc(all, func(s lookup.Service) bool { return s.Type == typ }) {
			all = append(all, lookupService(name, typ, address, key, pair))
		}
	}
	for _, x := range c.Checks {
		if x.Enabled && !x.Broken {
			all = append(all, lookupService("check "+x.Name, x.Type, x.URL, x.Key, x.Secret))
		}
	}
	for _, f := range c.Feeds {
		typ := strings.TrimSuffix(f.Type, "-taxii")
		if typ == "wayscloud-country" {
			typ = "wayscloud-portal"
		}
		switch {
		case !f.Enabled || f.Broken || f.Path != "":
		case typ == "crowdsec" && len(f.URLs) > 0:
			if home, ok := strings.CutSuffix(f.URLs[0], "/v1/decisions/stream"); ok {
				add("feed "+f.Name, typ, home, f.Key, f.Secret)
			}
		case at(f.URLs, typ):
			add("feed "+f.Name, typ, "", f.Key, f.Secret)
		}
	}
	for _, r := range c.Reports {
		if r.Enabled && !r.Broken && (r.URL == "" || at([]string{r.URL}, r.Type)) {
			add("report "+r.Name, r.Type, "", r.Key, secret.Ref{})
		}
	}
	return all
}

// at reports whether all these addresses are at the home of a service: a key for another place is not shown to it.
func at(addresses []string, typ string) bool {
	home, err := url.Parse(lookup.Home(typ))
	return err == nil && !slices.ContainsFunc(addresses, func(a string) bool {
		u, err := url.Parse(a)
		return err != nil || u.Scheme != home.Scheme || u.Host != home.Host
	})
}

func lookupService(name, typ, address string, key, pair secret.Ref) lookup.Service {
	s := lookup.Service{Name: name, Type: typ, URL: address, Same: fmt.Sprintf("%s %q %v %v", typ, address, key, pair)}
	if key.Given() {
		s.Key = key.Read
	}
	if pair.Given() {
		s.Secret = pair.Read
	}
	return s
}
