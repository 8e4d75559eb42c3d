package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// values are commands with words that are no texts, as programs that speak to the socket themselves send them,
// and as a client sends a whole configuration: one list of JSON for each.
const values = `
["ping", 1]
["echo", 1, true, null, ["a"]]
["sleep", 0]
["sleep", 0.01]
["status", 5]
["get", "j1", 5]
["get", 5, "bantime"]
["set", "j1", "maxretry", 4]
["set", "j1", "maxretry", 4.7]
["set", "j1", "maxretry", true]
["set", "j1", "maxretry", null]
["set", "j1", "maxretry", []]
["set", "j1", "maxretry", 3]
["set", "j1", "bantime", 60]
["set", "j1", "bantime", 60.5]
["set", "j1", "bantime", 600]
["set", "j1", "findtime", 600]
["set", "j1", "maxlines", 1]
["set", "j1", "maxmatches", 4]
["set", "j1", "ignoreself", true]
["set", "j1", "ignoreself", false]
["set", "j1", "ignoreself", 1]
["set", "j1", "ignoreself", 0]
["set", "j1", "usedns", "no"]
["set", "j1", "idle", "off"]
["set", "thread", {"stacksize": 0}]
["set", "thread", {}]
["get", "thread"]
["set", "dbpurgeage", 86400]
["set", "dbmaxmatches", 10]
["set", "loglevel", 5]
["set", "j1", "addignoreip", "192.0.2.61", "192.0.2.62"]
["get", "j1", "ignoreip"]
["set", "j1", "delignoreip", "192.0.2.61"]
["set", "j1", "delignoreip", "192.0.2.62"]
["multi-set", "j1", "addfailregex", ["^a (?P<ip4>\\d+\\.\\d+\\.\\d+\\.\\d+)$", "^b (?P<ip4>\\d+\\.\\d+\\.\\d+\\.\\d+)$"]]
["get", "j1", "failregex"]
["multi-set", "j1", "addfailregex", ["^c (?P<ip4>\\d+\\.\\d+\\.\\d+\\.\\d+)$", "("]]
["multi-set", "j1", "addignoreregex", ["^x", "^y"]]
["get", "j1", "ignoreregex"]
["set", "j1", "delignoreregex", 0]
["set", "j1", "delignoreregex", 0]
["multi-set", "j1", "action", "note", [["actionban", "true"], ["color", "red"]]]
["get", "j1", "action", "note", "color"]
["multi-set", "j1", "action", "none", [["actionban", "true"]]]
["multi-set", "nojail", "addfailregex", ["^a"]]
["multi-set", "j1", "nonsense", ["^a"]]
["multi-set", "j1"]
["set", "j1", "banip", "192.0.2.71"]
["get", "j1", "banned", "192.0.2.71"]
["set", "j1", "unbanip", "192.0.2.71"]
["unban", "192.0.2.71"]
`

// otherwiseTaken are the commands whose words are of a type that no client sends there: we refuse them all, fail2ban
// takes some for numbers, and refuses others in words of Python's about its types.
var otherwiseTaken = []string{
	`["status", 5]`, `["get", "j1", 5]`, `["get", 5, "bantime"]`, `["set", "j1", "maxretry", 4.7]`, `["set", "j1", "maxretry", true]`,
	`["set", "j1", "maxretry", []]`, `["set", "loglevel", 5]`,
}

// valuesAreTakenAlike by both servers.
func valuesAreTakenAlike(t *testing.T, theirs, ours side) {
	t.Helper()
	var commands [][]any
	lines := strings.Split(strings.TrimSpace(values), "\n")
	for _, line := range lines {
		var c []any
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, c)
	}
	want, got := theirs.askValues(t, commands), ours.askValues(t, commands)
	for i, line := range lines {
		var of []string
		if strings.Contains(line, "ignoreip") {
			of = []string{"ignoreip"} // a set, in any order
		}
		w, g := normal(of, want[i]), normal(of, got[i])
		switch {
		case slices.Contains(otherwiseTaken, line):
			if g.Code != 1 || w == g {
				t.Errorf("%s: %+v is not as docs/COMPAT.md says; fail2ban: %+v", line, g, w)
			}
		case w != g:
			t.Errorf("%s\n got %+v\nwant %+v", line, g, w)
		}
	}
}
