package action

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// TestWhatIsKnownOfAnIDComesFromTheDaemon: in its jail and in all, and the ticket's own where it knows nothing.
func TestWhatIsKnownOfAnIDComesFromTheDaemon(t *testing.T) {
	tk := of("192.0.2.1")
	tk.Matches, tk.Failures = []string{"own"}, 2
	const text = "<ipmatches>|<ipfailures>|<ipjailmatches>|<ipjailfailures>|<ip-host>|<jail.name>|<jail.banned>|<jail.banned_total>|<jail.found>|<jail.found_total>"
	expand := func(o *Options, tk Ticket) string {
		p, err := compile(Definition{Jail: "sshd", Name: "a"}, o)
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{program: p, options: o}
		c, err := Expand(text, m.values(tk, tk.family(), false))
		if err != nil {
			t.Fatal(err)
		}
		return c.Script
	}
	all := &Options{
		Host: func(id ident.ID) string { return "host-of-" + id.String() },
		History: func(id ident.ID, allJails bool) ([]string, int, bool) {
			if allJails {
				return []string{"one of " + id.String(), "two"}, 9, true
			}
			return []string{"one"}, 4, true
		},
		Counts: func() Counts { return Counts{1, 2, 3, 4} },
	}
	want := "f2bV_ipmatches=$0 \n$f2bV_ipmatches|9|one|4|host-of-192.0.2.1|sshd|1|2|3|4"
	if got := expand(all, tk); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	unknown := &Options{
		Host:    func(ident.ID) string { return "" },
		History: func(ident.ID, bool) ([]string, int, bool) { return nil, 0, false },
	}
	for _, o := range []*Options{unknown, {}} {
		if got := expand(o, tk); got != "own|2|own|2|None|sshd|0|0|0|0" {
			t.Errorf("%q", got)
		}
	}
	word := tk
	word.ID = ident.Parse("word")
	if got := expand(all, word); !strings.Contains(got, "|None|") {
		t.Errorf("a name for what is no address: %q", got)
	}
}

// TestValuesAreAskedForOnce, and only where a tag wants them: they may take their time.
func TestValuesAreAskedForOnce(t *testing.T) {
	asked := 0
	o := &Options{Host: func(ident.ID) string { asked++; return "host" }, History: func(ident.ID, bool) ([]string, int, bool) {
		t.Error("nobody wants the history")
		return nil, 0, false
	}}
	p, err := compile(ops(opBan, "<ip-host> <ip-host> '<ip-host>'"), o)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{program: p, options: o}
	if _, err := Expand(p.text(opBan, "inet4"), m.values(of("192.0.2.1"), "inet4", false)); err != nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

// FuzzDefinition: whatever an action's options say, it is made ready within bounds or refused, and what a ban
// brings never becomes part of a script.
func FuzzDefinition(f *testing.F) {
	f.Add("ban <a> <matches>", "<b>", "<a>", "a", "b", "$(id)")
	f.Add("ban <a?family=inet4> <<b>>", "<matches>", "x", "a?family=inet4", "b", "`x`")
	f.Add("<a><a><a><a>", "<b><b><b><b><b><b><b><b>", strings.Repeat("<c>", 60000), "a", "b", "'")
	f.Add("<matches> <ipmatches>", "<m<b>", "atches>", "matches", "b", "\"")
	f.Fuzz(func(t *testing.T, ban, one, two, name, other, value string) {
		d := ops(opBan, ban, name, one, other, two)
		o := &Options{}
		p, err := compile(d, o)
		if err != nil {
			return
		}
		tk := of("192.0.2.1")
		script := func(value string) Command {
			tk.Matches, tk.Captures = []string{value}, map[string]string{"user": value}
			m := &machine{program: p, options: o}
			c, err := Expand(p.text(opBan, "inet4"), m.values(tk, "inet4", false))
			if err != nil && !errors.Is(err, ErrTooLong) {
				t.Fatal(err)
			}
			return c
		}
		if !strings.ContainsAny(value, shellSpecial) {
			return
		}
		c, plain := script(value), script("$")
		if c.Script != plain.Script && !c.Cut && !plain.Cut {
			t.Fatalf("the script depends on the value %q: %q, %q", value, c.Script, plain.Script)
		}
		if len(c.Script) > maxArgument {
			t.Fatalf("a script of %d bytes", len(c.Script))
		}
	})
}

// FuzzListen: what an action in Python prints where the answers belong is read to its end, or refused.
func FuzzListen(f *testing.F) {
	f.Add("{\"done\": true}\n{\"ask\": \"ip\"}\n")
	f.Add("{\"done\": 1}\n")
	f.Add("{\"has\": [\"ban\"], \"error\": \"x\"}")
	f.Fuzz(func(t *testing.T, text string) {
		answers := make(chan answer)
		go listen(io.LimitReader(strings.NewReader(text), 1<<20), answers)
		n := 0
		for range answers {
			n++
		}
		if lines := strings.Count(text, "\n") + 1; n > lines {
			t.Fatalf("%d answers in %d lines", n, lines)
		}
	})
}

// TestOptionsThatGrowWithoutBoundsAreRefused, and soon: each level doubles the one below.
func TestOptionsThatGrowWithoutBoundsAreRefused(t *testing.T) {
	d := ops(opBan, "<a0>")
	for i := range 60 {
		name := func(n int) string { return "a" + string(rune('0'+n/10)) + string(rune('0'+n%10)) }
		d.Options = append(d.Options, Param{name(i), "<" + name(i+1) + "> <" + name(i+1) + ">"})
	}
	d.Options = append(d.Options, Param{"a0", "<a00>"}, Param{"a60", "x"})
	d.Jail, d.Name, d.Timeout = "sshd", "mine", time.Second
	_, err := New(d, Options{})
	if err == nil || !strings.Contains(err.Error(), "jail sshd, action mine: option a") || !strings.Contains(err.Error(), "grows beyond") {
		t.Errorf("%v", err)
	}
}
