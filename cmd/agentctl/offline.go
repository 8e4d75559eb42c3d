package main

// offlineCommands work without a daemon.
func offlineCommands() []*command {
	return []*command{
		{
			name: "check", usage: "check [-c DIR] | check IP", max: 1, run: check,
			brief: "everything that is wrong with a configuration, at once; or what services know of an address",
			more: "Reads it as the daemon does, compiles every regex, date pattern, formula and port, and looks at the\n" +
				"logs. Exits with 1 if there is an error; warnings alone do not count.\n" +
				"With an address, asks the services that [check], [feed] and [report] of agent.conf have keys for, and tells\n" +
				"whether the daemon blocks it. They learn that you ask. Answers are remembered for an hour.",
			examples: []string{"agentctl check", "agentctl check 192.0.2.1", "agentctl check -c /etc/fail2ban --json | jq -r '.problems[].message'"},
		},
		{
			name: "doctor", usage: "doctor [-c DIR] [--db PATH]", options: []string{"db"}, run: examine,
			brief: "what stands in the way of Palisade on this machine",
			more: "Looks at fail2ban, the firewall, the configuration, the logs and their dates, the filters on the end of\n" +
				"each log, the programs of actions, the clock, the disk, and whether you would lock yourself out. Changes\n" +
				"nothing. Each finding is ok, warn or bad, with the next step; exits with 1 if one is bad.",
			examples: []string{"sudo agentctl doctor", "sudo agentctl doctor --json | jq '.findings[] | select(.level != \"ok\")'"},
		},
		{
			name: "dump", usage: "dump [-c DIR] [--jail JAIL]… [--release VERSION]", options: []string{"jail", "release"}, run: dump,
			brief:    "a configuration as the commands that fail2ban's client would send, a JSON array a line",
			more:     "What fail2ban-client -d prints, for programs: compare two trees, or fail2ban's with ours. A jail\nthat is named is shown even if it is not enabled. Problems go to stderr; exits with 1 if one is an error.",
			examples: []string{"agentctl dump -c /etc/fail2ban | grep '\"sshd\"'", "diff <(agentctl dump -c old) <(agentctl dump -c new)"},
		},
		{
			name: "filters", usage: "filters [NAME…] [-c DIR]", max: -1, run: filters,
			brief:    "the filters there are, or what one looks for",
			more:     "Those of the configuration and the built-in ones, in each of their modes. With a name, all regular\nexpressions with their tags filled in, and the engine that runs each. Exits with 1 if one does not compile.",
			examples: []string{"agentctl filters", "agentctl filters sshd", "agentctl filters --json | jq -r '.[] | select(.stock) | .name'"},
		},
		{
			name: "regex", usage: "regex [OPTIONS] LOG REGEX [IGNOREREGEX]", own: true, max: -1, run: regex,
			brief:    "try a filter on a log, as fail2ban-regex does",
			more:     "Its options and its output are those of fail2ban-regex: agentctl regex --help lists them.",
			examples: []string{"agentctl regex /var/log/auth.log 'sshd[mode=aggressive]'", "agentctl regex --json /var/log/auth.log sshd | jq 'select(.matched) | .failures[].id'"},
		},
		{
			name: "replay", usage: "replay [-c DIR] [--jail JAIL]… [--diff DIR] [--now TIME] [--dns] [--limit N] LOG…", options: []string{"jail", "diff", "limit", "now", "dns"}, min: 1, max: -1, run: replayCommand,
			brief: "who would have been banned by these logs",
			more: "Runs logs through the filters and the counting of a configuration in the logs' own time; nothing is\n" +
				"enforced and nothing kept. Each log goes to the enabled jails that watch it (auth.log.1 and auth.log.2.gz\n" +
				"count as auth.log), or to the jails that are named. With --diff, tells whom another configuration would\n" +
				"ban or spare, and exits with 1 if there is a difference. ignorecommand is not run.",
			examples: []string{"agentctl replay /var/log/auth.log.1 /var/log/auth.log", "agentctl replay --jail sshd --diff /etc/fail2ban.new /var/log/auth.log"},
		},
		{
			name: "import", usage: "import [FILE] [--dry-run] [--db PATH]", options: []string{"dry-run", "db"}, max: 1, run: importBans,
			brief: "take over fail2ban's bans, what it remembers, and how far it has read its logs",
			more: "FILE is fail2ban's database (default: dbfile of fail2ban.conf). It is copied and only read. A daemon that\n" +
				"runs enforces the bans at once; else they go into its database. What is there already stays: a second\n" +
				"import changes nothing. A database that is damaged, or no database of fail2ban's, is refused as a whole.",
			examples: []string{"agentctl import --dry-run", "agentctl import /var/lib/fail2ban/fail2ban.sqlite3"},
		},
		{
			name: "completion", usage: "completion bash|zsh|fish", min: 1, max: -1, verbatim: true, run: completion,
			brief:    "a script that completes commands, options and jails",
			examples: []string{"source <(agentctl completion bash)", "agentctl completion fish > ~/.config/fish/completions/agentctl.fish"},
		},
		{
			name: "man", usage: "man DIR", min: 1, max: 1, run: man,
			brief:    "write the manual pages into a folder",
			examples: []string{"agentctl man /usr/local/share/man/man1"},
		},
		{
			name: "help", usage: "help [COMMAND]", max: 1, run: help,
			brief:    "this, or more about a command",
			examples: []string{"agentctl help ban"},
		},
	}
}
