package config

import "time"

// HTTPConf is section [http]: how the daemon asks others.
type HTTPConf struct {
	Proxy   string        // a URL; empty is that of the environment
	CA      string        // a file with certificates that are trusted besides the system's
	Timeout time.Duration // of one request, where its section says no other
}

func httpDefaults() HTTPConf { return HTTPConf{Timeout: time.Minute} }

func httpSection() agentSection {
	return agentSection{kind: "http", keys: []agentKey{
		{"proxy", webAddress(func(a *AgentConf, _ string) *string { return &a.HTTP.Proxy })},
		{"ca", wholePath(func(a *AgentConf, _ string) *string { return &a.HTTP.CA })},
		{"timeout", duration(func(a *AgentConf, _ string) *time.Duration { return &a.HTTP.Timeout }, time.Second, time.Hour, false)},
	}}
}
