package config

import (
	"slices"
	"testing"
)

func TestOptionsThatAreOneSlipOffAreTold(t *testing.T) {
	for key, want := range map[string]string{
		"bantme": "bantime", "bantimee": "bantime", "bantine": "bantime", "batnime": "bantime", "enable": "enabled", "fliter": "filter",
		"logpaths": "logpath", "bantime.incremnt": "bantime.increment", "max_retry": "maxretry", "ignoreips": "ignoreip",
		"bantime": "", "enabled": "", "action": "", "port": "", "ports": "", "banaction": "", "my_time": "", "time": "", "tmieban": "",
	} {
		if got := slipOf(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestNamesOfOnesOwnAreNoSlips: a name that a value refers to was meant.
func TestNamesOfOnesOwnAreNoSlips(t *testing.T) {
	c := loadTree(t, `-- jail.conf --
[DEFAULT]
actions = nftables
findtimes = 10m
[one]
filters = sshd
action = %(actions)s
[two]
logpaths = /var/log/x
[three]
logpath = %(two/logpaths)s
[INCLUDES]
enable = x
`, Options{})
	var got []string
	for _, p := range c.Problems {
		if p.Key != "" {
			got = append(got, p.Error())
		}
	}
	want := []string{
		"/etc/fail2ban/jail.conf:3 [DEFAULT] findtimes = 10m: a jail has no such option: it changes nothing (did you mean findtime?)",
		"/etc/fail2ban/jail.conf:5 [one] filters = sshd: a jail has no such option: it changes nothing (did you mean filter?)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
