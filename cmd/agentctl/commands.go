package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
)

// command is one entry of the command line.
type command struct {
	name     string
	usage    string // after "agentctl "
	brief    string
	more     string
	examples []string
	options  []string
	subs     []string // what the first word may be, with what it does after a tab
	min      int      // words after the name
	max      int      // -1: any number
	jail     bool     // the first word is a jail
	verbatim bool     // words may be empty
	own      bool     // reads all that follows it by itself, options and all
	run      func(context.Context, *call) error
}

func commands() []*command {
	return slices.Concat(daemonCommands(), fail2banCommands(), offlineCommands())
}

// daemonCommands ask the daemon.
func daemonCommands() []*command {
	return []*command{
		{
			name: "status", usage: "status [JAIL]", max: 1, jail: true, run: status,
			brief:    "how the daemon, or one jail, stands",
			more:     "Exits with 1 if the daemon's health is not ok, so that a script can watch it.",
			examples: []string{"agentctl status", "agentctl status sshd"},
		},
		{
			name: "banned", usage: "banned [IP] [--jail JAIL | --feeds | --owner OWNER] [--within NETWORK] [--after ENTRY] [--hits] [--limit N]",
			max: 1, options: []string{"jail", "limit", "owner", "within", "after", "feeds", "hits"}, run: banned,
			brief: "who is banned, or why an address is",
			more: "The newest come first. With an address, networks that hold it count, and feeds that list it; exits with 1\n" +
				"if it is not blocked. With --feeds, --owner, --within, --hits or --after it shows what the firewall blocks in\n" +
				"the order of addresses, with everybody who wants it, page by page: a million entries are no trouble.",
			examples: []string{
				"agentctl banned --limit 20", "agentctl banned 192.0.2.1", "agentctl banned --feeds --within 192.0.2.0/24",
				"agentctl banned --owner jail:sshd --hits", "agentctl banned --feeds --json | jq -r '.entries[].prefix'",
			},
		},
		{
			name: "why", usage: "why IP", min: 1, max: 1, run: why,
			brief: "why an address is banned: jail, lines, regexes, until when, and what the kernel holds",
			more: "Also networks that hold it, counts that are not enough yet, bans that are over, and jails that never\n" +
				"ban it. Exits with 1 if it is not banned.",
			examples: []string{"agentctl why 192.0.2.1", "agentctl why --json 192.0.2.1 | jq '.bans[].lines'"},
		},
		{
			name: "why-not", usage: "why-not LINE | IP [--jail JAIL]… [--log FILE] [-c DIR]", min: 1, max: -1, options: []string{"jail", "log"}, run: whyNot,
			brief: "why a line of a log, or an address, led to no ban",
			more: "A line (with blanks) is shown to the filters of the configuration, and it is told where it stops in\n" +
				"each jail: regex, ignoreregex, ignoreip, findtime, maxretry. With --log, whether anybody reads that file.\n" +
				"Of an address, the daemon is asked.",
			examples: []string{"agentctl why-not 'Nov 23 09:00:00 host sshd[1]: Failed password for root from 192.0.2.1'", "agentctl why-not 192.0.2.1 --jail sshd"},
		},
		{
			name: "ban", usage: "ban JAIL IP… [--time TIME] [--force]", min: 2, max: -1, options: []string{"time", "force"}, jail: true, run: ban,
			brief:    "ban addresses or networks by hand",
			more:     "Without --time, the ban time of the jail holds.",
			examples: []string{"agentctl ban sshd 192.0.2.1 2001:db8::/64 --time 1d"},
		},
		{
			name: "unban", usage: "unban IP… | --all [--jail JAIL]", max: -1, options: []string{"all", "jail"}, run: unban,
			brief:    "lift bans, and forget that they were",
			more:     "A network lifts every ban inside of it, too.",
			examples: []string{"agentctl unban 192.0.2.1", "agentctl unban --all --jail sshd"},
		},
		{
			name: "reload", usage: "reload", run: reload,
			brief:    "read the configuration again, losing no ban and no line",
			more:     "Tells everything that is wrong, and then exits with 1; jails that cannot run as written now go on\nas they were.",
			examples: []string{"agentctl reload"},
		},
		{
			name: "firewall", usage: "firewall [--limit N] | firewall verify", max: 1, options: []string{"limit"}, run: firewall,
			brief: "how the firewall stands: sets, memory, and who else handles packets",
			more: fmt.Sprintf("Shows %d elements unless --limit says otherwise. With verify, every element is looked up in the\n"+
				"kernel; exits with 1 if it does not hold what it should.", firewallLimit),
			examples: []string{"agentctl firewall", "agentctl firewall verify && echo right"},
		},
		feedCommand(),
		countryCommand(),
		reportCommand(),
		exportCommand(),
		{
			name: "events", usage: "events --follow [--jail JAIL] [--kind KIND]", options: []string{"follow", "jail", "kind"}, run: events,
			brief:    "failures and bans as they happen, a line each",
			more:     "--jail and --kind may come several times. Ends with Ctrl-C or with the daemon.",
			examples: []string{"agentctl events --follow", "agentctl events --follow --jail sshd --kind ban --kind unban --json | jq .id"},
		},
		{
			name: "stop", usage: "stop [--keep]", options: []string{"keep"}, run: stop,
			brief:    "stop the daemon and take its bans out of the kernel",
			more:     "The bans are remembered: the next start restores those whose time is not over by then.",
			examples: []string{"agentctl stop", "agentctl stop --keep   # as before an upgrade"},
		},
		{
			name: "ping", usage: "ping", run: ping,
			brief:    "ask the daemon for a sign of life",
			examples: []string{"agentctl ping && echo alive"},
		},
		{
			name: "version", usage: "version", run: version,
			brief:    "the versions of agentctl and of the daemon",
			examples: []string{"agentctl version"},
		},
	}
}

func help(_ context.Context, c *call) error {
	text := overview()
	if len(c.args) > 0 {
		cmd := find(c.args[0])
		if cmd == nil {
			return unknown(c.args[0])
		}
		text = cmd.help()
	}
	_, err := io.WriteString(c.stdout, text)
	return err
}

func find(name string) *command {
	all := commands()
	i := slices.IndexFunc(all, func(c *command) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// misused is the error of a command that was given the wrong words.
func (c *command) misused() error {
	return usagef("agentctl %s (see agentctl %s --help)", c.usage, c.name)
}

func overview() string {
	var b strings.Builder
	b.WriteString("Usage: agentctl [-s SOCKET] [-c DIR] [--json] COMMAND\n\nShows and steers agentd.\n\nCommands:\n")
	t := newTable()
	for _, c := range commands() {
		t.add("  "+c.short(), c.brief)
	}
	t.write(&b)
	b.WriteString("\nOptions, before or after the command:\n")
	globalOptions().write(&b)
	b.WriteString(`
Exit status: 0 done, 1 failed or found wrong, 2 wrong usage.

Example:
  agentctl status sshd
`)
	return b.String()
}

// widestUsage is how much of the ways to use a command the overview shows; the command's help has the rest.
const widestUsage = 110

// short is as much of the usage as the overview has room for: whole ways, the first at least.
func (c *command) short() string {
	ways := strings.Split(c.usage, " | "+c.name)
	usage := ways[0]
	for i, w := range ways[1:] {
		if len(usage)+len(w) > widestUsage {
			return fmt.Sprintf("%s | … (%d more)", usage, len(ways)-1-i)
		}
		usage += " | " + c.name + w
	}
	return usage
}

func globalOptions() *table {
	t := newTable()
	t.add("  -s, --socket PATH", "the daemon's control socket (default "+defaultSocket+")")
	t.add("  -c, --config DIR", "the configuration (default "+config.DefaultDir+"; where there is none, the built-in one)")
	t.add("      --json", "answers for programs")
	t.add("  -h, --help", "help, with a command: about it")
	return t
}

func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: agentctl %s\n\n%s.\n", c.usage, strings.ToUpper(c.brief[:1])+c.brief[1:])
	if c.more != "" {
		fmt.Fprintln(&b, c.more)
	}
	b.WriteString("\nOptions:\n")
	t := newTable()
	for _, name := range c.options {
		o, _ := findOption(name)
		t.add("      --"+strings.TrimSpace(o.name+" "+o.argument), o.brief)
	}
	t.rows = append(t.rows, globalOptions().rows...)
	t.write(&b)
	b.WriteString("\nExample:\n")
	for _, e := range c.examples {
		fmt.Fprintln(&b, "  "+e)
	}
	return b.String()
}
