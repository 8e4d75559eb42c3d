package config

// treesOfTags are about <tags> in filters and actions.
var treesOfTags = map[string]hostileTree{
	"tags within tags, and names that they build": {
		tree: tagTree("<<tab>-<name>> <a-<b-<c>>> <<<x>>> <t<u>v>", "tab = f2b\na-1 = one\nb-2 = 1\nc = 2\nx = y\ny = z\nz = end\nu = -\nt-v = tv\n"),
		want: []string{tagWant("<f2b-j> one end tv")},
	},
	"tags that nobody knows, and what is no tag": {
		tree: tagTree("<HOST> <ip> <F-USER> < x> <x > <> << >> <a b> a<b 1>2 <x <y>", ""),
		want: []string{tagWant("<HOST> <ip> <F-USER> < x> <x > <> << >> <a b> a<b 1>2 <x <y>")},
	},
	"the same tag many times": {
		tree: tagTree("<x><x><x> <x> <y>", "x = 1\ny = <x><x><x><x>\n"),
		want: []string{tagWant("111 1 1111")},
	},
	"tags are case sensitive, keys are not": {
		tree: tagTree("<Two> <two> <TWO>", "Two = 2\n"),
		want: []string{tagWant("2 2 2")},
	},
	"tags that name sections": {
		tree: tagTree("<s/x> <S/x> <s/y> <default/d> <DEFAULT/d> <Init/i> <init/i> <Definition/k> <s-t/x> <nowhere/x>", "k = K\n[DEFAULT]\nd = D\n[s]\nx = %(z)s <k>\nz = Z\n[s-t]\nx = st\n[Init]\ni = I\n"),
		want: []string{`["set","j","addaction","a"]`},
	},
	"tags of a run are left, even if there is a value": {
		tree: tagTree("<matches> <ipmatches> <ipjailmatches> <timeout> <bantime> <time> <failures>", "matches = m\ntime = t\n[Init]\ntimeout = 5\nbantime = 6\nipmatches = 7\n"),
		want: []string{`["set","j","addaction","a"]`},
	},
	"one variant for each family": {
		tree: tagTree("<set> <other> <set?family=inet6> <only>", "[Init]\nset = four\nother = <set>x\n[Init?family=inet6]\nset = six\nonly = only6\n[Init?family=inet4]\nonly = only4\n[Init?anything]\nfree = 1\n"),
		want: []string{`["set","j","addaction","a"]`},
	},
	"a parameter and the variants of a family": {
		tree: "-- jail.conf --\n[j]\nenabled = true\naction = a[block=DROP]\n-- action.d/a.conf --\n[Definition]\nactionban = <block>\n[Init]\nblock = R\n[Init?family=inet6]\nblock = R6\n",
		want: []string{`["multi-set","j","action","a",[["actionban","<block>"],["block","DROP"],["name","j"],["actname","a"],["block?family=inet6","R6"]]]`},
	},
	"conditional sections other than Init": {
		tree: tagTree("<x> <s/x> <s/x?family=inet6>", "x = 1\n[Definition?family=inet6]\nx = 6\n[s]\nx = s\n[s?family=inet6]\nx = s6\n"),
		want: []string{`["set","j","addaction","a"]`},
	},
	"parameters beat Init, Init beats Definition": {
		tree: "-- jail.conf --\n[j]\nenabled = true\naction = a[p=param]\n-- action.d/a.conf --\n[DEFAULT]\np = default\nq = default\nr = default\n[Definition]\nactionban = <p> <q> <r> %(p)s %(q)s\np = def\nq = def\n[Init]\np = init\nq = init\n",
		want: []string{`["set","j","addaction","a"]`},
	},
	"operations that are empty, missing, or in Init": {
		tree: tagTree("", "actionstart =\nactionstop =\n  one\n\n  two\nactionunban = u\nnorestored = yes\n[Init]\nactionunban = i\nactionflush = f\nactionstart_on_demand = no\n"),
		want: []string{`["set","j","addaction","a"]`},
	},
	"an operation as a parameter": {
		tree: "-- jail.conf --\n[j]\nenabled = true\naction = a[actionban=\"own <x>\", x=1, actionunban=\"\", norestored=1]\n-- action.d/a.conf --\n[Definition]\nactionban = ban\nactionunban = unban\nnorestored = 0\n",
		want: []string{`["set","j","addaction","a"]`},
	},
	"a file without Definition": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[j]\nfilter = f\naction = a\n[k]\nfilter = g\n-- filter.d/f.conf --\n[Init]\nfailregex = x <HOST>\n-- filter.d/g.conf --\n[DEFAULT]\nfailregex = y <HOST>\n-- action.d/a.conf --\n[Init]\nx = 1\n",
		want: []string{`["set","j","addfailregex","x <HOST>"]`, `["set","j","addaction","a"]`},
	},
	"a filter and an action of no bytes": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfilter = f\naction = a\n-- filter.d/f.conf --\n-- action.d/a.conf --\n",
		want: []string{`["set","j","addaction","a"]`, `["start","j"]`},
	},
	"the kind of lines, by the backend": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\n[auto]\n[journal]\nbackend = systemd\n[flags]\nbackend = systemd[journalflags=1]\n[given]\nbackend = systemd\nfilter = f[logtype=short]\n[own]\nbackend = systemd\nfilter = g\n[empty]\nfilter = f[logtype=\"\"]\n" +
			"-- filter.d/f.conf --\n[Definition]\nfailregex = <lt_<logtype>/p> <HOST>\n[lt_file]\np = F\n[lt_journal]\np = J\n[lt_short]\np = S\n-- filter.d/g.conf --\n[INCLUDES]\nbefore = f.conf\n[Definition]\nlogtype = short\n",
		want: []string{
			`["set","auto","addfailregex","F <HOST>"]`, `["set","journal","addfailregex","J <HOST>"]`, `["set","flags","addfailregex","J <HOST>"]`,
			`["set","given","addfailregex","S <HOST>"]`, `["set","own","addfailregex","S <HOST>"]`, `["set","empty","addfailregex","F <HOST>"]`, `["add","flags","systemd[journalflags=1]"]`,
		},
	},
	"options of a filter that it selects by tags": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfilter = f[kind=b]\n-- filter.d/f.conf --\n[Definition]\nfailregex = <L_<kind>/failregex>\nmaxlines = <L_<kind>/maxlines>\ndatepattern = <L_<kind>/datepattern>\njournalmatch = <L_<kind>/none>\n[L_a]\nfailregex = a <HOST>\nmaxlines = 1\ndatepattern =\n[L_b]\nfailregex = b <HOST>\n  c <HOST>\nmaxlines = 2\ndatepattern = ^%%Y\n",
		want: []string{`["multi-set","j","addfailregex",["b <HOST>","c <HOST>"]]`, `["set","j","maxlines",2]`, `["set","j","datepattern","^%Y"]`},
	},
	"parameters that are called as options of the jail": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nmaxretry = 5\nbackend = polling\nfilter = f[backend=B, filter=F, enabled=E, maxretry=M, name=N]\naction = a[maxretry=9, backend=X, bantime=1]\n-- filter.d/f.conf --\n[Definition]\nfailregex = <backend> <filter> <enabled> <maxretry> <name> <HOST>\n-- action.d/a.conf --\n[Definition]\nactionban = <maxretry> %(maxretry)s <backend> <bantime>\n",
		want: []string{`["set","j","addfailregex","B F E M N <HOST>"]`, `["multi-set","j","action","a",[["actionban","9 9 X <bantime>"],["maxretry","9"],["backend","X"],["bantime","1"],["name","j"],["actname","a"]]]`},
	},
	"known values of an action by tag": {
		tree: tagTree("one <known/actionstop> <known/x> %(known/x)s", "actionstop = stop1\nx = x1\n-- action.d/a.local --\n[Definition]\nactionstop = stop2\nx = x2\n"),
		want: []string{`["multi-set","j","action","a",[["actionstop","stop2"],["actionban","one stop1 x1 x1"],["name","j"],["actname","a"]]]`},
	},
	"variants for a family in a filter": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfilter = f\n-- filter.d/f.conf --\n[Definition]\nfailregex = <x> <x?family=inet6> <HOST>\n[Init]\nx = four\n[Init?family=inet6]\nx = six\n",
		want: []string{`["set","j","addfailregex","<x> six <HOST>"]`},
	},
	"known values by tag, where a later file replaces others": {
		tree: tagTree("<known/x> <known/y> %(known/x)s", "x = own\ny = own\n[DEFAULT]\nx = default\n-- action.d/a.local --\n[Definition]\ny = new\n"),
		want: []string{tagWant("default own default")},
	},
	"known values by tag, where no later file has the section": {
		tree: tagTree("<known/x> %(known/x)s", "x = own\n[DEFAULT]\nx = default\n-- action.d/a.local --\n[Init?family=inet6]\n"),
		want: []string{tagWant("own default")},
	},
	"variants for a family of a filter's own options": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfilter = f\nignorecommand = %(known/prefregex)s\n-- filter.d/f.conf --\n[Definition]\nprefregex = <x> <y>\nfailregex = <x> <y> <HOST>\nx = 1\ny = 2\n[Definition?family=inet6]\nprefregex = six\nx = 6\n",
		want: []string{`["set","j","prefregex","1 2"]`, `["set","j","addfailregex","1 2 <HOST>"]`, `["set","j","ignorecommand","<x> <y>"]`},
	},
	"an operation that only a family has": {
		tree: tagTree("ban <x>", "actionstart?family=inet6: wrong\n[Init]\nx = 4\nactionstop = stop <y>\ny = 1\n[Init?family=inet6]\nactionflush = flush6 <x>\nactionstop = stop6 <y>\nx = 6\n"),
		want: []string{`["multi-set","j","action","a",[["actionban","ban <x>"],["actionstop","stop <y>"],["name","j"],["actname","a"],["x","4"],["y","1"],` +
			`["actionflush?family=inet6","flush6 <x>"],["actionstop?family=inet6","stop6 <y>"],["x?family=inet6","6"]]]`},
	},
	"references in the values of tags": {
		tree: tagTree("%(cmd)s <cmd>", "cmd = run %(opts)s <opts>\nopts = -o <port> %%\n[Init]\nport = 1\n"),
		want: []string{`["multi-set","j","action","a",[["actionban","run -o 1 % -o 1 % run -o 1 % -o 1 %"],["name","j"],["actname","a"],["port","1"]]]`},
	},
}

func tagTree(actionban, rest string) string {
	return "-- jail.conf --\n[j]\nenabled = true\naction = a\n-- action.d/a.conf --\n[Definition]\nactionban = " + actionban + "\n" + rest
}

func tagWant(actionban string) string {
	return `["multi-set","j","action","a",[["actionban","` + actionban + `"],["name","j"],["actname","a"]]]`
}

// treesOfJails are about the options of jails.
var treesOfJails = map[string]hostileTree{
	"what enables a jail": {
		tree: "-- jail.conf --\n[a]\nenabled = true\n[b]\nenabled = TRUE\n[c]\nenabled = 1\n[d]\nenabled = On\n[e]\nenabled = yEs\n[f]\nenabled = y\n[g]\nenabled = 2\n[h]\nenabled =\n[i]\nenabled = t\n[k]\nenabled = enabled\n[l]\n[m]\nenabled = 01\n[n]\nenabled = true ; yes\n[o]\nenabled = true # yes\n[p]\nenabled = %(x)s\nx = true\n[q]\nenabled = ｔrue\n",
		want: []string{`["start","a"]`, `["start","b"]`, `["start","c"]`, `["start","d"]`, `["start","e"]`, `["start","n"]`, `["start","p"]`},
	},
	"switches": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignoreself = y\nbantime.increment = True\nbantime.overalljails =\n",
		want: []string{`["set","j","ignoreself",false]`, `["set","j","bantime.increment",true]`, `["set","j","bantime.overalljails",false]`},
	},
	"whole numbers as Python reads them": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nmaxretry = +5\n[b]\nmaxretry = 1_000\n[c]\nmaxretry = 007\n[d]\nmaxmatches = -0\n[e]\nmaxretry = ٣\n[f]\nmaxretry = 5\n   \n[g]\nmaxretry = ４２\n",
		want: []string{
			`["set","a","maxretry",5]`, `["set","b","maxretry",1000]`, `["set","c","maxretry",7]`, `["set","d","maxmatches",0]`,
			`["set","e","maxretry",3]`, `["set","f","maxretry",5]`, `["set","g","maxretry",42]`,
		},
	},
	"what is no whole number": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nmaxretry = 5 # five\n[b]\nmaxretry = 5.0\n[c]\nmaxretry =\n[d]\nmaxmatches = 0x10\n[e]\nmaxlines = 1e3\n[f]\nmaxretry = 5 6\n[g]\nmaxretry = 1__0\n[h]\nmaxretry = _1\n[ok]\n",
		want: []string{`["start","ok"]`},
		off: map[string]string{
			"a": folder + "/jail.conf:4 [a] maxretry = 5 # five: not a whole number", "b": folder + "/jail.conf:6 [b] maxretry", "c": folder + "/jail.conf:8 [c] maxretry",
			"d": folder + "/jail.conf:10 [d] maxmatches", "e": folder + "/jail.conf:12 [e] maxlines", "f": folder + "/jail.conf:14 [f] maxretry",
			"g": folder + "/jail.conf:16 [g] maxretry", "h": folder + "/jail.conf:18 [h] maxretry",
		},
	},
	"numbers of more digits than a machine has": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nmaxretry = 99999999999999999999\n[ok]\nenabled = true\n",
		want: []string{`["start","ok"]`},
		off:  map[string]string{"j": folder + "/jail.conf:3 [j] maxretry"},
	},
	"times are sent as they are written": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfindtime = 1d12h\nbantime = -1\nbantime.maxtime = 5w 3d\nbantime.rndtime = 8*60\nbantime.factor = 2 ** 3\nbantime.formula = ban.Time * math.exp(1) ; gone\nbantime.multipliers = 1 2 4\n",
		want: []string{`["set","j","findtime","1d12h"]`, `["set","j","bantime","-1"]`, `["set","j","bantime.maxtime","5w 3d"]`, `["set","j","bantime.formula","ban.Time * math.exp(1)"]`, `["set","j","bantime.multipliers","1 2 4"]`},
	},
	"times that are none": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nfindtime =\n[b]\nbantime = forever\n[c]\nbantime = 1x\n[d]\nfindtime = 10m # x\n[ok]\n",
		want: []string{`["start","ok"]`},
		off: map[string]string{
			"a": folder + "/jail.conf:4 [a] findtime = : no time", "b": folder + "/jail.conf:6 [b] bantime = forever: no time",
			"c": folder + "/jail.conf:8 [c] bantime = 1x: no time", "d": folder + "/jail.conf:10 [d] findtime = 10m # x: no time",
		},
	},
	"a time to find of nothing": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nfindtime = 0\n[b]\nfindtime = -1\n[ok]\nbantime = 0\n[ok2]\nbantime = -5\n",
		want: []string{`["set","ok","bantime","0"]`, `["set","ok2","bantime","-5"]`},
		off: map[string]string{
			"a": folder + "/jail.conf:4 [a] findtime = 0: the time must be above zero", "b": folder + "/jail.conf:6 [b] findtime = -1: the time must be above zero",
		},
	},
	"fewer lines than one": {
		tree: "-- jail.conf --\n[a]\nenabled = true\nmaxlines = 0\n[ok]\nenabled = true\nmaxlines = 1\n",
		want: []string{`["set","ok","maxlines",1]`},
		off:  map[string]string{"a": folder + "/jail.conf:3 [a] maxlines = 0: less than 1"},
	},
	"addresses to ignore": {
		tree: "-- jail.conf --\n[DEFAULT]\nignoreip = 127.0.0.1/8 ::1\nenabled = true\n[j]\nignoreip = %(default/ignoreip)s, 10.0.0.0/255.0.0.0\n  example.org,,x@y ,fe80::1%%eth0\n\n  # gone\n  file:/x\n[k]\nignoreip =\n[l]\nignoreip = ,, ,\n",
		want: []string{`["set","j","addignoreip","127.0.0.1/8","::1","10.0.0.0/255.0.0.0","example.org","x@y","fe80::1%eth0","file:/x"]`, `["set","k","addignoreip"]`, `["set","l","addignoreip"]`},
	},
	"commands and caches are sent as they are written": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignorecommand = /bin/x <ip> \"<F-USER>\"\nignorecache = key=\"<ip>\", max-count=100, max-time=5m\nlogtimezone = UTC+0200\nlogencoding = latin-1\n",
		want: []string{`["set","j","ignorecommand","/bin/x <ip> \"<F-USER>\""]`, `["set","j","ignorecache","key=\"<ip>\", max-count=100, max-time=5m"]`, `["set","j","logtimezone","UTC+0200"]`, `["set","j","logencoding","latin-1"]`},
	},
	"log paths: order, patterns, head and tail": {
		tree: `
-- jail.conf --
[DEFAULT]
d = %(fail2ban_confpath)s/log
enabled = true
[j]
logpath = %(d)s/one.log
  %(d)s/b?.log tail

  %(d)s/[!a]?.txt head
  %(d)s/gone.log
  %(d)s/one.log
  %(d)s/.h*.log
  %(d)s/*/d*.log
  %(d)s/**/deep.log
[k]
logpath = %(d)s/one.log tail
-- log/one.log --
-- log/b1.log --
-- log/b2.log --
-- log/.b3.log --
-- log/.h1.log --
-- log/a1.txt --
-- log/c1.txt --
-- log/sub/deep.log --
-- log/sub/sub/deep.log --
`,
		want: []string{`["set","j","addlogpath","/etc/fail2ban/log/b2.log","tail"]`, `["set","j","addlogpath","/etc/fail2ban/log/.h1.log","head"]`, `["set","k","addlogpath","/etc/fail2ban/log/one.log","tail"]`},
	},
	"log paths: several blanks before the mode": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nlogpath = %(fail2ban_confpath)s/jail.conf   tail\n  %(fail2ban_confpath)s/jail.conf\n",
		want: []string{`["set","j","addlogpath","/etc/fail2ban/jail.conf","head"]`},
	},
	"log paths: a mode that is none": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[j]\nlogpath = %(fail2ban_confpath)s/jail.conf start\n[k]\nlogpath = %(fail2ban_confpath)s/jail.conf\n",
		want: []string{`["start","k"]`},
		off:  map[string]string{"j": folder + "/jail.conf:4 [j] logpath"},
	},
	"log paths: folders, braces, brackets without end": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nd = %(fail2ban_confpath)s/log\nlogpath = %(d)s/{a,b}.log\n  %(d)s/[x.log\n  %(d)s/[]a].log\n  %(d)s/[a-c].txt\n  %(d)s\n  %(d)s/../log/a.log\n  %(d)s//a.log\n-- log/a.log --\n-- log/b.log --\n-- log/[x.log --\n-- log/].log --\n-- log/b.txt --\n-- log/d.txt --\n",
		want: []string{`["set","j","addlogpath","/etc/fail2ban/log/[x.log","head"]`, `["set","j","addlogpath","/etc/fail2ban/log/b.txt","head"]`},
	},
	"log paths: none, empty, and of the journal": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\n[b]\nlogpath =\n[c]\nlogpath = /gone/x.log\n[d]\nbackend = systemd\nlogpath = %(fail2ban_confpath)s/jail.conf\n[e]\nbackend = systemd[journalfiles=x]\n",
		want: []string{`["start","a"]`, `["start","b"]`, `["start","c"]`, `["start","d"]`, `["add","e","systemd[journalfiles=x]"]`},
	},
	"backends": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nbackend = polling\n[b]\nbackend = pyinotify\n[c]\nbackend = gamin\n[d]\nbackend = systemd[journalpath=/x, journalflags=\"4\"]\n[e]\nbackend = Polling\n",
		want: []string{`["add","a","polling"]`, `["add","b","pyinotify"]`, `["add","c","gamin"]`, `["add","d","systemd[journalpath=/x, journalflags=\"4\"]"]`, `["add","e","Polling"]`},
	},
	"a backend that nobody knows": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nbackend = inotify\n[b]\nbackend = systemd[x\n[c]\n",
		want: []string{`["start","c"]`},
		off:  map[string]string{"a": folder + "/jail.conf:4 [a] backend = inotify: unknown backend", "b": folder + "/jail.conf:6 [b] backend = systemd[x"},
	},
	"the jail's own regexes and dates": {
		tree: `
-- jail.conf --
[DEFAULT]
usedns = warn
enabled = true
filter = f
[j]
failregex =
ignoreregex = none
prefregex =
datepattern = %%Y
  ^%%d
maxlines = 3
journalmatch = A=1 + B="x y"

  C='z'
[k]
[l]
failregex = %(known/failregex)s
   l <HOST>
-- filter.d/f.conf --
[Definition]
prefregex = ^p
failregex = f <HOST>
   g <HOST>

ignoreregex = i
usedns = no
maxlines = 9
datepattern = ^%%m
journalmatch = X=1
`,
		want: []string{
			`["set","j","addignoreregex","none"]`, `["set","j","prefregex",""]`, `["set","j","datepattern","%Y\n^%d"]`, `["set","j","maxlines",3]`,
			`["set","j","addjournalmatch","A=1","+","B=x y"]`, `["set","j","addjournalmatch","C=z"]`,
			`["multi-set","k","addfailregex",["f <HOST>","g <HOST>"]]`, `["set","k","usedns","warn"]`, `["set","k","maxlines",9]`,
			`["multi-set","l","addfailregex",["f <HOST>","g <HOST>","l <HOST>"]]`,
		},
	},
	"regexes of the defaults beat the filter's": {
		tree: "-- jail.conf --\n[DEFAULT]\nfailregex = d <HOST>\nenabled = true\n[j]\nfilter = f\n-- filter.d/f.conf --\n[Definition]\nfailregex = f <HOST>\nignoreregex = i\n",
		want: []string{`["set","j","addfailregex","d <HOST>"]`, `["set","j","addignoreregex","i"]`},
	},
	"unknown options": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nmaxretyr = 5\nfoo.bar = 1\nfilter = f\naction = a\n-- filter.d/f.conf --\n[Definition]\nfailregexp = x\nfailregex = y <HOST>\n-- action.d/a.conf --\n[Definition]\nactionbann = x\nactionban = y\n-- fail2ban.conf --\n[Definition]\nfoo = 1\n",
		want: []string{`["set","j","addfailregex","y <HOST>"]`},
	},
	"no filter, an empty one, none in the defaults": {
		tree: "-- jail.conf --\n[a]\nenabled = true\n[b]\nenabled = true\nfilter =\nfailregex = own <HOST>\n[DEFAULT]\naction =\n",
		want: []string{`["start","a"]`, `["set","b","addfailregex","own <HOST>"]`},
	},
	"what is missing costs its jail": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nfilter = gone\n[b]\naction = gone\n[c]\naction = ok gone[x=1]\n[d]\nfilter = ../gone\n[e]\naction = ok\n-- action.d/ok.conf --\n[Definition]\nactionban = x\n",
		want: []string{"Jail 'a' skipped", "Jail 'b' skipped", "Jail 'c' skipped", "Jail 'd' skipped", `["start","e"]`},
	},
	"values of a refused filter do not reach the next jail": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a]\nfilter = gone\n[b]\nfilter = f\nfailregex = %(known/failregex)s b\n[c]\nfilter = g\nfailregex = %(known/failregex)s c\n-- filter.d/f.conf --\n[Definition]\nfailregex = f <HOST>\n-- filter.d/g.conf --\n[Definition]\nfailregex = g <HOST>\n",
		want: []string{`["set","b","addfailregex","f <HOST> b"]`, `["set","c","addfailregex","g <HOST> c"]`},
	},
	"unknown values of usedns": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nusedns = Maybe\n[k]\nenabled = true\nusedns = RAW\n",
		want: []string{`["set","j","usedns","Maybe"]`, `["set","k","usedns","RAW"]`},
	},
}

// treesOfGlobals are about fail2ban.conf.
var treesOfGlobals = map[string]hostileTree{
	"all options": {
		tree: globalTree("[Definition]\nloglevel = DEBUG\nlogtarget = /x/y.log[format=\"%%(message)s\", datetime=off]\nsyslogsocket = /dev/x\nsocket = /s\npidfile = /p\nallowipv6 = no\ndbfile = None\ndbpurgeage = 2d\ndbmaxmatches = 7\n[Thread]\nstacksize = 64\n", ""),
		want: []string{
			`["set","thread",{"stacksize":64}]`, `["set","loglevel","DEBUG"]`, `["set","logtarget","/x/y.log[format=\"%(message)s\", datetime=off]"]`,
			`["set","syslogsocket","/dev/x"]`, `["set","allowipv6","no"]`, `["set","dbfile","None"]`, `["set","dbpurgeage","2d"]`, `["set","dbmaxmatches",7]`,
		},
	},
	"none at all": {
		tree: globalTree("", ""),
		want: []string{`["set","syslogsocket","auto"]`, `["set","loglevel","INFO"]`, `["set","allowipv6","auto"]`, `["set","dbfile","/var/lib/fail2ban/fail2ban.sqlite3"]`, `["set","dbpurgeage","1d"]`},
	},
	"an empty Definition": {
		tree: globalTree("[Definition]\n", ""),
		want: []string{`["set","loglevel","INFO"]`, `["set","logtarget","/var/log/fail2ban.log"]`},
	},
	"defaults without Definition are not read": {
		tree: globalTree("[DEFAULT]\nloglevel = DEBUG\n", ""),
		want: []string{`["set","loglevel","INFO"]`},
	},
	"defaults, overrides and references": {
		tree: globalTree("[INCLUDES]\nbefore = base.conf\n[DEFAULT]\nloglevel = DEBUG\n[Definition]\nlogtarget = %(dir)s/a.log\ndbpurgeage = 1h\n", "-- fail2ban.local --\n[Definition]\ndbpurgeage = %(known/dbpurgeage)s\nlogtarget = %(known/logtarget)s.1\n-- base.conf --\n[DEFAULT]\ndir = /d\n-- base.local --\n[DEFAULT]\ndir = /e\n-- fail2ban.d/x.conf --\n[Definition]\nallowipv6 = yes\n"),
		want: []string{`["set","loglevel","DEBUG"]`, `["set","logtarget","/e/a.log.1"]`, `["set","dbpurgeage","1h"]`, `["set","allowipv6","yes"]`},
	},
	"fail2ban.local alone": {
		tree: "-- jail.conf --\n-- fail2ban.local --\n[Definition]\nloglevel = ERROR\n",
		want: []string{`["set","loglevel","ERROR"]`},
	},
	"empty values": {
		tree: globalTree("[Definition]\nlogtarget =\ndbfile =\ndbpurgeage = 1\nallowipv6 =\nsyslogsocket =\n", ""),
		want: []string{`["set","logtarget",""]`, `["set","dbfile",""]`, `["set","allowipv6",""]`},
	},
	"a section for threads without its option": {
		tree: globalTree("[Thread]\nx = 1\n[Definition]\n", ""),
		want: []string{`["set","loglevel","INFO"]`},
	},
	"the size of threads among the defaults": {
		tree: globalTree("[DEFAULT]\nstacksize = 32\n[Thread]\n", ""),
		want: []string{`["set","thread",{"stacksize":32}]`},
	},
	"options of jails in fail2ban.conf, and the other way round": {
		tree: globalTree("[Definition]\nbantime = 5\n", "-- jail.local --\n[j]\nenabled = true\nloglevel = DEBUG\n"),
		want: []string{`["set","loglevel","INFO"]`, `["start","j"]`},
	},
}

func globalTree(text, rest string) string {
	return "-- jail.conf --\n-- fail2ban.conf --\n" + text + rest
}
