package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// dialect are trees with what must be in their stream. Each is run through fail2ban too.
var dialect = map[string]struct {
	tree string
	want []string // commands that must be there, as JSON
}{
	"files are read in the order conf, d/conf, local, d/local": {
		tree: `
-- jail.conf --
[DEFAULT]
maxretry = 1
findtime = 1
bantime = 1
[j]
enabled = true
ignorecommand = conf
-- jail.d/z.conf --
[j]
maxretry = 2
findtime = 2
bantime = 2
-- jail.local --
[DEFAULT]
ignorecommand = default
[j]
findtime = 3
bantime = 3
-- jail.d/a.local --
[j]
bantime = 4
`,
		want: []string{
			`["set","j","maxretry",2]`, `["set","j","findtime","3"]`, `["set","j","bantime","4"]`,
			`["set","j","ignorecommand","conf"]`, // the section beats the defaults of a later file
		},
	},
	"includes come around their file, each with its .local": {
		tree: `
-- jail.conf --
[INCLUDES]
before = paths.conf
  missing.conf
after = late.conf
[DEFAULT]
where = jail
b = jail
c = jail
[j]
enabled = true
ignorecommand = %(a)s %(where)s %(b)s %(c)s
-- paths.conf --
[INCLUDES]
before = jail.conf
[DEFAULT]
a = paths
where = paths
-- paths.local --
[DEFAULT]
a = paths.local
-- late.conf --
[DEFAULT]
b = late
-- late.local --
[DEFAULT]
c = late.local
`,
		want: []string{`["set","j","ignorecommand","paths.local jail late late.local"]`},
	},
	"known is the replaced value, else the default": {
		tree: `
-- jail.conf --
[DEFAULT]
only = default
[j]
enabled = true
port = 1
-- jail.local --
[j]
port = 33
-- jail.d/a.local --
[j]
port = %(known/port)s,44
ignorecommand = %(known/port)s %(port)s %(known/only)s
`,
		want: []string{`["set","j","ignorecommand","33 33,44 default"]`},
	},
	"section references read in the context of the section that refers": {
		tree: `
-- jail.conf --
[DEFAULT]
x = default
name = %(__name__)s
[other]
x = other
y = <%(x)s %(__name__)s>
[j]
enabled = true
x = own
ignorecommand = %(other/y)s %(other/name)s %(default/x)s 100%% %%(x)s
`,
		want: []string{`["set","j","ignorecommand","<own j> j default 100% %(x)s"]`},
	},
	"a jail's failregex replaces the filter's unless it asks for it": {
		tree: `
-- jail.conf --
[DEFAULT]
enabled = true
filter = f[word=W]
[j]
failregex = own <HOST>
[k]
failregex = %(known/failregex)s
   own <HOST>
-- filter.d/f.conf --
[Definition]
failregex = ^<word> <HOST>

     ^second <HOST>
ignoreregex =
`,
		want: []string{
			`["set","j","addfailregex","own <HOST>"]`,
			`["multi-set","k","addfailregex",["^W <HOST>","^second <HOST>","own <HOST>"]]`,
		},
	},
	"tags nest, name sections, and stay when nobody knows them": {
		tree: `
-- jail.conf --
[j]
enabled = true
backend = systemd[journalflags=1]
filter = f[mode=hard]
action = a[name=other, type=two]
-- filter.d/f.conf --
[Definition]
mode = soft
failregex = <mdre-<mode>> <lt_<logtype>/prefix> <foo> <Init/start> <F-USER>
mdre-soft = S
mdre-hard = H <HOST>
[lt_journal]
prefix = J
[lt_file]
prefix = F
[Init]
start = %(__name__)s
-- action.d/a.conf --
[Definition]
actionban = <cmd-<type>> <<tab>-<name>> <ip> <F-NOPE> <matches> <set>
cmd-one = 1
cmd-two = 2 <chain>
[Init]
tab = f2b
chain = INPUT
set = four
[Init?family=inet6]
set = six
`,
		want: []string{
			`["add","j","systemd[journalflags=1]"]`,
			`["set","j","addfailregex","H <HOST> J <foo> Init <F-USER>"]`,
			`["set","j","addaction","a-other"]`,
			`["multi-set","j","action","a-other",[["actionban","2 INPUT <f2b-other> <ip> <F-NOPE> <matches> <set>"],` +
				`["name","other"],["type","two"],["actname","a-other"],["tab","f2b"],["chain","INPUT"],["set","four"],["set?family=inet6","six"]]]`,
		},
	},
	"specs have several groups, and names of actions follow them": {
		tree: `
-- jail.conf --
[DEFAULT]
action_ = %(banaction)s[port="%(port)s", protocol=tcp]
banaction = a[type=allports]
port = 0:65535
[ast]
enabled = true
action = %(action_)s[name=%(__name__)s-tcp]
  %(action_)s[name=%(__name__)s-udp, protocol="udp"]
  a[actname=mine]
  py.py[x="1", y='é']
-- action.d/a.conf --
[Definition]
actionban = <type> <port> <protocol> <maxretry> <name> <actname> <known/type>
[Init]
type = one
-- action.d/py.py --
`,
		want: []string{
			`["set","ast","addaction","a-tcp"]`, `["set","ast","addaction","a-udp"]`, `["set","ast","addaction","mine"]`,
			`["multi-set","ast","action","a-udp",[["actionban","allports 0:65535 udp <maxretry> ast-udp a-udp one"],` +
				`["type","allports"],["port","0:65535"],["protocol","udp"],["name","ast-udp"],["actname","a-udp"]]]`,
		},
	},
	"a wrong spec or a missing file costs one jail": {
		tree: `
-- jail.conf --
[DEFAULT]
enabled = true
[no-equals]
filter = f[b]
[no-filter]
filter = ff
[no-action]
filter = f
action = aa
[blank]
filter = f [b=1]
[good]
filter = f
-- filter.d/f.conf --
[Definition]
failregex = x <HOST>
`,
		want: []string{
			"Jail 'no-equals' skipped", "Jail 'no-filter' skipped", "Jail 'no-action' skipped", "Jail 'blank' skipped",
			`["start","good"]`,
		},
	},
	"types and lists": {
		tree: `
-- jail.conf --
[j]
enabled = YES
maxretry =  1_0
maxmatches = 0
ignoreself = y
bantime.increment = on
bantime.overalljails = 1
bantime.rndtime =
ignoreip = 10.0.0.1, ::1
   example.org,,file:/x
journalmatch = _A=1 + 'x y'
  _B="a b"
ignoreregex = one

  two
datepattern = ^a
   b$
ignorecommand =
`,
		want: []string{
			`["set","j","maxretry",10]`, `["set","j","maxmatches",0]`, `["set","j","ignoreself",false]`,
			`["set","j","bantime.increment",true]`, `["set","j","bantime.overalljails",true]`, `["set","j","bantime.rndtime",""]`,
			`["set","j","addignoreip","10.0.0.1","::1","example.org","file:/x"]`,
			`["set","j","addjournalmatch","_A=1","+","x y"]`, `["set","j","addjournalmatch","_B=a b"]`,
			`["multi-set","j","addignoreregex",["one","two"]]`, `["set","j","datepattern","^a\nb$"]`, `["set","j","ignorecommand",""]`,
		},
	},
	"filters and actions may be .local only, and have folders of parts": {
		tree: `
-- jail.conf --
[j]
enabled = true
filter = f
action = a
-- filter.d/f.local --
[Definition]
failregex = local <HOST>
-- filter.d/f.d/10.conf --
[Definition]
ignoreregex = part
-- action.d/a.d/10.local --
[Definition]
actionban = part
-- action.d/a.conf --
[INCLUDES]
before = base.conf
[Definition]
norestored = 1
-- action.d/base.local --
[Definition]
actionban = base
actionstop = stop
-- action.d/base.conf --
[Definition]
actionstop = conf
`,
		want: []string{
			`["set","j","addfailregex","local <HOST>"]`, `["set","j","addignoreregex","part"]`,
			`["multi-set","j","action","a",[["actionstop","stop"],["actionban","part"],["norestored",true],["name","j"],["actname","a"]]]`,
		},
	},
	"disabled jails are not read": {
		tree: `
-- jail.conf --
[off]
filter = missing
maxretry = %(nowhere)s
[off2]
enabled = false
action = [[[
`,
		want: []string{`["set","dbpurgeage","1d"]`},
	},
}

// loadTree loads a tree that lies in memory, as release 1.0.
func loadTree(t *testing.T, tree string, o Options) *Config {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range parseTree(tree) {
		fsys["etc/fail2ban/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	o.Files = fsys
	if o.Dir == "" {
		o.Dir = "/etc/fail2ban"
	}
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDialect(t *testing.T) {
	for name, tt := range dialect {
		t.Run(name, func(t *testing.T) {
			got := comparableStream(t, loadTree(t, tt.tree, Options{}).Stream())
			for _, want := range tt.want {
				if !slices.Contains(got, want) {
					t.Errorf("no command %s in\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}

func TestStreamOfTheDialectEqualsFail2bans(t *testing.T) {
	names := slices.Sorted(maps.Keys(dialect))
	var dirs []string
	for _, name := range names {
		files := parseTree(dialect[name].tree)
		files["fail2ban.conf"] = "[Definition]\nloglevel = DEBUG\nlogtarget = SYSLOG\ndbpurgeage = 2d\ndbmaxmatches = 7\n[Thread]\nstacksize = 64\n"
		dirs = append(dirs, writeTree(t, files))
	}
	for i, theirs := range batch(t, dirs) {
		t.Run(names[i], func(t *testing.T) {
			if !theirs.OK && theirs.Stream == nil {
				t.Fatalf("fail2ban refuses the tree: %s", theirs.Why)
			}
			ours, err := Load(Options{Dir: dirs[i], Release: Release10, Version: "1.0.2"})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range diff(comparableStream(t, ours.Stream()), comparableStream(t, theirs.Stream)) {
				t.Error(d)
			}
		})
	}
}
