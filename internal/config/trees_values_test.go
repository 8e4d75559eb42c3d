package config

// treesOfReferences are about %(names)s and what was known before.
var treesOfReferences = map[string]hostileTree{
	"known is the last value that was replaced": {
		tree: `
-- jail.conf --
[j]
enabled = true
port = 1
ignorecommand = %(known/port)s
-- jail.d/a.conf --
[j]
port = 2
-- jail.local --
[j]
port = 3
`,
		want: []string{`["set","j","ignorecommand","2"]`},
	},
	"known of a key that nobody replaced is the default's": {
		tree: `
-- jail.conf --
[DEFAULT]
port = 9
[j]
enabled = true
port = 1
ignorecommand = %(known/port)s
`,
		want: []string{`["set","j","ignorecommand","9"]`},
	},
	"the defaults know no replaced value": {
		tree: `
-- jail.conf --
[DEFAULT]
port = 1
[j]
enabled = true
ignorecommand = %(known/port)s %(port)s
-- jail.local --
[DEFAULT]
port = 2
`,
		want: []string{`["set","j","ignorecommand","2 2"]`},
	},
	"known refers to references that are read now": {
		tree: `
-- jail.conf --
[j]
enabled = true
x = old
port = <%(x)s>
ignorecommand = %(port)s
-- jail.local --
[j]
x = new
port = %(known/port)s%(known/x)s
`,
		want: []string{`["set","j","ignorecommand","<new>old"]`},
	},
	"known in the defaults reads the section that asks": {
		tree: `
-- jail.conf --
[DEFAULT]
twice = %(known/port)s %(port)s
port = 0
[j]
enabled = true
port = 1
ignorecommand = %(twice)s
-- jail.local --
[j]
port = 2
`,
		want: []string{`["set","j","ignorecommand","1 2"]`},
	},
	"known of what is known": {
		tree: `
-- jail.conf --
[j]
enabled = true
ignorecommand = one
-- jail.d/a.conf --
[j]
ignorecommand = %(known/ignorecommand)s two
`,
		want: []string{`["set","j","ignorecommand","one two"]`},
	},
	"a filter's options are known to its jail, before those that were replaced": {
		tree: `
-- jail.conf --
[j]
enabled = true
filter = f[x=3]
failregex = replaced
ignorecommand = %(known/failregex)s %(known/x)s %(known/own)s
-- jail.local --
[j]
failregex = new %(known/failregex)s
-- filter.d/f.conf --
[Definition]
own = <x>
failregex = <own> <HOST>
[Init]
x = 1
`,
		want: []string{`["set","j","addfailregex","new 3 <HOST>"]`, `["set","j","ignorecommand","3 <HOST> 3 3"]`},
	},
	"known within a filter": {
		tree: `
-- jail.conf --
[j]
enabled = true
filter = f
-- filter.d/f.conf --
[Definition]
failregex = one <HOST>
x = 1
-- filter.d/f.local --
[Definition]
failregex = %(known/failregex)s
   two %(known/x)s %(x)s <HOST>
x = 2
`,
		want: []string{`["multi-set","j","addfailregex",["one <HOST>","two 1 2 <HOST>"]]`},
	},
	"known of an action's Init in a parameter": {
		tree: `
-- jail.conf --
[j]
enabled = true
action = a[chain="<known/chain>,%(x)s", port="<known/port>"]
x = X
-- action.d/a.conf --
[Definition]
actionban = <chain> <port>
[Init]
chain = INPUT
-- action.d/a.local --
[Init]
chain = LOCAL
`,
		want: []string{`["multi-set","j","action","a",[["actionban","LOCAL,X <known/port>"],["chain","<known/chain>,X"],["port","<known/port>"],["name","j"],["actname","a"]]]`},
	},
	"the section of a reference, and what it lacks": {
		tree: `
-- jail.conf --
[DEFAULT]
a = default
b = default
[other-1]
a = other
c = %(b)s %(d)s
[j]
enabled = true
b = own
d = d
ignorecommand = %(other-1/a)s %(other-1/b)s %(other-1/c)s %(default/b)s %(b)s
`,
		want: []string{`["set","j","ignorecommand","other default own d default own"]`},
	},
	"percent signs": {
		tree: "-- jail.conf --\n[DEFAULT]\nfmt = %%Y-%%m\n[j]\nenabled = true\ndatepattern = %(fmt)s %%%%d %%(fmt)s %%%(fmt)s\n",
		want: []string{`["set","j","datepattern","%Y-%m %%d %(fmt)s %%Y-%m"]`},
	},
	"the name of the section, everywhere": {
		tree: `
-- jail.conf --
[DEFAULT]
filter = f[me=%(__name__)s]
action = a[me="%(__NAME__)s", name=%(__name__)s-x]
enabled = true
[j one]
[k]
-- filter.d/f.conf --
[Definition]
failregex = <me> %(__name__)s <HOST>
-- action.d/a.conf --
[Definition]
actionban = <me> %(__name__)s <name> <Init/x> <s/x>
[Init]
x = %(__name__)s
[s]
x = %(__name__)s
`,
		want: []string{`["set","k","addfailregex","k Definition <HOST>"]`, `["set","j one","addaction","a-x"]`},
	},
	"always there: the folder and the version": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nlogpath = %(fail2ban_confpath)s/jail.conf\nignorecommand = %(fail2ban_version)s\n",
		want: []string{`["set","j","ignorecommand","1.0.2"]`, `["set","j","addlogpath","/etc/fail2ban/jail.conf","head"]`},
	},
	"ten references deep": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignorecommand = %(a1)s\na1=%(a2)s\na2=%(a3)s\na3=%(a4)s\na4=%(a5)s\na5=%(a6)s\na6=%(a7)s\na7=%(a8)s\na8=%(a9)s\na9=%(a10)s\na10=end\n",
		want: []string{`["set","j","ignorecommand","end"]`},
	},
	"broken references in what nobody reads": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nport = %(nowhere)s\nx = %\n[off]\nmaxretry = %(nowhere)s\naction = %(\n",
		want: []string{`["start","j"]`},
	},
	"references over several lines": {
		tree: "-- jail.conf --\n[DEFAULT]\nlist = one\n  two\n\n  three\n[j]\nenabled = true\nfailregex = zero\n  %(list)s\n  four\n",
		want: []string{`["multi-set","j","addfailregex",["zero","one","two","three","four"]]`},
	},
	"a list built from others, all of it in one action": {
		tree: `
-- jail.conf --
[DEFAULT]
banaction = a[type=multi]
action_ = %(banaction)s[port="%(port)s", chain="%(chain)s"]
action_m = %(action_)s
           b[dest="%(dest)s"]
port = 0:65535
chain = <known/chain>
action = %(action_)s
enabled = true
[j]
port = ssh,22
dest = x@example.org
action = %(action_m)s
[k]
banaction = a
-- action.d/a.conf --
[Definition]
actionban = <port> <chain> <type>
[Init]
chain = IN
type = one
-- action.d/b.conf --
[Definition]
actionban = mail <dest> <name>
`,
		want: []string{
			`["multi-set","j","action","a",[["actionban","ssh,22 IN multi"],["type","multi"],["port","ssh,22"],["chain","<known/chain>"],["name","j"],["actname","a"]]]`,
			`["set","j","addaction","b"]`, `["set","k","addaction","a"]`,
		},
	},
	"options of the jail that its action sees, and those it does not": {
		tree: `
-- jail.conf --
[j]
enabled = true
maxretry = 7
port = 22
bantime = 5m
ignoreself = no
action = a
-- action.d/a.conf --
[Definition]
actionban = %(maxretry)s <maxretry> <findtime> <bantime> <port> %(ignoreself)s <enabled> <backend> <filter>| <logpath> <mode>
`,
		want: []string{`["multi-set","j","action","a",[["actionban","7 7 <findtime> <bantime> <port> False True auto | <logpath> <mode>"],["name","j"],["actname","a"]]]`},
	},
	"options of the jail that its filter does not see": {
		tree: `
-- jail.conf --
[j]
enabled = true
maxretry = 7
filter = f
-- filter.d/f.conf --
[Definition]
failregex = <maxretry> <backend> <logtype> <HOST>
`,
		want: []string{`["set","j","addfailregex","<maxretry> auto file <HOST>"]`},
	},
}

// treesOfSpecs are about name[option=value, …].
var treesOfSpecs = map[string]hostileTree{
	"quotes, brackets, commas and signs in values": {
		tree: specTree(`a[a="x,y", b='[z]', c=p=q, d="it's", e='say "hi"', f=a"b, g="=", h=#x, i=a;b]`),
		want: []string{specWant(`["a","x,y"],["b","[z]"],["c","p=q"],["d","it's"],["e","say \"hi\""],["f","a\"b"],["g","="],["h","#x"],["i","a;b"]`)},
	},
	"values over several lines": {
		tree: specTree("a[a=\"one\n  two\n\n  three\",\n  b=four\n  five\n  , c=6]"),
		want: []string{specWant(`["a","one\ntwo\n\nthree"],["b","four\nfive"],["c","6"]`)},
	},
	"white space around values": {
		tree: specTree("a[ a= x , b=\"  y \",c='\t',d= ]"),
		want: []string{specWant(`["a","x"],["b","y"],["c",""],["d",""]`)},
	},
	"empty values and the last of several": {
		tree: specTree(`a[a=, b="", c='', d=1, d=2, D=3,]`),
		want: []string{specWant(`["a",""],["b",""],["c",""],["d","2"],["D","3"]`)},
	},
	"several groups": {
		tree: specTree("a[a=1, b=1][b=2] [c=3]\n   [d=4]"),
		want: []string{specWant(`["a","1"],["b","2"],["c","3"],["d","4"]`)},
	},
	"names of options": {
		tree: specTree(`a[a.b=1, c-d=2, _e=3, ä=4, 5=6]`),
		want: []string{specWant(`["a.b","1"],["c-d","2"],["_e","3"],["ä","4"],["5","6"]`)},
	},
	"no options in the brackets": {
		tree: specTree(`a[]`),
		want: []string{`["set","j","addaction","a"]`},
	},
	"an option without sign":               {tree: specTree(`a[b]`), want: []string{"Jail 'j' skipped"}},
	"blanks around the sign":               {tree: specTree(`a[b = c]`), want: []string{"Jail 'j' skipped"}},
	"text behind a quoted value":           {tree: specTree(`a[b="x" y]`), want: []string{"Jail 'j' skipped"}},
	"a quote that a backslash cannot save": {tree: specTree(`a[b="c\"d"]`), want: []string{"Jail 'j' skipped"}},
	"text behind the bracket":              {tree: specTree(`a[b=x]y`), want: []string{"Jail 'j' skipped"}},
	"two commas":                           {tree: specTree(`a[b=1,,c=2]`), want: []string{"Jail 'j' skipped"}},
	"a bracket that never ends":            {tree: specTree(`a[b=1`), want: []string{"Jail 'j' skipped"}},
	"a bracket without name":               {tree: specTree(`[b=1]`), want: []string{"Jail 'j' skipped"}},
	"a blank before the bracket":           {tree: specTree(`a [b=1]`), want: []string{"Jail 'j' skipped"}},
	"a quote that never ends":              {tree: specTree(`a[b="x, c=y]`), want: []string{specWant(`["b","\"x"],["c","y"]`)}},
	"an empty first group":                 {tree: specTree(`a[][b=1]`), want: []string{"Jail 'j' skipped"}},
	"specs behind each other, on one line and several": {
		tree: specTree("a[actname=1] a[actname=2]\n  a[actname=3,\n  b=4]\n\n  a"),
		want: []string{`["set","j","addaction","1"]`, `["set","j","addaction","2"]`, `["set","j","addaction","3"]`, `["set","j","addaction","a"]`},
	},
	"a filter with options": {
		tree: "-- jail.conf --\n[DEFAULT]\nmode = normal\nfilter = f[mode=%(mode)s]\nenabled = true\n[j]\nmode = hard\n[k]\nfilter = f\n[l]\nfilter = f[mode=\"\"]\n[m]\nfilter = f[failregex=\"own <HOST>\\n x\", usedns=no]\n" +
			"-- filter.d/f.conf --\n[Definition]\nmode = soft\nfailregex = <re-<mode>> <HOST>\nre-soft = S\nre-normal = N\nre-hard = H\n",
		want: []string{`["set","j","addfailregex","H <HOST>"]`, `["set","k","addfailregex","S <HOST>"]`, `["set","l","addfailregex","<re-> <HOST>"]`, `["set","m","usedns","no"]`},
	},
	"a filter with a blank, and two filters": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[j]\nfilter = f [x=1]\n[k]\nfilter = f f\n[l]\nfilter = f\n  f\n[m]\nfilter = f[x=1] [y=2]\n-- filter.d/f.conf --\n[Definition]\nfailregex = <x><y> <HOST>\n",
		want: []string{"Jail 'j' skipped", "Jail 'k' skipped", "Jail 'l' skipped", `["set","m","addfailregex","12 <HOST>"]`},
	},
	"names of actions": {
		tree: `
-- jail.conf --
[DEFAULT]
enabled = true
[ast]
action = a[name=ast-tcp]
  a[name=asterisk]
  a[name=other]
  a[name=""]
  a[name=ast, actname="my name"]
  a[name=ASTx, actname=]
-- action.d/a.conf --
[Definition]
actionban = <name> <actname>
`,
		want: []string{
			`["set","ast","addaction","a-tcp"]`, `["set","ast","addaction","aerisk"]`, `["set","ast","addaction","a-other"]`,
			`["set","ast","addaction","a-"]`, `["set","ast","addaction","my name"]`, `["set","ast","addaction",""]`,
		},
	},
	"two actions of one name": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[j]\naction = a\n  a[x=1]\n[k]\naction = a\n-- action.d/a.conf --\n[Definition]\nactionban = x\n",
		want: []string{`["set","k","addaction","a"]`},
		off:  map[string]string{"j": folder + "/jail.conf:4 [j] action = "},
	},
	"actions in Python": {
		tree: `
-- jail.conf --
[j]
enabled = true
action = mail.py[dest="a@b, c@d", actname=post, sender='x "y"', n=1]
   mail.py
   mail.py[name=x, actname="<x>"]
-- action.d/mail.py --
`,
		want: []string{`["set","j","addaction","post","/etc/fail2ban/action.d/mail.py","{\"dest\": \"a@b, c@d\", \"sender\": \"x \\\"y\\\"\", \"n\": \"1\"}"]`, `["set","j","addaction","mail","/etc/fail2ban/action.d/mail.py","{}"]`},
	},
}

// specTree is a jail with one action.
func specTree(action string) string {
	return "-- jail.conf --\n[j]\nenabled = true\naction = " + action + "\n-- action.d/a.conf --\n[Definition]\nactionban = x\n"
}

// specWant is the command that carries the parameters of specTree.
func specWant(params string) string {
	return `["multi-set","j","action","a",[["actionban","x"],` + params + `,["name","j"],["actname","a"]]]`
}
