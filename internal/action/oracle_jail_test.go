package action

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// jailRecorder drives what decides in fail2ban when an action is called: bans, failures of those who are
// banned, the end of one ban or of all. Commands are noted as by recorder.
const jailRecorder = `
import json, logging, sys
logging.disable(logging.CRITICAL)
from fail2ban.server.utils import Utils
from fail2ban.server.server import Server
from fail2ban.server.action import CommandAction
from fail2ban.server.mytime import MyTime
from fail2ban.server.ticket import FailTicket
import fail2ban.server.action as action_module
action_module.allowed_ipv6 = lambda: True
seen, fails = [], []
def execute(realCmd, timeout=60, shell=True, output=False, tout_kill_tree=True, success_codes=(0,), varsDict=None):
    if varsDict:
        realCmd = Utils.buildShellCmd(realCmd, varsDict)
    seen.append(realCmd if isinstance(realCmd, list) else [realCmd])
    return not (fails and fails.pop(0))
Utils.executeCmd = staticmethod(execute)
out = []
for q in json.load(sys.stdin):
    seen, fails = [], list(q["Fails"])
    jail = None
    server = Server(daemon=False)
    server.addJail("j", "polling")
    actions = server._Server__jails["j"].actions
    actions.setBanTime(100000)
    a = CommandAction(server._Server__jails["j"], "made-up")
    for name, value in q["Options"] + q["Params"]:
        setattr(a, name, value)
    actions._actions["made-up"] = a
    now, steps = 1795353917, []
    for step in q["Steps"]:
        seen.clear()
        now += step["Wait"]
        MyTime.setTime(now)
        op = step["Op"]
        if step["Text"]:
            a.actionflush = step["Text"]
        try:
            if op == "start": a.start()
            elif op == "failure": actions._Actions__checkBan([FailTicket(step["ID"], now, [])])
            elif op == "unban": actions.removeBannedIP(step["ID"], db=False, ifexists=True)
            elif op == "flush": actions._Actions__flushBan()
            elif op == "end": actions._Actions__flushBan(stop=True)
        except RuntimeError:
            pass
        if op == "end": actions.stopActions()
        steps.append([list(x) for x in seen])
    out.append(steps)
json.dump(out, sys.stdout)
`

// jailStep is something that happens in a jail, some seconds after the step before it.
type jailStep struct {
	Op   string
	ID   string
	Wait int
	Text string // of a new actionflush, for a flush
}

type jailQuestion struct {
	Options, Params [][2]any
	Fails           []bool
	Steps           []jailStep

	definition Definition
}

// ours lets the steps happen to a runner and gives the commands of each.
func (q *jailQuestion) ours(t *testing.T) [][][]string {
	t.Helper()
	r, err := New(q.definition, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fails, seen := slices.Clone(q.Fails), [][]string{}
	m := r.does.(*machine)
	m.execute = func(_ context.Context, _ string, c Command, _ time.Duration) bool {
		seen = append(seen, append([]string{c.Script}, c.Args...))
		failed := len(fails) > 0 && fails[0]
		fails = fails[min(1, len(fails)):]
		return !failed
	}
	var banned []Ticket
	find := func(id string) int {
		return slices.IndexFunc(banned, func(b Ticket) bool { return b.ID.String() == id })
	}
	var all [][][]string
	for _, step := range q.Steps {
		seen = [][]string{}
		time.Sleep(time.Duration(step.Wait) * time.Second) // in the bubble's time
		at := find(step.ID)
		w := wish{kind: wishStart}
		switch {
		case step.Op == "start":
		case step.Op == "failure" && at < 0:
			w.kind, w.ticket = wishBan, Ticket{ID: ident.Parse(step.ID), Time: time.Now(), BanTime: time.Hour, BanCount: 1}
			banned = append(banned, w.ticket)
		case step.Op == "failure":
			w.kind, w.again = wishAgain, Again{Ticket: banned[at], Failure: time.Now()}
		case step.Op == "unban" && at < 0:
			all = append(all, seen)
			continue
		case step.Op == "unban":
			w.kind, w.ticket = wishUnban, banned[at]
			banned = slices.Delete(banned, at, at+1)
		default:
			w.kind, w.tickets, banned = wishFlush, banned, nil
			if step.Text != "" {
				q.definition.Options = append(q.definition.Options, Param{opFlush, step.Text})
				if r.program, err = compile(q.definition, &r.options); err != nil {
					t.Fatal(err)
				}
				m.configure(r.program)
			}
			if step.Op == "end" {
				r.Stop()
			}
		}
		r.carryOut(t.Context(), w)
		if step.Op == "end" {
			r.carryOut(t.Context(), wish{kind: wishStop})
		}
		all = append(all, seen)
	}
	return all
}

// TestWhatHappensInAJailMakesTheCommandsOfFail2ban: by chance, with commands that fail by chance. An action
// gets a new actionflush before each flush, since fail2ban leaves out one that it has executed before.
func TestWhatHappensInAJailMakesTheCommandsOfFail2ban(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 9))
	ids := []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "word"}
	var questions []jailQuestion
	for range 400 {
		made := madeUp(r)
		q := jailQuestion{Options: made.Options, Params: made.Params, definition: made.definition, Steps: []jailStep{{Op: "start"}}}
		if q.Params == nil {
			q.Params = [][2]any{}
		}
		flushes := slices.ContainsFunc(q.definition.Options, func(p Param) bool { return p.Name == opFlush })
		for i := range 40 {
			step := jailStep{Op: "failure", ID: ids[r.IntN(len(ids))], Wait: r.IntN(6)}
			switch n := r.IntN(20); {
			case n < 5:
				step.Op = "unban"
			case n < 6:
				if step = (jailStep{Op: "flush", Wait: 1}); flushes {
					step.Text = fmt.Sprint("flush ", i)
				}
			}
			q.Steps = append(q.Steps, step)
		}
		end := jailStep{Op: "end"}
		if flushes {
			end.Text = "last flush"
		}
		q.Steps = append(q.Steps, end)
		for range 200 {
			q.Fails = append(q.Fails, r.IntN(4) == 0)
		}
		questions = append(questions, q)
	}
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var want [][][][]string
	oracle.JSON(t, jailRecorder, in, &want)
	commands, rebans := 0, 0
	for i, q := range questions {
		var got [][][]string
		synctest.Test(t, func(t *testing.T) { got = q.ours(t) })
		for s, step := range q.Steps {
			commands += len(want[i][s])
			if step.Op == "failure" && slices.ContainsFunc(want[i][s], func(c []string) bool { return len(c[0]) > 11 && c[0][:11] == opReban }) {
				rebans++
			}
			if !slices.EqualFunc(got[s], want[i][s], slices.Equal[[]string]) {
				t.Errorf("action %d: %v\nstep %d, %+v:\n got %.1500q\nwant %.1500q", i, q.definition.Options, s, step, got[s], want[i][s])
				break
			}
		}
	}
	if commands < 5000 || rebans < 100 {
		t.Errorf("only %d commands and %d bans again: too few to mean something", commands, rebans)
	}
}
