package config

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// names lists the usable jails.
func names(c *Config) string {
	var all []string
	for _, j := range c.Jails {
		all = append(all, j.Name)
	}
	return strings.Join(all, " ")
}

// shared is the part of a configuration that the broken pieces of the tests are added to.
const shared = `
-- filter.d/f.conf --
[Definition]
failregex = x <HOST>
-- filter.d/g.conf --
[Definition]
failregex = x <HOST>
-- action.d/a.conf --
[Definition]
actionban = ban <ip>
`

func TestAnErrorCostsTheJailsThatDependOnItAndNoOther(t *testing.T) {
	tests := map[string]struct {
		tree  string
		jails string   // what is left
		want  []string // one problem for each, by its beginning
	}{
		"duplicate key in a jail": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\n[two]\nmaxretry = 1\nmaxretry = 2\n", jails: "one",
			want: []string{"/etc/fail2ban/jail.conf:8 [two] maxretry = 2: this key was already set in line 7", "/etc/fail2ban/jail.conf:8 [two] maxretry = 2: the jail depends on this value"},
		},
		"duplicate key in the defaults, where a jail sets its own": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\nbantime = 1\nbantime = 2\n[one]\nbantime = 3\n[two]\n", jails: "one",
			want: []string{"/etc/fail2ban/jail.conf:6 [DEFAULT] bantime = 2: this key", "/etc/fail2ban/jail.conf:6 [DEFAULT] bantime = 2: the jail depends"},
		},
		"duplicate key that is used by reference only": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\nport = 1\nport = 2\n[one]\nignorecommand = x %(port)s\n[two]\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:6 [DEFAULT] port = 2: this key", "/etc/fail2ban/jail.conf:6 [DEFAULT] port = 2: the jail depends"},
		},
		"duplicate section": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\n[two]\n[one]\nmaxretry = 2\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:7 [one]: this section", "/etc/fail2ban/jail.conf:5 [one]: what the jail says is not clear"},
		},
		"line without equals sign in a jail": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\nbantime 5m\n[two]\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:6 [one]: neither key", "/etc/fail2ban/jail.conf:5 [one]: what the jail says"},
		},
		"key before the first section": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\n[two]\nbantime = 3\n-- jail.local --\nbantime = 1\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.local:1: text before", "/etc/fail2ban/jail.local:1 [DEFAULT] bantime = : the jail depends"},
		},
		"reference to nothing": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\nbanaction = x\n[one]\nmaxretry = %(banactoin)s\n[two]\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:7 [one] maxretry = %(banactoin)s: %(banactoin)s is not defined (did you mean banaction?)"},
		},
		"single percent sign": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\ndatepattern = %Y\n[two]\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:6 [one] datepattern = %Y: a single % that begins no %(name)s: %Y (write %% for a percent sign)"},
		},
		"error in a filter": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\naction = a\n[one]\nfilter = f\n[two]\nfilter = g\n-- filter.d/f.local --\nfailregex = y\n", jails: "two",
			want: []string{"/etc/fail2ban/filter.d/f.local:1: text before", "/etc/fail2ban/jail.conf:5 [one] filter = f: the filter has an error"},
		},
		"error in what an action includes": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\n[one]\naction = b\n[two]\naction = a\n-- action.d/b.conf --\n[INCLUDES]\nbefore = c.conf\n-- action.d/c.conf --\n[x]\ny\n", jails: "two",
			want: []string{"/etc/fail2ban/action.d/c.conf:2 [x]: neither key", "/etc/fail2ban/jail.conf:5 [one] action = b: the action b has an error"},
		},
		"tags that contain themselves": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\naction = a\n[one]\nfilter = f[q=\"<r>\", r=\"<q>\"]\n[two]\nfilter = g\n-- filter.d/f.local --\n[Definition]\nignoreregex = <q>\n", jails: "two",
			want: []string{"/etc/fail2ban/filter.d/f.local:2 [Definition] ignoreregex = <q>: <"},
		},
		"filter of a wrong name": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\naction = a\n[one]\nfilter = h\n[two]\nfilter = g\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:5 [one] filter = h: there is no filter h (did you mean f or g?)"},
		},
		"two actions of one name": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\n[one]\naction = a a\n[two]\naction = a\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:5 [one] action = a a: two actions are called a"},
		},
		"all wrong values of a jail at once": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\nmaxretry = 5 # x\nfindtime =\nbantime = 1x\nmaxmatches = y\nusedns = no\nbantime.maxtime = never\nmaxlines = 0\nbackend = polled\n[two]\n", jails: "two",
			want: []string{
				"/etc/fail2ban/jail.conf:13 [one] backend = polled: unknown backend",
				"/etc/fail2ban/jail.conf:12 [one] maxlines = 0: less than 1",
				`/etc/fail2ban/jail.conf:6 [one] maxretry = 5 # x: not a whole number (a comment behind a value begins with " ;", not with #)`,
				"/etc/fail2ban/jail.conf:9 [one] maxmatches = y: not a whole number",
				"/etc/fail2ban/jail.conf:7 [one] findtime = : no time",
				"/etc/fail2ban/jail.conf:8 [one] bantime = 1x: no time: unknown unit x", "/etc/fail2ban/jail.conf:11 [one] bantime.maxtime = never: no time",
			},
		},
		"log path with a blank": {
			tree: "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\nlogpath = /var/log/my log\n[two]\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:6 [one] logpath = /var/log/my log: behind the last blank stands head or tail, not log"},
		},
		"a switch that means false": {
			tree: "-- jail.conf --\n[DEFAULT]\nfilter = f\naction = a\n[one]\nenabled = y\n[two]\nenabled = true\n", jails: "two",
			want: []string{"/etc/fail2ban/jail.conf:5 [one] enabled = y: this means false"},
		},
		"includes in a circle are no error": {
			tree: "-- jail.conf --\n[INCLUDES]\nbefore = b.conf\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\n-- b.conf --\n[INCLUDES]\nafter = jail.conf\nbefore = b.conf\n[two]\n", jails: "two one",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := loadTree(t, tt.tree+shared, Options{})
			if got := names(c); got != tt.jails {
				t.Errorf("jails %q, want %q", got, tt.jails)
			}
			var got []string
			for _, p := range c.Problems {
				if p.Msg != noFail2banConf {
					got = append(got, p.Error())
				}
			}
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("problems\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

const noFail2banConf = "there is no fail2ban.conf; its defaults are used"

func TestProblemsOfAJailSayWhichJailIsOff(t *testing.T) {
	c := loadTree(t, "-- jail.conf --\n[one]\nenabled = true\nmaxretry = x\n", Options{})
	want := Problem{
		Severity: Error, Jail: "one", File: "/etc/fail2ban/jail.conf", Line: 3, Section: "one", Key: "maxretry", Value: "x",
		Msg: "not a whole number", Hint: "write digits alone, as 5",
	}
	if !slices.Contains(c.Errors(), want) {
		t.Errorf("got %#v", c.Errors())
	}
}

func TestJailValuesAndTheirOrigins(t *testing.T) {
	c := loadTree(t, `
-- jail.conf --
[DEFAULT]
bantime = 1h
usedns = no
[j]
enabled = true
filter = f[mode=x]
backend = systemd[journalpath=/j]
action = a[name=n, extra="1"]
maxretry = 7
findtime = 1d12h
bantime.increment = true
bantime.maxtime = 5w
bantime.formula = ban.Time * 2
ignoreip = 10.0.0.0/8 ::1
logtimezone = UTC
-- jail.local --
[j]
maxretry = 9
-- filter.d/f.conf --
[Definition]
failregex = one <HOST>
    two <mode> <HOST>
maxlines = 3
journalmatch = _A=b
-- action.d/a.conf --
[Definition]
actionban = ban <ip> <name> <set>
norestored = 1
[Init]
set = x
-- action.d/a.local --
[Init]
set = y
`, Options{})
	j, ok := c.Jail("j")
	if !ok {
		t.Fatalf("no jail: %v", c.Problems)
	}
	got := fmt.Sprint(j.MaxRetry, j.FindTime, j.BanTime, j.Increment, j.IgnoreIP, j.LogTimezone, j.UseDNS, j.FailRegex, j.MaxLines,
		j.JournalMatch, j.Filter, j.BackendSpec, j.Journal(), j.MaxMatches, j.IgnoreSelf)
	want := fmt.Sprint(9, 36*time.Hour, time.Hour, Increment{Enabled: true, Formula: "ban.Time * 2", MaxTime: 5 * 7 * 24 * time.Hour},
		[]string{"10.0.0.0/8", "::1"}, "UTC", "no", []string{"one <HOST>", "two x <HOST>"}, 3, [][]string{{"_A=b"}}, "f",
		Spec{"systemd", []Param{{"journalpath", "/j"}}}, true, 5, true)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for key, at := range map[string]string{
		"maxretry": "/etc/fail2ban/jail.local:2 [j] maxretry", "bantime": "/etc/fail2ban/jail.conf:2 [DEFAULT] bantime",
		"failregex": "/etc/fail2ban/filter.d/f.conf:2 [Definition] failregex", "logpath": "",
	} {
		if got := j.Origin(key).String(); got != at {
			t.Errorf("origin of %s is %q, want %q", key, got, at)
		}
	}
	a := j.Actions[0]
	ban, _ := a.Option("actionban")
	set, _ := a.Param("set")
	restored, _ := a.Option("norestored")
	if a.Name != "a-n" || a.File != "a" || ban != "ban <ip> n y" || set != "y" || restored != "True" ||
		!slices.Equal(a.Files, []string{"/etc/fail2ban/action.d/a.conf", "/etc/fail2ban/action.d/a.local"}) ||
		a.OptionOrigin("actionban").String() != "/etc/fail2ban/action.d/a.conf:2 [Definition] actionban" {
		t.Errorf("action %+v", a)
	}
}

func TestLogPathsKeepTheirPatternsAndStreamTheirFiles(t *testing.T) {
	fsys := fstest.MapFS{
		"etc/fail2ban/jail.conf": &fstest.MapFile{Data: []byte("[j]\nenabled = true\nlogpath = /var/log/a*.log tail\n  /var/log/[!a]?.log\n  /none\n")},
		"var/log/a1.log":         {},
		"var/log/ab.log":         {},
		"var/log/.a2.log":        {},
		"var/log/b1.log":         {},
		"var/log/b1.log.gz":      {},
	}
	c, err := Load(Options{Files: fsys})
	if err != nil {
		t.Fatal(err)
	}
	j, _ := c.Jail("j")
	var paths []string
	for _, p := range j.LogPaths {
		paths = append(paths, fmt.Sprint(p.Pattern, p.Tail))
	}
	if got := strings.Join(paths, " "); got != "/var/log/a*.logtrue /var/log/[!a]?.logfalse /nonefalse" {
		t.Errorf("patterns %s", got)
	}
	var sent []string
	for _, command := range comparableStream(t, c.Stream()) {
		if strings.Contains(command, "addlogpath") {
			sent = append(sent, command)
		}
	}
	want := []string{`["set","j","addlogpath","/var/log/a1.log","tail"]`, `["set","j","addlogpath","/var/log/ab.log","tail"]`, `["set","j","addlogpath","/var/log/b1.log","head"]`}
	if !slices.Equal(sent, want) {
		t.Errorf("sent %s", sent)
	}
}

func TestWithoutAnyLogFile(t *testing.T) {
	const filter = "-- filter.d/f.conf --\n[Definition]\njournalmatch = a=b\n-- filter.d/g.conf --\n[Definition]\n"
	tests := map[string]struct {
		options string
		release Release
		backend string // of the jail; "" if it is left out
		paths   int
	}{
		"a jail on auto reads the journal if it knows how":   {"filter = f\n", Release11, "systemd", 0},
		"not if that is forbidden":                           {"filter = f\nsystemd_if_nologs = no\n", Release11, "auto", 1},
		"not on another backend":                             {"filter = f\nbackend = polling\n", Release11, "polling", 1},
		"not if nothing says what to look for":               {"filter = g\n", Release11, "auto", 1},
		"it is left out if that is asked for":                {"filter = g\nskip_if_nologs = true\n", Release11, "", 0},
		"the journal comes before being left out":            {"filter = f\nskip_if_nologs = true\n", Release11, "systemd", 0},
		"in release 1.0 it waits, whatever the options are":  {"filter = f\nskip_if_nologs = true\n", Release10, "auto", 1},
		"a jail that reads the journal needs no file anyway": {"filter = f\nbackend = systemd\n", Release11, "systemd", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := loadTree(t, "-- jail.conf --\n[j]\nenabled = true\nlogpath = /none\n"+tt.options+filter, Options{Release: tt.release})
			j, ok := c.Jail("j")
			if !ok {
				j = &Jail{}
			}
			if j.Backend != tt.backend || len(j.LogPaths) != tt.paths || len(c.Errors()) > 0 {
				t.Errorf("backend %q, %d paths, %v", j.Backend, len(j.LogPaths), c.Problems)
			}
		})
	}
}

func TestPerFamilyOptionsFollowThePlainParameterInRelease11(t *testing.T) {
	const tree = "-- jail.conf --\n[j]\nenabled = true\naction = a[block=DROP]\n-- action.d/a.conf --\n[Init]\nblock = R\n[Init?family=inet6]\nblock = R6\n"
	for release, want := range map[Release]string{Release11: "DROP", Release10: "R6"} {
		j, _ := loadTree(t, tree, Options{Release: release}).Jail("j")
		if got, _ := j.Actions[0].Param("block?family=inet6"); got != want {
			t.Errorf("release %d: %q, want %q", release, got, want)
		}
	}
}

// Release 1.0 divides at blanks, commas and newlines only; everything else follows 1.1.
func TestListsAreDividedAtAnyWhiteSpace(t *testing.T) {
	j, _ := loadTree(t, "-- jail.conf --\n[j]\nenabled = true\nignoreip = 192.0.2.1\t192.0.2.2,\t::1\u00a0h\n", Options{}).Jail("j")
	if want := []string{"192.0.2.1", "192.0.2.2", "::1", "h"}; !slices.Equal(j.IgnoreIP, want) {
		t.Errorf("got %q, want %q", j.IgnoreIP, want)
	}
}

func TestWhatFail2banPutsUpWithIsAWarning(t *testing.T) {
	c := loadTree(t, "-- jail.conf --\n[j]\nenabled = true\nusedns = maybe\nmaxretry = 0\nmaxmatches = -1\n", Options{})
	j, ok := c.Jail("j")
	if !ok || j.UseDNS != "no" || j.MaxRetry != 1 || j.MaxMatches != 0 {
		t.Errorf("jail %+v", j)
	}
	for _, key := range []string{"usedns", "maxretry", "maxmatches"} {
		if !slices.ContainsFunc(c.Problems, func(p Problem) bool { return p.Key == key && p.Severity == Warning && p.Jail == "j" }) {
			t.Errorf("no warning for %s: %v", key, c.Problems)
		}
	}
}

func TestOptionsCanEnableAJail(t *testing.T) {
	c := loadTree(t, "-- jail.conf --\n[a]\n[b]\nenabled = false\n[c]\n", Options{Enabled: []string{"b", "c"}})
	if got := names(c); got != "b c" {
		t.Errorf("jails %q", got)
	}
}

func stock() []fs.FS {
	filters := fstest.MapFS{
		"sshd.conf":   {Data: []byte("[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = stock %(p)s <HOST>\n")},
		"common.conf": {Data: []byte("[DEFAULT]\np = common\n")},
	}
	jails := fstest.MapFS{"jail.conf": {Data: []byte("[DEFAULT]\nfilter = %(__name__)s\n[sshd]\nenabled = true\n")}}
	return []fs.FS{Mount("filter.d", filters), jails}
}

func TestStockServesWhatTheFolderLacks(t *testing.T) {
	tests := map[string]struct{ tree, regex, file string }{
		"no folder at all":             {"", "stock common <HOST>", "stock:filter.d/sshd.conf"},
		"no such filter":               {"-- jail.conf --\n[sshd]\nenabled = true\nfilter = sshd\n", "stock common <HOST>", "stock:filter.d/sshd.conf"},
		"own filter, included part":    {"-- jail.conf --\n[sshd]\nenabled = true\nfilter = sshd\n-- filter.d/sshd.conf --\n[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = own %(p)s <HOST>\n", "own common <HOST>", "/etc/fail2ban/filter.d/sshd.conf"},
		"own filter, .local file only": {"-- jail.conf --\n[sshd]\nenabled = true\nfilter = sshd\n-- filter.d/sshd.local --\n[Definition]\nfailregex = own <HOST>\n", "own <HOST>", "/etc/fail2ban/filter.d/sshd.local"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := loadTree(t, tt.tree, Options{Stock: stock()})
			j, ok := c.Jail("sshd")
			if !ok {
				t.Fatalf("no jail: %v", c.Problems)
			}
			if !slices.Equal(j.FailRegex, []string{tt.regex}) || j.Origin("failregex").File != tt.file {
				t.Errorf("got %q from %s", j.FailRegex, j.Origin("failregex"))
			}
		})
	}
}

func TestLoadFailsOnlyWithoutAnyConfiguration(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"no folder":    fstest.MapFS{},
		"not a folder": fstest.MapFS{"etc/fail2ban": {Data: []byte("x")}},
		"no jail.conf": fstest.MapFS{"etc/fail2ban/fail2ban.conf": {}},
	} {
		if c, err := Load(Options{Files: fsys}); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestBounds(t *testing.T) {
	var deep strings.Builder
	for i := range 40 {
		fmt.Fprintf(&deep, "-- %d.conf --\n[INCLUDES]\nbefore = %d.conf\n", i, i+1)
	}
	var wide strings.Builder
	for i := range 16 {
		fmt.Fprintf(&wide, "-- %d.conf --\n[INCLUDES]\nbefore = %d.conf\n  %d.conf\n", i, i+1, i+1)
	}
	wide.WriteString("-- 16.conf --\n")
	var billion strings.Builder
	for i := range 9 {
		fmt.Fprintf(&billion, "a%d = %s\n", i, strings.Repeat(fmt.Sprintf("%%(a%d)s", i+1), 20))
	}
	tests := map[string]struct{ tree, want string }{
		"includes too deep":           {"-- jail.conf --\n[INCLUDES]\nbefore = 0.conf\n" + deep.String(), "too many includes"},
		"includes too many":           {"-- jail.conf --\n[INCLUDES]\nbefore = 0.conf\n" + wide.String(), "too many includes"},
		"a circle by way of a .local": {"-- jail.conf --\n[INCLUDES]\nbefore = a.conf\n-- a.conf --\n-- a.local --\n[INCLUDES]\nbefore = a.conf\n", "too many includes"},
		"file too large":              {"-- jail.conf --\n#" + strings.Repeat("x", maxFileSize) + "\n", "not read: larger than"},
		"value too long":              {"-- jail.conf --\n[j]\nenabled = 1\nusedns = %(a0)s\n" + billion.String() + "a9 = x\n", "references"},
		"empty values too many":       {"-- jail.conf --\n[j]\nenabled = 1\nusedns = %(a0)s\n" + billion.String() + "a9 =\n", "references"},
		"references too deep":         {"-- jail.conf --\n[j]\nenabled = 1\nusedns = %(x)s\nx = %(x)s\n", "more than 10 references within"},
		"tags without end":            {"-- jail.conf --\n[j]\nenabled = 1\nfilter = f\n-- filter.d/f.conf --\n[Definition]\nfailregex = <a>\n[Init]\na = <b>\nb = <a><a>\n", "makes the value longer than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := loadTree(t, tt.tree, Options{})
			if !slices.ContainsFunc(c.Errors(), func(p Problem) bool { return strings.Contains(p.Msg, tt.want) }) {
				t.Errorf("no problem with %q: %v", tt.want, c.Problems)
			}
		})
	}
}

func TestGlobalOptions(t *testing.T) {
	c := loadTree(t, "-- jail.conf --\n-- fail2ban.conf --\n[DEFAULT]\nloglevel = DEBUG\n[Definition]\nlogtarget = STDOUT\ndbpurgeage = 2d\ndbmaxmatches = x\nsocket = /s\n-- fail2ban.d/x.conf --\n[Definition]\ndbfile = None\n", Options{})
	g := c.Global
	if g.LogLevel != "DEBUG" || g.LogTarget != "STDOUT" || g.DBPurgeAge != 48*time.Hour || g.DBMaxMatches != 10 || g.Socket != "/s" || g.DBFile != "None" {
		t.Errorf("got %+v", g)
	}
	if g.Origin("dbfile").File != "/etc/fail2ban/fail2ban.d/x.conf" {
		t.Errorf("origin %v", g.Origin("dbfile"))
	}
	if errs := c.Errors(); len(errs) != 1 || errs[0].Key != "dbmaxmatches" {
		t.Errorf("problems %v", errs)
	}
}
