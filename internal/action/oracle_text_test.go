package action

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/config"
)

// TestEveryTagIsFail2bans: each with each kind of ticket, quoted and not, and where nothing is known.
func TestEveryTagIsFail2bans(t *testing.T) {
	tags := []string{
		"ip", "fid", "family", "ip-rev", "ip-host", "failures", "time", "bantime", "bancount", "matches", "restored",
		"ipmatches", "ipjailmatches", "ipfailures", "ipjailfailures", "raw-ticket", "jail.banned", "jail.banned_total",
		"jail.found", "jail.found_total", "fq-hostname", "sh-hostname", "br", "sp", "unknown", "F-USER", "F-ALT_USER",
		"F-ID", "F-PORT", "F-NOBODY", "F-IP", "F-user", "F-A-B", "F-", "", " ip", "ip ", "IP", "name", "actname", "timeout",
		"x", "y", "<ip>", "ip><ip", "z", "time>.<ip",
	}
	r := rand.New(rand.NewPCG(1, 4))
	tickets := append(oracleTickets(),
		&oracleTicket{ID: "user-7", IP: "192.0.2.9", Time: 1795353917, BanTime: 60, BanCount: 1, Failures: 1, Matches: []string{"$x"}, Captures: map[string]string{"fid": "user-7", "user": "$(x)", "fport": "22"}},
		&oracleTicket{ID: "$(user)", IP: "2001:db8::9", Time: 1795353917, BanTime: 60, BanCount: 1, Captures: map[string]string{"fid": "$(user)", "a-b": "it's", "port": "no"}},
		&oracleTicket{ID: "2001:db8:1::/48", Time: 1795353917, BanTime: 60, BanCount: 1},
	)
	for range 20 {
		tickets = append(tickets, &oracleTicket{ID: "192.0.2.3", Time: float64(1795353917000000+r.Int64N(1e12)) / 1e6, BanTime: 60, BanCount: 1, Matches: []string{"control \x01\x7f\u0085\u200b\u2028 tab\t", "'"}})
	}
	var questions []oracleQuestion
	for _, tag := range tags {
		q := question(&config.Action{
			Name:    "act",
			Options: []config.Param{{Name: opBan, Value: `echo <` + tag + `> "<` + tag + `>" <sp>'<` + tag + `>'`}, {Name: opUnban, Value: "<" + tag + ">"}, {Name: opStart, Value: "start <" + tag + ">"}, {Name: opStop, Value: "stop <" + tag + ">"}},
			Params:  []config.Param{{Name: "name", Value: "n"}, {Name: "actname", Value: "act"}, {Name: "x", Value: "<y>; <ip>"}, {Name: "y", Value: "$(y) '<matches>'"}, {Name: "z", Value: "<z<sp>>"}},
		})
		timed := strings.HasPrefix(tag, "time>") || tag == "time" || tag == "raw-ticket"
		if !timed { // the time of a start is now
			q.Steps = []oracleStep{{Op: "start"}}
		}
		for _, tk := range tickets {
			q.Steps = append(q.Steps, oracleStep{"ban", tk}, oracleStep{"unban", tk})
		}
		if !timed {
			q.Steps = append(q.Steps, oracleStep{Op: "stop"})
		}
		questions = append(questions, q)
	}
	if n := compareCommands(t, questions); n < 1000 {
		t.Errorf("only %d commands: too few to mean something", n)
	}
}

// TestTextsOfRandomActionsAreFail2bans: options that name each other, with variants for families, tags of bans
// and pieces of tags.
func TestTextsOfRandomActionsAreFail2bans(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 6))
	names := []string{"a", "b", "c-d", "e_f", "matches", "family", "name", opCheck}
	pieces := []string{
		"<ip>", "<family>", "<matches>", "<F-USER>", "<x>", "<", ">", "<<a>>", "<a", "b>", "<br>", "<sp>", "'", "$x", " ", "word", "\n",
		"<fid", "<ip-<e_f>>", "rev", "?", "\\", "<name>", "<unknown>", "<a?family=inet6>", "<bancount>", "é",
	}
	for _, n := range names {
		pieces = append(pieces, "<"+n+">")
	}
	text := func() string {
		var b strings.Builder
		for range r.IntN(5) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	tickets := oracleTickets()
	var questions []oracleQuestion
	for range 1200 {
		a := &config.Action{Name: "act"}
		for _, op := range []string{opStart, opBan, opUnban, opStop, opReload} {
			a.Options = append(a.Options, config.Param{Name: op, Value: op + " " + text()})
			if r.IntN(4) == 0 {
				a.Options = append(a.Options, config.Param{Name: op + "?family=inet6", Value: op + " six " + text()})
			}
		}
		a.Params = []config.Param{{Name: "name", Value: "n"}, {Name: "actname", Value: "act"}}
		for _, n := range names[:len(names)-2] {
			for _, suffix := range []string{"", "?family=inet4", "?family=inet6"} {
				if r.IntN(3) == 0 {
					a.Params = append(a.Params, config.Param{Name: n + suffix, Value: text()})
				}
			}
		}
		q := question(a)
		if _, err := New(q.definition, Options{}); err != nil {
			continue // a circle, with which fail2ban may not come to an end
		}
		q.Steps = []oracleStep{{Op: "start"}, {"ban", tickets[4]}, {"ban", tickets[1]}, {"unban", tickets[1]}, {Op: "reload"}, {Op: "stop"}}
		questions = append(questions, q)
	}
	var sound []oracleQuestion
	for i, steps := range askFail2ban(t, questions) {
		if !slices.ContainsFunc(steps, func(commands [][]string) bool { return commands == nil }) {
			sound = append(sound, questions[i]) // the rest is TestACircleThatAVariantBreaksIsNone
		}
	}
	if n := compareCommands(t, sound); n < 2000 || len(questions)-len(sound) > len(questions)/50 {
		t.Errorf("%d commands of %d actions, and fail2ban refuses %d: too few to mean something", n, len(sound), len(questions)-len(sound))
	}
}

// TestCirclesAreRefusedAsByFail2ban: by us before anything runs, with the option's name.
func TestCirclesAreRefusedAsByFail2ban(t *testing.T) {
	circles := map[string][]config.Param{
		"itself":                      {{Name: "a", Value: "x<a>"}},
		"by way of another":           {{Name: "a", Value: "<b>"}, {Name: "b", Value: "<a>"}},
		"by way of two":               {{Name: "a", Value: "<b>"}, {Name: "b", Value: "<c>"}, {Name: "c", Value: "(<a>)"}},
		"an operation":                {{Name: "a", Value: "<actionban>"}},
		"for one family":              {{Name: "a", Value: "<b>"}, {Name: "b", Value: "x"}, {Name: "b?family=inet4", Value: "<a>"}},
		"where nobody needs it":       {{Name: "a", Value: "x"}, {Name: "y", Value: "<y>"}},
		"a name that is put together": {{Name: "a", Value: "<<b>>"}, {Name: "b", Value: "a"}},
	}
	var names []string
	var questions []oracleQuestion
	for name, params := range circles {
		q := question(&config.Action{Name: "act", Options: []config.Param{{Name: opBan, Value: "ban <a>"}}, Params: params})
		q.Steps = []oracleStep{{"ban", oracleTickets()[0]}}
		if _, err := New(q.definition, Options{}); !errors.Is(err, errSelf) || !strings.Contains(err.Error(), "option ") {
			t.Errorf("%s: %v", name, err)
		}
		names, questions = append(names, name), append(questions, q)
	}
	for i, steps := range askFail2ban(t, questions) {
		if steps[0] != nil {
			t.Errorf("%s: fail2ban takes it: %q", names[i], steps)
		}
	}
}

// TestACircleThatAVariantBreaksIsNone: b names a, whose variant for the family names nothing, so that what b
// becomes is plain. fail2ban refuses it, since it looks for the name in what comes of it.
func TestACircleThatAVariantBreaksIsNone(t *testing.T) {
	q := question(&config.Action{
		Name:    "act",
		Options: []config.Param{{Name: opBan, Value: "ban <b>"}},
		Params:  []config.Param{{Name: "a", Value: "<b>"}, {Name: "b", Value: "one"}, {Name: "b?family=inet4", Value: "<a>"}, {Name: "a?family=inet4", Value: "four"}},
	})
	q.Steps = []oracleStep{{"ban", oracleTickets()[0]}}
	if got := q.ours(t); len(got[0]) != 1 || got[0][0][0] != "ban four" {
		t.Errorf("%q", got)
	}
	if theirs := askFail2ban(t, []oracleQuestion{q}); theirs[0][0] != nil {
		t.Errorf("fail2ban takes it: %q", theirs)
	}
}
