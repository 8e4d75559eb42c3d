package config

// refusedTree is a tree with the jails "bad" and "ok": fail2ban refuses both.
func refusedTree(bad string) string {
	return "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[ok]\n[bad]\n" + bad +
		"-- filter.d/f.conf --\n[Definition]\nfailregex = x <HOST>\n-- action.d/a.conf --\n[Definition]\nactionban = ban <ip>\n"
}

// costs is the problem of the one jail that we leave out of refusedTree.
func costs(tree, problem string) hostileTree {
	return hostileTree{tree: refusedTree(tree), refused: true, jails: "ok", off: map[string]string{"bad": folder + "/" + problem}}
}

// treesRefused are those that fail2ban refuses as a whole, and of which we leave out one jail or none.
var treesRefused = map[string]hostileTree{
	"a key twice":                      costs("maxretry = 1\nmaxretry = 2\n", "jail.conf:8 [bad] maxretry = 2: the jail depends on this value, which is not clear: this key was already set in line 7"),
	"a key twice, in another spelling": costs("maxretry = 1\nMAXRETRY: 1\n", "jail.conf:8 [bad] maxretry = 1: the jail depends"),
	"a key twice, by mistake within a regex": costs("failregex = a <HOST>\nb=1\nb=2\nignorecommand = %(b)s\n",
		"jail.conf:9 [bad] b = 2: the jail depends"),
	"a key without sign":               costs("maxretry 5\n", "jail.conf:6 [bad]: what the jail says is not clear: neither key = value nor a section: maxretry 5"),
	"a regex that is not indented":     costs("failregex = a <HOST>\nb <HOST>\n", "jail.conf:6 [bad]: what the jail says is not clear: neither key"),
	"a sign without key":               costs("= 5\n", "jail.conf:6 [bad]: what the jail says is not clear: neither key"),
	"a section twice":                  costs("maxretry = 1\n[off]\nenabled = false\n[bad]\nfindtime = 2\n", "jail.conf:6 [bad]: what the jail says is not clear: this section was already there in line 6"),
	"an empty header":                  costs("[]\n", "jail.conf:6 [bad]: what the jail says is not clear: neither key"),
	"a header that never ends":         costs("[x\n", "jail.conf:6 [bad]: what the jail says is not clear: neither key"),
	"a reference to nothing":           costs("maxretry = %(nowhere)s\n", "jail.conf:7 [bad] maxretry = %(nowhere)s: %(nowhere)s is not defined"),
	"a single percent sign":            costs("datepattern = ^%Y\n", "jail.conf:7 [bad] datepattern = ^%Y: a single % that begins no %(name)s: %Y (write %% for a percent sign)"),
	"a percent sign at the end":        costs("ignorecommand = 5%\n", "jail.conf:7 [bad] ignorecommand = 5%: a single %"),
	"a reference that never ends":      costs("ignorecommand = %(x\n", "jail.conf:7 [bad] ignorecommand = %(x: a single %"),
	"a reference without its s":        costs("x = 1\nignorecommand = %(x) y\n", "jail.conf:8 [bad] ignorecommand = %(x) y: a single %"),
	"the defaults in upper case":       costs("ignorecommand = %(DEFAULT/filter)s\n", "jail.conf:7 [bad] ignorecommand = %(DEFAULT/filter)s: %(DEFAULT/filter)s is not defined (fail2ban finds section/key only in lower case)"),
	"a key of a section in upper case": costs("ignorecommand = %(default/FILTER)s\n", "jail.conf:7 [bad] ignorecommand"),
	"a section in upper case":          costs("ignorecommand = %(Sec/x)s\n[Sec]\nenabled = false\nx = 1\n", "jail.conf:7 [bad] ignorecommand"),
	"a section that is not there":      costs("ignorecommand = %(sec/x)s\n", "jail.conf:7 [bad] ignorecommand = %(sec/x)s: %(sec/x)s is not defined (is there a section [sec] with this key?)"),
	"known of what nobody set":         costs("ignorecommand = %(known/x)s\n", "jail.conf:7 [bad] ignorecommand = %(known/x)s: %(known/x)s is not defined (neither the filter nor an earlier file sets x)"),
	"a value that refers to itself":    costs("ignorecommand = %(ignorecommand)s\n", "jail.conf:7 [bad] ignorecommand = %(ignorecommand)s: more than 10 references"),
	"values that refer to each other":  costs("ignorecommand = %(x)s\nx = %(y)s\ny = %(x)s\n", "jail.conf:7 [bad] ignorecommand = %(x)s: more than 10 references"),
	"eleven references deep":           costs("ignorecommand = %(a1)s\na1=%(a2)s\na2=%(a3)s\na3=%(a4)s\na4=%(a5)s\na5=%(a6)s\na6=%(a7)s\na7=%(a8)s\na8=%(a9)s\na9=%(a10)s\na10=%(a11)s\na11=end\n", "jail.conf:7 [bad] ignorecommand = %(a1)s: more than 10 references"),
	"known of a filter with a percent sign": costs("filter = g\ndatepattern = %(known/datepattern)s\n-- filter.d/g.conf --\n[Definition]\nfailregex = x <HOST>\ndatepattern = ^%%Y\n",
		"jail.conf:8 [bad] datepattern = %(known/datepattern)s: a single %"),
	"a reference of a filter to nothing": costs("filter = g\n-- filter.d/g.conf --\n[Definition]\nfailregex = %(nowhere)s <HOST>\n", "filter.d/g.conf:2 [Definition] failregex = %(nowhere)s <HOST>: %(nowhere)s is not defined"),
	"a reference of a filter's other option to nothing": costs("filter = g\n-- filter.d/g.conf --\n[Definition]\nfailregex = x <HOST>\nx = %(nowhere)s\n",
		"filter.d/g.conf:3 [Definition] x = %(nowhere)s"),
	"a reference of Init to what the parameters set": costs("filter = g[p=1]\n-- filter.d/g.conf --\n[Definition]\nfailregex = x <HOST>\n[Init]\nx = %(p)s\n",
		"filter.d/g.conf:4 [Init] x = %(p)s: %(p)s is not defined"),
	"a reference of an action to nothing":                 costs("action = b\n-- action.d/b.conf --\n[Definition]\nactionban = %(nowhere)s\n", "action.d/b.conf:2 [Definition] actionban = %(nowhere)s"),
	"a single percent sign in an action":                  costs("action = b\n-- action.d/b.conf --\n[Definition]\nactionban = date +%s\n", "action.d/b.conf:2 [Definition] actionban = date +%s: a single %"),
	"a key twice in a filter":                             costs("filter = g\n-- filter.d/g.conf --\n[Definition]\nfailregex = x <HOST>\nfailregex = y <HOST>\n", "jail.conf:7 [bad] filter = g: the filter has an error: this key was already set in line 2"),
	"a line without sign in what a filter includes":       costs("filter = g\n-- filter.d/g.conf --\n[INCLUDES]\nbefore = h.conf\n[Definition]\nfailregex = x <HOST>\n-- filter.d/h.conf --\n[DEFAULT]\nx\n", "jail.conf:7 [bad] filter = g: the filter has an error"),
	"text before the first section of an action":          costs("action = b\n-- action.d/b.conf --\nactionban = x\n", "jail.conf:7 [bad] action = b: the action b has an error: text before the first [section]: actionban = x"),
	"tags of a filter in a circle":                        costs("filter = g\n-- filter.d/g.conf --\n[Definition]\nfailregex = <x> <HOST>\nx = <y>\ny = <x>\n", "filter.d/g.conf:"),
	"a tag that contains itself":                          costs("action = b\n-- action.d/b.conf --\n[Definition]\nactionban = a <actionban>\n", "action.d/b.conf:2 [Definition] actionban = a <actionban>: <actionban> contains itself"),
	"tags of an action in a circle":                       costs("action = b[x=\"<y>\", y=\"<x>\"]\n-- action.d/b.conf --\n[Definition]\nactionban = <x>\n", "action.d/b.conf:2 [Definition] actionban = <x>: <"),
	"tags that lead to an option with a broken reference": costs("action = b\n-- action.d/b.conf --\n[Definition]\nactionban = <x>\nx = %(nowhere)s\n", "action.d/b.conf:3 [Definition] x = %(nowhere)s"),
	"a quote of journalmatch that never ends":             costs("journalmatch = a='b\n", "jail.conf:7 [bad] journalmatch = a='b: a quote is never closed"),
	"an include with a broken reference": costs("filter = g\n-- filter.d/g.conf --\n[INCLUDES]\nbefore = %(nowhere)s\n[Definition]\nfailregex = x <HOST>\n",
		"jail.conf:7 [bad] filter = g: the filter has an error: %(nowhere)s is not defined"),
	"a broken reference in enabled": costs("enabled = %(nowhere)s\n", "jail.conf:7 [bad] enabled = %(nowhere)s"),

	"a number that the filter sets, by reference": {
		tree:    refusedTree("filter = g\nfailregex = %(known/failregex)s\nignorecommand = %(known/maxlines)s\n-- filter.d/g.conf --\n[Definition]\nfailregex = x <HOST>\nmaxlines = 7\n"),
		refused: true, jails: "ok bad", want: []string{`["set","bad","ignorecommand","7"]`},
	},
	"a broken reference of a filter that a parameter replaces": {
		tree:    refusedTree("filter = g[x=1]\n-- filter.d/g.conf --\n[Definition]\nfailregex = <x> <HOST>\nx = %(nowhere)s\n"),
		refused: true, jails: "ok bad", want: []string{`["set","bad","addfailregex","1 <HOST>"]`},
	},
	"a jail that is off, with a broken reference in what decides that it is": {
		tree:    "-- jail.conf --\n[off]\nbackend = %(nowhere)s\n[off2]\nfilter = %\n[ok]\nenabled = true\n",
		refused: true, jails: "ok", want: []string{`["start","ok"]`},
	},
	"a byte order mark": {
		tree:    "-- jail.conf --\n\ufeff[ok]\nenabled = true\n-- jail.local --\n[ok2]\nenabled = true\n",
		refused: true, jails: "ok ok2", want: []string{`["start","ok"]`},
	},
	"text before the first section": {
		tree:    "-- jail.conf --\n[DEFAULT]\nenabled = true\n[ok]\nmaxretry = 2\n[bad]\n-- jail.local --\nmaxretry = 3\n[ok]\nbantime = 5\n",
		refused: true, jails: "ok", off: map[string]string{"bad": folder + "/jail.local:1 [DEFAULT] maxretry = : the jail depends on this value"},
	},
	"a key twice in the defaults": {
		tree:    "-- jail.conf --\n[DEFAULT]\nenabled = true\nbantime = 1\nbantime = 2\n[ok]\nbantime = 3\n[bad]\n",
		refused: true, jails: "ok", off: map[string]string{"bad": folder + "/jail.conf:4 [DEFAULT] bantime = 2: the jail depends on this value"},
	},
	"a key twice in the defaults that a later file sets": {
		tree:    "-- jail.conf --\n[DEFAULT]\nenabled = true\nbantime = 1\nbantime = 2\n[ok]\n-- jail.local --\n[DEFAULT]\nbantime = 3\n",
		refused: true, jails: "ok", want: []string{`["set","ok","bantime","3"]`},
	},
	"a broken reference in the defaults that only one jail reads": {
		tree:    "-- jail.conf --\n[DEFAULT]\nenabled = true\nignorecommand = %(nowhere)s\n[ok]\nignorecommand = x\n[bad]\n",
		refused: true, jails: "ok", off: map[string]string{"bad": folder + "/jail.conf:3 [DEFAULT] ignorecommand = %(nowhere)s: %(nowhere)s is not defined"},
	},
	"a key twice in fail2ban.conf": {
		tree:    "-- jail.conf --\n[ok]\nenabled = true\n-- fail2ban.conf --\n[Definition]\nloglevel = INFO\nloglevel = DEBUG\n",
		refused: true, jails: "ok", want: []string{`["start","ok"]`},
	},
	"a reference to nothing in fail2ban.conf": {
		tree:    "-- jail.conf --\n[ok]\nenabled = true\n-- fail2ban.conf --\n[Definition]\nlogtarget = %(nowhere)s\n",
		refused: true, jails: "ok", want: []string{`["set","logtarget","/var/log/fail2ban.log"]`},
	},
	"a level of the log that nobody knows": {
		tree:    "-- jail.conf --\n[ok]\nenabled = true\n-- fail2ban.conf --\n[Definition]\nloglevel = LOUD\n",
		refused: true, jails: "ok", want: []string{`["start","ok"]`},
	},
	"a file that is not UTF-8": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[ok]\n[bad]\n-- jail.d/x.local --\n[bad]\nignorecommand = \xe4\n",
		off:  map[string]string{"bad": folder + "/jail.d/x.local:2 [bad] ignorecommand = \ufffd: the jail depends on this value, which is not clear: the line is not UTF-8"},
	},
	"numbers of fail2ban.conf that are none": {
		tree: globalTree("[Definition]\ndbmaxmatches = x\n[Thread]\nstacksize = -5\n", ""),
		want: []string{`["set","dbmaxmatches",null]`, `["set","thread",{"stacksize":-5}]`},
	},
}
