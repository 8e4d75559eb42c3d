package config

// treesOfGrammar are about what a file says.
var treesOfGrammar = map[string]hostileTree{
	"inline comments": {
		tree: "-- jail.conf --\n[j] ; a comment\nenabled = true ; comment\nignorecommand = a;b ;c\nbantime = 10m\t; c\nignorecache = ; nothing\nfailregex = one # kept\n  two ;gone\n  #gone\n  ; gone\n   three;kept\nmaxretry = 5\n",
		want: []string{`["set","j","ignorecommand","a;b"]`, `["set","j","bantime","10m"]`, `["set","j","ignorecache",""]`, `["multi-set","j","addfailregex",["one # kept","two","three;kept"]]`, `["set","j","maxretry",5]`},
	},
	"a regex that a semicolon behind a blank cuts": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfilter = f\n-- filter.d/f.conf --\n[Definition]\nfailregex = ^a; b ; c <HOST>$\n  ^d\\s;<HOST>$\n",
		want: []string{`["multi-set","j","addfailregex",["^a; b","^d\\s;<HOST>$"]]`},
	},
	"comments and blank lines within a value": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignorecommand = one\n\n# at the margin\n  # deeper\n\n    two\n ;\n\t\n  three\n\n\nmaxretry = 1\n",
		want: []string{`["set","j","ignorecommand","one\n\n\ntwo\n\nthree"]`, `["set","j","maxretry",1]`},
	},
	"comments at the margin do not end a value": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfailregex =\n# one\n   a\n;two\n   b\n",
		want: []string{`["multi-set","j","addfailregex",["a","b"]]`},
	},
	"equals and colon": {
		tree: "-- jail.conf --\n[j]\nenabled: true\nignorecommand : a=b:c\nbantime.factor =: 5\nignorecache:= 6\n",
		want: []string{`["set","j","ignorecommand","a=b:c"]`, `["set","j","bantime.factor",": 5"]`, `["set","j","ignorecache","= 6"]`},
	},
	"keys in upper case, with blanks, in other alphabets": {
		tree: "-- jail.conf --\n[DEFAULT]\nTWO  WORDS = w\nÄÖ = umlaut\n[j]\nEnabled = TRUE\nMaxRetry=2\nIGNORECOMMAND = %(Two  Words)s %(äö)s %(ÄÖ)s\n",
		want: []string{`["set","j","maxretry",2]`, `["set","j","ignorecommand","w umlaut umlaut"]`},
	},
	"tabs before keys, values and signs": {
		tree: "-- jail.conf --\n[j]\n\tenabled\t=\ttrue\t\n\tmaxretry\t:\t3\n\t\t\n\tignorecommand =\ta\tb\n\t\tc\n",
		want: []string{`["set","j","maxretry",3]`, `["set","j","ignorecommand","a\tb\nc"]`},
	},
	"a key that is less deep than the one before": {
		tree: "-- jail.conf --\n[j]\n    enabled = true\n  maxretry = 3\nignorecache = 4\n  findtime = 5\n",
		want: []string{`["set","j","maxretry",3]`, `["set","j","ignorecache","4\nfindtime = 5"]`},
	},
	"an indented header under a key is its value, under a blank line too": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignorecommand = a\n\n [k]\n enabled = true\n[l]\nenabled = true\n",
		want: []string{`["set","j","ignorecommand","a\n\n[k]\nenabled = true"]`, `["start","l"]`},
	},
	"an indented header after a header": {
		tree: "-- jail.conf --\n[j]\n  [k]\n  enabled = true\n  maxretry = 3\n",
		want: []string{`["set","k","maxretry",3]`},
	},
	"CR LF line ends": {
		tree: "-- jail.conf --\r\n[j]\r\nenabled = true\r\nfailregex = a\r\n  b\r\n\r\n  c\r\nmaxretry = 3 ; x\r\n",
		want: []string{`["multi-set","j","addfailregex",["a","b","c"]]`, `["set","j","maxretry",3]`},
	},
	"lines end at CR alone, not at other white space": {
		tree: "-- jail.conf --\n[j]\renabled = true\rignorecommand = a\vb\fc\u2028d\u0085e\u00a0f\n",
		want: []string{"[\"set\",\"j\",\"ignorecommand\",\"a\\u000bb\\fc\\u2028d\u0085e\u00a0f\"]"},
	},
	"unicode in names, keys and values": {
		tree: "-- jail.conf --\n[дверь]\nenabled = true\nslovo = слово\nignorecommand = %(slovo)s 😀 \u200b\n[ß]\nenabled = true\n",
		want: []string{`["set","дверь","ignorecommand","слово 😀 ` + "\u200b" + `"]`, `["start","ß"]`},
	},
	"unicode white space around keys and values": {
		tree: "-- jail.conf --\n[j]\nenabled\u00a0=\u2003true\u3000\nmaxretry =\u00a03\n\u00a0\u00a0\nbantime = \u20031\u2003\n",
		want: []string{`["set","j","maxretry",3]`, `["set","j","bantime","1"]`},
	},
	"names of sections": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a b]\n[ c ]\n[d]e]\n[f[g]\n[h] junk\n[i;j]\n[k/l]\n[m'n\"]\n[default]\n[Definition]\n",
		want: []string{
			`["start","a b"]`, `["start"," c "]`, `["start","d]e"]`, `["start","f[g"]`, `["start","h"]`, `["start","i;j"]`,
			`["start","k/l"]`, `["start","m'n\""]`, `["start","default"]`, `["start","Definition"]`,
		},
	},
	"sections whose names hold a semicolon or number sign behind a blank": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[a #b]\n[c]d ;]\n",
		want: []string{`["start","a #b"]`, `["start","c"]`},
	},
	"the defaults in pieces": {
		tree: "-- jail.conf --\n[DEFAULT]\na = 1\n[j]\nenabled = true\nignorecommand = %(a)s %(b)s\n[DEFAULT]\nb = 2\n",
		want: []string{`["set","j","ignorecommand","1 2"]`},
	},
	"quotes stay where they are": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nbackend = \"auto\"\nignorecommand = \"a b\"\nbantime = '10m'\n[k]\nenabled = \"true\"\n[l]\nenabled = true\nignorecommand = 'x\n",
		want: []string{`["set","l","ignorecommand","'x"]`},
		off:  map[string]string{"j": folder + "/jail.conf:3 [j] backend = \"auto\": unknown backend"},
	},
	"neither the environment nor the home is expanded": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignorecommand = ~/x $HOME ${HOME} `id` $(id) \\n \\\\\n",
		want: []string{`["set","j","ignorecommand","~/x $HOME ${HOME} ` + "`id`" + ` $(id) \\n \\\\"]`},
	},
	"a value of brackets, and one that looks like a header": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nfailregex = [a] <HOST>\n   [b]\n   [Definition]\n   ] c [\n",
		want: []string{`["multi-set","j","addfailregex",["[a] <HOST>","[b]","[Definition]","] c ["]]`},
	},
	"keys with a question mark": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nmaxretry?family=inet6 = 5\nx? = 1\nignorecommand = %(x?)s %(maxretry?family)s\naction = a\n-- action.d/a.conf --\n[Definition]\nactionban = <x> <y?z>\ny?z = 7\n[Init]\nx?family: six\nx = four\n",
		want: []string{`["set","j","ignorecommand","1 inet6 = 5"]`},
	},
	"the last line has no end": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nmaxretry = 3",
		want: []string{`["set","j","maxretry",3]`},
	},
	"a NUL and other control characters": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nignorecommand = a\x00b\x01\x1bc\x7f\nbantime = 1\x1c\n",
		want: []string{`["set","j","ignorecommand","a\u0000b\u0001\u001bc` + "\x7f" + `"]`, `["set","j","bantime","1"]`},
	},
	"bytes that are not UTF-8 in a comment of a file that is not needed": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nmaxretry = 3\n-- jail.d/x.txt --\n\xff\xfe\n",
		want: []string{`["set","j","maxretry",3]`},
	},
	"conditional sections of a jail": {
		tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\n[j]\nmaxretry = 1\n[j?family=inet6]\nmaxretry = 6\n[only?x=1]\nmaxretry = 2\n[a b?x=1]\nmaxretry = 3\n[?x=1]\n[y?]\n",
		want: []string{`["set","j","maxretry",1]`, `["start","only"]`, `["set","a b?x=1","maxretry",3]`, `["start","?x=1"]`, `["start","y?"]`},
	},
	"keys that look like references and names": {
		tree: "-- jail.conf --\n[j]\nenabled = true\nknown/x = own\na/b = slash\n__name__ = boss\n%(c)s = percent\nignorecommand = %(known/x)s %(a/b)s %(__name__)s\nignorecache = x\n",
		want: []string{`["set","j","ignorecommand","own slash j"]`},
	},
	"the same key in several files, sections and spellings": {
		tree: "-- jail.conf --\n[DEFAULT]\nMAXRETRY = 1\n[j]\nenabled = true\nMaxRetry = 2\n-- jail.d/a.conf --\n[j]\nmaxretry : 3\n-- jail.d/b.conf --\n[J]\nmaxretry = 4\n",
		want: []string{`["set","j","maxretry",3]`},
	},
}
