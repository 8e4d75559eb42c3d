package config

// treesOfFiles are about which files are read, and in which order.
var treesOfFiles = map[string]hostileTree{
	"an include that includes its includer": {
		tree: `
-- jail.conf --
[INCLUDES]
before = b.conf
[DEFAULT]
a = jail
[j]
enabled = true
ignorecommand = %(a)s %(b)s
-- b.conf --
[INCLUDES]
before = jail.conf
after = c.conf
[DEFAULT]
a = b
b = b
-- c.conf --
[INCLUDES]
before = b.conf
[DEFAULT]
b = c
`,
		want: []string{`["set","j","ignorecommand","jail c"]`},
	},
	"a file that includes itself, before and after": {
		tree: `
-- jail.conf --
[INCLUDES]
before = jail.conf
after = jail.conf
[j]
enabled = true
maxretry = 4
`,
		want: []string{`["set","j","maxretry",4]`},
	},
	"before comes first, after comes last": {
		tree: `
-- jail.conf --
[INCLUDES]
after = after.conf
before = before.conf
[DEFAULT]
a = jail
b = jail
c = jail
[j]
enabled = true
ignorecommand = %(a)s %(b)s %(c)s
-- before.conf --
[DEFAULT]
a = before
b = before
-- after.conf --
[DEFAULT]
b = after
`,
		want: []string{`["set","j","ignorecommand","jail after jail"]`},
	},
	"several includes on one line are one file name": {
		tree: `
-- jail.conf --
[INCLUDES]
before = one.conf two.conf
[DEFAULT]
a = jail
[j]
enabled = true
ignorecommand = %(a)s
-- one.conf --
[DEFAULT]
a = one
-- one.conf two.conf --
[DEFAULT]
b = x
[k]
enabled = true
`,
		want: []string{`["add","k","auto"]`, `["set","j","ignorecommand","jail"]`},
	},
	"an included file that is missing, with a .local that is not": {
		tree: `
-- jail.conf --
[INCLUDES]
before = gone.conf
[j]
enabled = true
ignorecommand = %(a)s
-- gone.local --
[DEFAULT]
a = local
`,
		want: []string{`["set","j","ignorecommand","local"]`},
	},
	"the .local of an include includes, too": {
		tree: `
-- jail.conf --
[INCLUDES]
before = paths.conf
[j]
enabled = true
ignorecommand = %(a)s %(b)s
-- paths.conf --
[DEFAULT]
a = paths
b = paths
-- paths.local --
[INCLUDES]
after = more.conf
[DEFAULT]
b = local
-- more.conf --
[DEFAULT]
a = more
`,
		want: []string{`["set","j","ignorecommand","more local"]`},
	},
	"jail.local is not read twice when jail.conf includes itself by way of another": {
		tree: `
-- jail.conf --
[j]
enabled = true
port = 1
ignorecommand = %(port)s
-- jail.local --
[j]
port = %(known/port)s,2
`,
		want: []string{`["set","j","ignorecommand","1,2"]`},
	},
	"an include below a folder, and from there up again": {
		tree: `
-- jail.conf --
[INCLUDES]
before = sub/one.conf
[j]
enabled = true
ignorecommand = %(a)s %(b)s
-- sub/one.conf --
[INCLUDES]
before = ../two.conf
[DEFAULT]
a = one
-- two.conf --
[DEFAULT]
a = two
b = two
`,
		want: []string{`["set","j","ignorecommand","one two"]`},
	},
	"an include that refers to other options of its section": {
		tree: `
-- jail.conf --
[INCLUDES]
which = one
before = %(which)s.conf
[j]
enabled = true
ignorecommand = %(a)s
-- one.conf --
[DEFAULT]
a = one
`,
		want: []string{`["set","j","ignorecommand","one"]`},
	},
	"an include that the defaults name": {
		tree: `
-- jail.conf --
[DEFAULT]
before = one.conf
[INCLUDES]
[j]
enabled = true
ignorecommand = %(a)s
-- one.conf --
[DEFAULT]
a = one
`,
		want: []string{`["set","j","ignorecommand","one"]`},
	},
	"no INCLUDES, and the defaults name an include": {
		tree: `
-- jail.conf --
[DEFAULT]
before = one.conf
a = jail
[j]
enabled = true
ignorecommand = %(a)s
-- one.conf --
[DEFAULT]
a = one
`,
		want: []string{`["set","j","ignorecommand","jail"]`},
	},
	"includes in lower case are a jail": {
		tree: `
-- jail.conf --
[includes]
before = one.conf
enabled = true
-- one.conf --
[x]
enabled = true
`,
		want: []string{`["add","includes","auto"]`},
	},
	"INCLUDES is no jail even when it is enabled": {
		tree: `
-- jail.conf --
[DEFAULT]
enabled = true
[INCLUDES]
before = one.conf
[j]
-- one.conf --
[KNOWN/j]
x = 1
[k]
`,
		want: []string{`["start","k"]`, `["start","j"]`},
	},
	"files of jail.d are read by name, hidden and other ones are not": {
		tree: `
-- jail.conf --
[j]
enabled = true
a = 0
ignorecommand = %(a)s
-- jail.d/10-z.conf --
[j]
a = 10
-- jail.d/9-a.conf --
[j]
a = 9
-- jail.d/Z.conf --
[j]
b = Z
-- jail.d/.hidden.conf --
[j]
a = hidden
-- jail.d/a.conf.bak --
[j]
a = bak
-- jail.d/sub/a.conf --
[j]
a = sub
`,
		want: []string{`["set","j","ignorecommand","9"]`},
	},
	"a .conf of jail.d stands below jail.local, its own .local too": {
		tree: `
-- jail.conf --
[j]
enabled = true
maxretry = 1
-- jail.d/a.conf --
[j]
maxretry = 2
findtime = 2
bantime = 2
-- jail.d/a.local --
[j]
bantime = 4
-- jail.local --
[j]
findtime = 3
bantime = 3
`,
		want: []string{`["set","j","maxretry",2]`, `["set","j","findtime","3"]`, `["set","j","bantime","4"]`},
	},
	"a jail that only jail.d has, and jails in the order of the files": {
		tree: `
-- jail.conf --
[b]
enabled = true
-- jail.d/x.conf --
[a]
enabled = true
[b]
maxretry = 2
-- jail.local --
[z]
enabled = true
[a]
maxretry = 7
`,
		want: []string{`["set","a","maxretry",7]`, `["set","b","maxretry",2]`, `["add","z","auto"]`},
	},
	"jail.local alone, without jail.conf": {
		tree: "-- jail.local --\n[j]\nenabled = true\n",
		want: []string{`["add","j","auto"]`},
	},
	"jail.d alone": {
		tree: "-- jail.d/x.local --\n[j]\nenabled = true\n",
		want: []string{`["add","j","auto"]`},
	},
	"empty files": {
		tree: "-- jail.conf --\n-- jail.local --\n\n\n-- fail2ban.conf --\n",
		want: []string{`["set","loglevel","INFO"]`},
	},
	"a section beats the defaults of every later file": {
		tree: `
-- jail.conf --
[DEFAULT]
bantime = 1
enabled = true
[j]
bantime = 2
[k]
-- jail.local --
[DEFAULT]
bantime = 3
`,
		want: []string{`["set","j","bantime","2"]`, `["set","k","bantime","3"]`},
	},
	"what a later file empties is empty": {
		tree: `
-- jail.conf --
[j]
enabled = true
filter = f
action = a
ignoreip = 10.0.0.1
ignorecommand = x
-- jail.local --
[j]
filter =
action =
ignoreip =
ignorecommand =
`,
		want: []string{`["set","j","addignoreip"]`, `["set","j","ignorecommand",""]`},
	},
	"filters and actions in folders below theirs": {
		tree: `
-- jail.conf --
[j]
enabled = true
filter = sub/f
action = sub/a
-- filter.d/sub/f.conf --
[INCLUDES]
before = ../common.conf
[Definition]
failregex = %(p)s <HOST>
-- filter.d/common.conf --
[DEFAULT]
p = common
-- action.d/sub/a.conf --
[Definition]
actionban = x
`,
		want: []string{`["set","j","addfailregex","common <HOST>"]`, `["set","j","addaction","sub/a"]`},
	},
	"two jails share a filter whose parts are included, each with its own parameters": {
		tree: `
-- jail.conf --
[DEFAULT]
enabled = true
[j]
filter = f[mode=a]
[k]
filter = f[mode=b]
-- filter.d/f.conf --
[INCLUDES]
before = c.conf
[Definition]
failregex = <re-<mode>> <HOST>
-- filter.d/c.conf --
[Definition]
re-a = A
re-b = B
`,
		want: []string{`["set","j","addfailregex","A <HOST>"]`, `["set","k","addfailregex","B <HOST>"]`},
	},
}
