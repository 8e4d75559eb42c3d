package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// command is one entry of the command line.
type command struct {
	name    string
	usage   string // after "agentctl "
	brief   string
	example string
	more    string
	options []string
	min     int // words after the name
	max     int // -1: any number
	run     func(context.Context, *call) error
}

type optionKind int

const (
	optionSwitch optionKind = iota
	optionValue
)

// options are those of the commands, besides -s, --json and -h, which all take.
var options = map[string]optionKind{
	"all": optionSwitch, "follow": optionSwitch, "force": optionSwitch, "keep": optionSwitch,
	"limit": optionValue, "time": optionValue, "jail": optionValue,
}

func commands() []*command {
	return []*command{
		{
			name: "status", usage: "status [JAIL]", max: 1, run: status,
			brief:   "how the daemon, or one jail, stands",
			example: "agentctl status sshd",
			more:    "Exits with 1 if the daemon's health is degraded, so that a script can watch it.",
		},
		{
			name: "banned", usage: "banned [IP] [--limit N]", max: 1, options: []string{"limit"}, run: banned,
			brief:   "who is banned, or why an address is",
			example: "agentctl banned 192.0.2.1",
			more:    "With an address, networks that hold it count. Exits with 1 if it is not banned.",
		},
		{
			name: "ban", usage: "ban JAIL IP… [--time SECONDS] [--force]", min: 2, max: -1, options: []string{"time", "force"}, run: ban,
			brief:   "ban addresses or networks by hand",
			example: "agentctl ban sshd 192.0.2.1 2001:db8::/64 --time 3600",
			more:    "Without --time the jail's ban time holds; -1 is for ever. What the jail ignores is banned only with --force.",
		},
		{
			name: "unban", usage: "unban IP… | --all [--jail JAIL]", max: -1, options: []string{"all", "jail"}, run: unban,
			brief:   "lift bans, and forget that they were",
			example: "agentctl unban 192.0.2.1",
			more:    "A network lifts every ban inside of it, too.",
		},
		{
			name: "reload", usage: "reload", run: reload,
			brief:   "read the configuration again, losing no ban and no line",
			example: "agentctl reload",
			more:    "Says everything that is wrong; jails that cannot run as written now go on as they were.",
		},
		{
			name: "firewall", usage: "firewall [--limit N]", options: []string{"limit"}, run: firewall,
			brief:   "what the kernel holds",
			example: "agentctl firewall --limit 20",
			more:    "The limit is 1000 elements unless given; 0 is no limit.",
		},
		{
			name: "events", usage: "events --follow", options: []string{"follow"}, run: events,
			brief:   "failures and bans as they happen",
			example: "agentctl events --follow --json | jq .",
			more:    "Ends with Ctrl-C or with the daemon.",
		},
		{
			name: "stop", usage: "stop [--keep]", options: []string{"keep"}, run: stop,
			brief:   "stop the daemon and take its bans out of the kernel",
			example: "agentctl stop",
			more:    "With --keep the bans stay in the kernel until their time is over or the daemon is back.",
		},
		{
			name: "ping", usage: "ping", run: ping,
			brief:   "ask the daemon for a sign of life",
			example: "agentctl ping && echo alive",
		},
		{
			name: "version", usage: "version", run: version,
			brief:   "the versions of agentctl and of the daemon",
			example: "agentctl version",
		},
		{
			name: "completion", usage: "completion bash|zsh|fish", min: 1, max: 1, run: completion,
			brief:   "a script that completes commands and jails with Tab",
			example: "source <(agentctl completion bash)",
		},
	}
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (c *command) takes(option string) bool {
	return slices.Contains(c.options, option)
}

func overview() string {
	var b strings.Builder
	b.WriteString("Usage: agentctl [-s SOCKET] [--json] COMMAND\n\nShows and steers agentd.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-42s %s\n", c.usage, c.brief)
	}
	b.WriteString(`
Options, before or after the command:
  -s, --socket PATH   the daemon's control socket (default ` + defaultSocket + `)
      --json          answers for programs
  -h, --help          help, with a command: about it

Exit status: 0 done, 1 failed or found wrong, 2 wrong usage.

Example:
  agentctl status sshd
`)
	return b.String()
}

func (c *command) help() string {
	text := "Usage: agentctl " + c.usage + "\n\n" + strings.ToUpper(c.brief[:1]) + c.brief[1:] + ".\n"
	if c.more != "" {
		text += c.more + "\n"
	}
	return text + "\nExample:\n  " + c.example + "\n"
}

// suggestion names the command that a mistyped one most likely meant.
func suggestion(word string) string {
	best, at := "", 3 // further off is no typing mistake
	for _, c := range commands() {
		if d := distance(word, c.name); d < at {
			best, at = c.name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance counts the letters to change, add or drop to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

func completion(_ context.Context, c *call) error {
	var names []string
	for _, x := range commands() {
		names = append(names, x.name)
	}
	words := strings.Join(names, " ")
	script, ok := map[string]string{
		"bash": `_agentctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  case $prev in
    status|ban|--jail) COMPREPLY=($(compgen -W "$(agentctl status --json 2>/dev/null | sed -n 's/^      "name": "\(.*\)",$/\1/p')" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "` + words + ` --json --help --socket" -- "$cur")) ;;
  esac
}
complete -F _agentctl agentctl
`,
		"zsh": `#compdef agentctl
_agentctl() {
  local -a jails
  case $words[CURRENT-1] in
    status|ban|--jail)
      jails=(${(f)"$(agentctl status --json 2>/dev/null | sed -n 's/^      "name": "\(.*\)",$/\1/p')"})
      _describe jail jails ;;
    *) compadd ` + words + ` --json --help --socket ;;
  esac
}
compdef _agentctl agentctl
`,
		"fish": `complete -c agentctl -f
complete -c agentctl -n __fish_use_subcommand -a "` + words + `"
complete -c agentctl -n "__fish_seen_subcommand_from status ban" -a "(agentctl status --json 2>/dev/null | sed -n 's/^      \"name\": \"\(.*\)\",\$/\1/p')"
complete -c agentctl -l json
complete -c agentctl -s s -l socket -r
complete -c agentctl -s h -l help
`,
	}[c.args[0]]
	if !ok {
		return usagef("agentctl completion bash|zsh|fish")
	}
	fmt.Fprint(c.stdout, script)
	return nil
}
