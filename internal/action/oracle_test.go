package action

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// recorder drives fail2ban's own actions, with its execution of commands replaced: each command, as the shell
// would be given it, is noted, and succeeds or fails as the script says.
const recorder = `
import json, logging, sys
logging.disable(logging.CRITICAL)
from fail2ban.server.utils import Utils
from fail2ban.server.server import Server
from fail2ban.server.action import CommandAction
from fail2ban.server.actions import Actions
from fail2ban.server.ticket import BanTicket
from fail2ban.server.ipdns import DNSUtils, IPAddr
DNSUtils.ipToName = staticmethod(lambda ip: None)
DNSUtils.getHostname = staticmethod(lambda fqdn=True: "host.example.org" if fqdn else "host")
import fail2ban.server.action as action_module
action_module.allowed_ipv6 = lambda: True
seen, fails = [], []
def execute(realCmd, timeout=60, shell=True, output=False, tout_kill_tree=True, success_codes=(0,), varsDict=None):
    if varsDict:
        realCmd = Utils.buildShellCmd(realCmd, varsDict)
    seen.append(realCmd if isinstance(realCmd, list) else [realCmd])
    return not (fails and fails.pop(0))
Utils.executeCmd = staticmethod(execute)
def ticket(t):
    b = BanTicket(t["ID"], float(t["Time"]), t["Matches"] or [])
    b.setBanTime(t["BanTime"])
    b.setBanCount(t["BanCount"])
    b.setAttempt(t["Failures"])
    data = dict(t["Captures"] or {})
    if t["IP"]: data["ip"] = IPAddr(t["IP"])
    if data: b.setData(**data)
    if t["Restored"]: b.restored = True
    return b
out = []
for q in json.load(sys.stdin):
    seen, fails = [], list(q["Fails"] or [])
    server = Server(daemon=False)
    server.addJail("j", "polling")
    jail = server._Server__jails["j"]
    jail.actions.setBanTime(600)
    a = CommandAction(jail, q["Name"])
    for name, value in q["Options"] or []:
        setattr(a, name, value)
    for name, value in q["Params"] or []:
        setattr(a, name, value)
    steps = []
    for step in q["Steps"]:
        seen.clear()
        op = step["Op"]
        try:
            if op == "start": a.start()
            elif op == "stop": a.stop()
            elif op == "flush": a.flush()
            elif op == "reload": a.reload()
            else:
                info = Actions.ActionInfo(ticket(step["Ticket"]), jail)
                if op == "ban":
                    if step["Ticket"]["Restored"] and getattr(a, "norestored", False): pass
                    else: a.ban(info)
                elif op == "unban": a.unban(info)
                elif op == "prolong":
                    if step["Ticket"]["Restored"] and getattr(a, "norestored", False): pass
                    elif a._prolongable: a.prolong(info)
        except (RuntimeError, ValueError) as e:
            if "self referencing" in str(e): seen = None
        steps.append(None if seen is None else [list(x) for x in seen])
        if seen is None: seen = []
    out.append(steps)
json.dump(out, sys.stdout)
`

type oracleTicket struct {
	ID, IP                      string
	Time                        float64
	BanTime, BanCount, Failures int
	Matches                     []string
	Captures                    map[string]string
	Restored                    bool
}

func (o oracleTicket) ticket() Ticket {
	var ip ident.ID
	if o.IP != "" {
		ip = ident.Parse(o.IP)
	}
	return Ticket{
		ID: ident.Parse(o.ID), IP: ip, Time: time.UnixMicro(int64(math.Round(o.Time * 1e6))), BanTime: time.Duration(o.BanTime) * time.Second,
		BanCount: o.BanCount, Failures: o.Failures, Matches: o.Matches, Captures: o.Captures, Restored: o.Restored,
	}
}

type oracleStep struct {
	Op     string
	Ticket *oracleTicket
}

func (s oracleStep) about() string {
	if s.Ticket == nil {
		return ""
	}
	return s.Ticket.ID
}

type oracleQuestion struct {
	Name            string
	Options, Params [][2]any
	Fails           []bool
	Steps           []oracleStep

	definition Definition
}

// question makes the same question for both sides of an action as the configuration gives it.
func question(a *config.Action) oracleQuestion {
	q := oracleQuestion{Name: a.Name, definition: Definition{Jail: "j", Name: a.Name, BanTime: 600 * time.Second}}
	for _, p := range a.Options {
		q.definition.Options = append(q.definition.Options, Param{p.Name, p.Value})
		q.Options = append(q.Options, [2]any{p.Name, typedOption(p.Name, p.Value)})
	}
	for _, p := range a.Params {
		q.definition.Params = append(q.definition.Params, Param{p.Name, p.Value})
		q.Params = append(q.Params, [2]any{p.Name, p.Value})
	}
	return q
}

// typedOption is a switch as fail2ban's client sends it: not as text.
func typedOption(name, value string) any {
	switch name {
	case "norestored", "actionstart_on_demand", "actionrepair_on_unban":
		return isTrue(value)
	}
	return value
}

// ours carries the steps out and gives the commands of each.
func (q *oracleQuestion) ours(t *testing.T) [][][]string {
	t.Helper()
	o := Options{Hostname: "host", FQDN: "host.example.org", Counts: func() Counts { return Counts{} }}
	p, err := compile(q.definition, &o)
	if err != nil {
		t.Fatalf("%s: %v", q.Name, err)
	}
	fails := slices.Clone(q.Fails)
	var seen [][]string
	m := &machine{program: p, options: &o, record: func(Event) {}, executed: map[string]map[string]string{}}
	m.execute = func(_ context.Context, _ string, c Command, _ time.Duration) bool {
		seen = append(seen, append([]string{c.Script}, c.Args...))
		failed := len(fails) > 0 && fails[0]
		if len(fails) > 0 {
			fails = fails[1:]
		}
		return !failed
	}
	var all [][][]string
	for _, step := range q.Steps {
		seen = [][]string{}
		var err error
		switch step.Op {
		case "start":
			err = m.start(t.Context())
		case "stop":
			err = m.stop(t.Context())
		case "flush":
			err = m.flush(t.Context())
		case "reload":
			err = m.reload(t.Context())
		case "ban":
			if tk := step.Ticket.ticket(); !p.skips(&tk) {
				err = m.ban(t.Context(), tk)
			}
		case "unban":
			err = m.unban(t.Context(), step.Ticket.ticket())
		case "prolong":
			if tk := step.Ticket.ticket(); !p.skips(&tk) {
				err = m.prolong(t.Context(), tk)
			}
		}
		_ = err // what follows from it is in the commands
		all = append(all, seen)
	}
	return all
}

// askFail2ban gives the commands that fail2ban executes in each step of each question; nil for a step in which
// it meets an option that refers to itself.
func askFail2ban(t *testing.T, questions []oracleQuestion) (commands [][][][]string) {
	t.Helper()
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	oracle.JSON(t, recorder, in, &commands)
	return commands
}

// compareCommands asks fail2ban all questions and compares.
func compareCommands(t *testing.T, questions []oracleQuestion) (commands int) {
	t.Helper()
	want := askFail2ban(t, questions)
	for i, q := range questions {
		got := q.ours(t)
		for s := range q.Steps {
			commands += len(want[i][s])
			if !slices.EqualFunc(got[s], want[i][s], slices.Equal[[]string]) {
				t.Errorf("%s, step %d, %s %s:\n got %.1500q\nwant %.1500q", q.Name, s, q.Steps[s].Op, q.Steps[s].about(), got[s], want[i][s])
				break
			}
		}
	}
	return commands
}

// debianActions are all actions of Debian's package, as jails have them that name one each.
func debianActions(t *testing.T) []*config.Action {
	t.Helper()
	root := filepath.Join(oracle.Fail2ban(t), "etc/fail2ban")
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "action.d"), filepath.Join(dir, "action.d")); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "action.d/*.conf"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d actions, %v", len(files), err)
	}
	var b strings.Builder
	b.WriteString("[DEFAULT]\nenabled = true\nlogpath = /dev/null\nfailregex = x <HOST>\n")
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".conf")
		fmt.Fprintf(&b, "[%s]\naction = %s[port=\"ssh,80\", protocol=tcp, dest=root@example.org]\n", name, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{Dir: dir, Release: config.Release10})
	if err != nil {
		t.Fatal(err)
	}
	var list []*config.Action
	for i := range c.Jails {
		for k := range c.Jails[i].Actions {
			list = append(list, &c.Jails[i].Actions[k])
		}
	}
	for _, p := range c.Problems {
		if p.Severity == config.Error {
			t.Log(p.Error()) // common parts that are no actions of their own
		}
	}
	if len(list) < 50 {
		t.Fatalf("only %d of %d actions could be read", len(list), len(files))
	}
	return list
}

// hostileTexts are values that somebody may get into a log.
var hostileTexts = []string{
	"'; touch /tmp/x; '", "$(id)", "`id`", "a\nb", "line\r\nend", `back\slash "quoted"`, "ünïcödé ☃", "plain words", "",
	strings.Repeat("long ", 800), "${IFS}", "<ip> <matches>", "a|b&c>d<e", "~root * ? [x]", "%s %(x)s",
}

// tickets are bans of each kind of ID, with harmless and hostile values.
func oracleTickets() []*oracleTicket {
	list := []*oracleTicket{
		{ID: "192.0.2.1", Time: 1795353917, BanTime: 600, BanCount: 1, Failures: 3, Matches: []string{"harmless line from 192.0.2.1"}},
		{ID: "2001:db8::1", Time: 1795353917.25, BanTime: -1, BanCount: 2, Failures: 5, Matches: hostileTexts, Captures: map[string]string{"user": hostileTexts[0], "fport": "22"}},
		{ID: "192.0.2.0/24", Time: 1795353917, BanTime: 86400, BanCount: 1},
		{ID: "192.0.2.7", Time: 1795353917, BanTime: 600, BanCount: 1, Failures: 1, Restored: true, Matches: []string{"x"}},
	}
	for i, text := range hostileTexts {
		list = append(list, &oracleTicket{
			ID: fmt.Sprintf("192.0.2.%d", 100+i), Time: 1795353917, BanTime: 600, BanCount: 1, Failures: 2, Matches: []string{text, text},
			Captures: map[string]string{"user": text, "alt_user": text + text},
		})
	}
	return append(list, &oracleTicket{ID: "some'; $(text)", Time: 1795353917, BanTime: 600, BanCount: 1, Failures: 2}, &oracleTicket{ID: "word", Time: 1795353917, BanTime: 60, BanCount: 1})
}

// TestCommandsAreThoseOfFail2ban for every action of Debian's, for every operation, every kind of ID and for
// values that try to break out.
func TestCommandsAreThoseOfFail2ban(t *testing.T) {
	var questions []oracleQuestion
	list := debianActions(t)
	for _, a := range list {
		q := question(a)
		q.Steps = append(q.Steps, oracleStep{Op: "start"})
		tickets := oracleTickets()
		for _, tk := range tickets {
			q.Steps = append(q.Steps, oracleStep{"ban", tk})
		}
		q.Steps = append(q.Steps, oracleStep{"prolong", tickets[0]}, oracleStep{"prolong", tickets[1]}, oracleStep{Op: "reload"})
		for _, tk := range tickets {
			q.Steps = append(q.Steps, oracleStep{"unban", tk})
		}
		q.Steps = append(q.Steps, oracleStep{"ban", tickets[0]}, oracleStep{"ban", tickets[1]}, oracleStep{Op: "flush"}, oracleStep{Op: "stop"}, oracleStep{"ban", tickets[0]}, oracleStep{Op: "stop"})
		questions = append(questions, q)
	}
	n := compareCommands(t, questions)
	t.Logf("%d actions, %d commands", len(list), n)
	if n < 1500 {
		t.Errorf("only %d commands: too few to mean something", n)
	}
}

// TestEveryFlushIsExecuted: fail2ban leaves the second one out, where its text is that of the first, and the
// firewall keeps bans that are over.
func TestEveryFlushIsExecuted(t *testing.T) {
	tk, six := oracleTickets()[0], oracleTickets()[1]
	q := question(&config.Action{Name: "x", Options: []config.Param{{Name: "actionban", Value: "ban <ip>"}, {Name: "actionflush", Value: "flush"}, {Name: "actionban?family=inet6", Value: "ban6 <ip>"}}})
	q.Steps = []oracleStep{{"ban", tk}, {"ban", six}, {Op: "flush"}, {Op: "stop"}, {"ban", tk}, {Op: "flush"}}
	in, err := json.Marshal([]oracleQuestion{q})
	if err != nil {
		t.Fatal(err)
	}
	var theirs [][][][]string
	oracle.JSON(t, recorder, in, &theirs)
	ours := q.ours(t)
	if len(ours[2]) != 1 || len(ours[5]) != 1 || len(theirs[0][2]) != 1 {
		t.Errorf("%q, fail2ban: %q", ours, theirs)
	}
	if len(theirs[0][5]) != 0 {
		t.Error("fail2ban executes the second flush, too: this is no difference any more")
	}
}

// TestFailingCommandsAreMetAsByFail2ban: checks, repairs, starts anew and second tries, by chance.
func TestFailingCommandsAreMetAsByFail2ban(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	list := debianActions(t)
	var questions []oracleQuestion
	for i := range 400 {
		q := question(list[r.IntN(len(list))])
		if i%2 == 0 {
			q = madeUp(r)
		}
		tickets := oracleTickets()
		q.Steps = append(q.Steps, oracleStep{Op: "start"})
		for range 25 {
			tk := tickets[r.IntN(len(tickets))]
			switch n := r.IntN(20); {
			case n < 9:
				q.Steps = append(q.Steps, oracleStep{"ban", tk})
			case n < 15:
				q.Steps = append(q.Steps, oracleStep{"unban", tk})
			case n < 17:
				q.Steps = append(q.Steps, oracleStep{"prolong", tk})
			case n < 18:
				q.Steps = append(q.Steps, oracleStep{Op: "reload"})
			default:
				q.Steps = append(q.Steps, oracleStep{Op: "stop"})
			}
		}
		for range 120 {
			q.Fails = append(q.Fails, r.IntN(4) == 0)
		}
		questions = append(questions, q)
	}
	if n := compareCommands(t, questions); n < 5000 {
		t.Errorf("only %d commands: too few to mean something", n)
	}
}

// madeUp is an action with operations and switches by chance.
func madeUp(r *rand.Rand) oracleQuestion {
	a := &config.Action{Name: "made-up"}
	for _, op := range []string{"actionstart", "actionstop", "actioncheck", "actionrepair", "actionban", "actionunban", "actionflush", "actionreload", "actionreban", "actionprolong"} {
		if r.IntN(3) == 0 && op != "actionban" {
			continue
		}
		a.Options = append(a.Options, config.Param{Name: op, Value: op + " <ip> <family> <x> <bancount>"})
		if r.IntN(4) == 0 {
			a.Options = append(a.Options, config.Param{Name: op + "?family=inet6", Value: op + " six <ip> <family> <x>"})
		}
	}
	for _, s := range []string{"actionstart_on_demand", "norestored", "actionrepair_on_unban"} {
		if r.IntN(3) == 0 {
			a.Options = append(a.Options, config.Param{Name: s, Value: []string{"True", "False"}[r.IntN(2)]})
		}
	}
	a.Params = append(a.Params, config.Param{Name: "x", Value: "for all"}, config.Param{Name: "name", Value: "n"}, config.Param{Name: "actname", Value: "made-up"})
	if r.IntN(2) == 0 {
		a.Params = append(a.Params, config.Param{Name: "x?family=inet6", Value: "for six"})
	}
	if r.IntN(6) == 0 {
		a.Params = append(a.Params, config.Param{Name: "families", Value: []string{"inet6", "inet6, inet4", "inet4\ninet6", ""}[r.IntN(4)]})
	}
	return question(a)
}
