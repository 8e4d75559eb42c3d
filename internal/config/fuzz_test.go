package config

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

func FuzzINI(f *testing.F) {
	f.Add("[DEFAULT]\na = 1 ; x\n  2\n\n[s]\nb: %(a)s\n")
	f.Add("\ufeff[a]b]\nk\n[s]\nk = \xff\n[s]\nk=1\nk=2\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := parseINI("f", text)
		for _, s := range append([]*section{file.defaults}, file.sections...) {
			for _, k := range s.keys {
				e := s.byKey[k]
				if !utf8.ValidString(e.value) || e.value != strings.TrimRightFunc(e.value, isSpace) {
					t.Errorf("%s/%s = %q", s.name, k, e.value)
				}
				if e.at.Line < 1 || e.at.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
					t.Errorf("%s/%s is said to stand in line %d", s.name, k, e.at.Line)
				}
			}
		}
		if len(file.problems) > maxReported+1 {
			t.Errorf("%d problems", len(file.problems))
		}
		for _, p := range file.problems {
			if strings.ContainsAny(p.Error(), "\n\r") {
				t.Errorf("a problem of several lines: %q", p.Error())
			}
		}
	})
}

func FuzzSpec(f *testing.F) {
	f.Add(`a[b="c", d='e'] [f=g]`)
	f.Add("a[b=\n,] c d[e?f=g=\"]")
	f.Fuzz(func(t *testing.T, text string) {
		one, err := ParseSpec(text)
		many, manyErr := SplitSpecs(text)
		if err == nil && !strings.ContainsFunc(one.Name, isSpace) && (manyErr != nil || len(many) != 1 && one.Name != "") {
			t.Errorf("alone %+v, in a list %+v, %v", one, many, manyErr)
		}
		for _, s := range append(many, one) {
			seen := map[string]bool{}
			for _, p := range s.Params {
				if p.Name == "" || seen[p.Name] {
					t.Errorf("parameter %q in %+v", p.Name, s)
				}
				seen[p.Name] = true
			}
		}
	})
}

func FuzzTags(f *testing.F) {
	f.Add("<a-<b>>", "x", "<c>", "y<d>")
	f.Add("<a><a>", "<b><b>", "<a>", "")
	f.Fuzz(func(t *testing.T, value, a, b, c string) {
		known := map[string]string{"a": a, "b": b, "c": c}
		tags := tagger{lookup: func(tag string) (string, bool, error) {
			v, ok := known[tag]
			return v, ok, nil
		}}
		got, err := tags.expand("self", value)
		if err != nil {
			return
		}
		if len(got) > max(maxValue, len(value)) {
			t.Errorf("%d bytes", len(got))
		}
		for tag := range known {
			if strings.Contains(got, "<"+tag+">") {
				t.Errorf("<%s> is left in %q", tag, got)
			}
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"1d 12h", "1h30", "-1", "(1+2)*3m", "1.5h", "2**3", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseTime(s); err == nil && d.Abs() > MaxTime {
			t.Errorf("%q is %v", s, d)
		}
	})
}

// FuzzLoad reads a tree: the input is the text of its files behind each other.
func FuzzLoad(f *testing.F) {
	f.Add("[DEFAULT]\nenabled = true\nfilter = f[a=%(__name__)s]\naction = a[b=<c>]\n[j]\nmaxretry=1\n", "[INCLUDES]\nbefore = g.conf\n[Definition]\nfailregex = <x> <a>\n[Init]\nx = 1\n",
		"[Definition]\nactionban = <b> <d/e>\n[Init?family=inet6]\nb = 6\n[d]\ne=%(b)s\n", "[j]\nfailregex = %(known/failregex)s\n")
	trees := make([]string, 0, 256)
	for _, tt := range dialect {
		trees = append(trees, tt.tree)
	}
	for _, tt := range hostileTrees() {
		trees = append(trees, tt.tree)
	}
	f.Add("[j]\n", "", "", "[DEFAULT]\na = 192.0.2.1\n[firewall]\nbackend = nft\ncut = no\nhits = perhaps\nallow = %(a)s x.org 10.0.0.0/33\n[firewall x]\n")
	slices.Sort(trees)
	for _, tree := range trees {
		files := parseTree(tree)
		f.Add(files["jail.conf"], files["filter.d/f.conf"], files["action.d/a.conf"], files["jail.local"])
	}
	f.Fuzz(func(t *testing.T, jails, filter, action, local string) {
		fsys := fstest.MapFS{}
		for name, text := range map[string]string{
			"jail.conf": jails, "jail.local": local, "filter.d/f.conf": filter, "action.d/a.conf": action, "fail2ban.conf": filter, "agent.conf": local,
		} {
			fsys["etc/fail2ban/"+name] = &fstest.MapFile{Data: []byte(text)}
		}
		c, err := Load(Options{Files: fsys, Stock: []fs.FS{fsys}})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Stream()) < 6 {
			t.Errorf("a stream of %d commands", len(c.Stream()))
		}
		if f := c.Agent.Firewall; f.Backend == "" || f.Feeds == "" {
			t.Errorf("agent.conf says %+v", f)
		}
		off := map[string]bool{}
		for _, p := range c.Errors() {
			off[p.Jail] = true
		}
		for _, j := range c.Jails {
			if off[j.Name] || j.MaxRetry < 1 || j.FindTime <= 0 || j.MaxLines < 1 {
				t.Errorf("jail %+v has an error or a senseless value", j)
			}
		}
	})
}
