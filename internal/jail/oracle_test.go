package jail_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// life is a sequence of failures of a few IDs in a jail, some of them seen late.
type life struct {
	MaxRetry int `json:"maxretry"`
	FindTime int `json:"findtime"`
	BanTime  int `json:"bantime"`
	// Events are [ID, time of the failure, time it is seen], in seconds.
	Events [][3]int `json:"events"`
}

// event is what became of a failure: the kind and the end of the ban, or of what ended meanwhile.
type event struct {
	Kind string `json:"kind"`
	ID   int    `json:"id"`
	End  int    `json:"end"` // -1 permanent
}

// countScript feeds lives to fail2ban's own FailManager and BanManager, sweeping before every failure.
// Every ID has a FailManager, so that a sweep at a late time does not reach the others.
const countScript = `
import json, sys
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.banmanager import BanManager
from fail2ban.server.ticket import FailTicket, BanTicket
from fail2ban.server.mytime import MyTime

def ident(i): return "192.0.2.%d" % i
def number(ticket): return int(str(ticket.getID()).split(".")[3])
def end(bans, ticket):
    e = ticket.getEndOfBanTime(bans.getBanTime())
    return -1 if e == BanTicket.MAX_TIME else int(e)

def live(life):
    bans, managers = BanManager(), {}
    bans.setBanTime(life["bantime"])
    out = []
    for i, at, now in life["events"]:
        MyTime.setTime(now)
        for ticket in sorted(bans.unBanList(now), key=number):
            out.append({"kind": "unban", "id": number(ticket), "end": end(bans, ticket)})
        fails = managers.setdefault(i, FailManager())
        fails.setMaxRetry(life["maxretry"])
        fails.setMaxTime(life["findtime"])
        fails.cleanup(at)
        attempts = fails.addFailure(FailTicket(ident(i), at))
        if attempts < fails.getMaxRetry():
            continue
        ticket = BanTicket.wrap(fails.toBan(ident(i)))
        reason = {}
        if bans.addBanTicket(ticket, reason):
            out.append({"kind": "ban", "id": i, "end": end(bans, ticket)})
        elif reason.get("expired"):
            out.append({"kind": "expired", "id": i, "end": end(bans, ticket)})
        else:
            out.append({"kind": "already", "id": i, "end": end(bans, reason["ticket"])})
    return out

print(json.dumps([live(l) for l in json.load(sys.stdin)]))
`

// TestCountingAndBanningAreFail2bans lets fail2ban and a Book live the same 1,000 lives.
func TestCountingAndBanningAreFail2bans(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	start := int(epoch.Unix())
	var lives []life
	for range 1000 {
		l := life{MaxRetry: 1 + r.IntN(8), FindTime: 10 + r.IntN(600), BanTime: 1 + r.IntN(900)}
		if r.IntN(10) == 0 {
			l.BanTime = -1
		}
		now, gap := start, 1+r.IntN(l.FindTime)
		for range 40 {
			now += r.IntN(gap)
			at := now
			if r.IntN(4) == 0 {
				at -= r.IntN(l.FindTime)
			}
			l.Events = append(l.Events, [3]int{1 + r.IntN(3), at, now})
		}
		lives = append(lives, l)
	}
	input, err := json.Marshal(lives)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]event
	oracle.JSON(t, countScript, input, &want)

	var bans int
	for i, l := range lives {
		got := liveOurs(l)
		if len(got) != len(want[i]) {
			t.Fatalf("life %+v:\ngot  %v\nwant %v", l, got, want[i])
		}
		for j := range got {
			if got[j] != want[i][j] {
				t.Fatalf("life %+v, event %d:\ngot  %+v\nwant %+v", l, j, got[j], want[i][j])
			}
			if got[j].Kind == "ban" {
				bans++
			}
		}
	}
	if bans < 1000 {
		t.Errorf("only %d bans in all: the lives are too quiet to tell anything", bans)
	}
}

func liveOurs(l life) []event {
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{
		Jail: "j", MaxRetry: l.MaxRetry, FindTime: time.Duration(l.FindTime) * time.Second,
		BanTime: time.Duration(l.BanTime) * time.Second,
	})
	var out []event
	number := func(id ident.ID) int { return int(id.Prefix().Addr().As4()[3]) }
	add := func(kind string, ban jail.Ban) {
		e := event{kind, number(ban.ID), -1}
		if end, permanent := ban.End(); !permanent {
			e.End = int(end.Unix())
		}
		out = append(out, e)
	}
	for _, e := range l.Events {
		now := time.Unix(int64(e[2]), 0)
		first := len(out)
		for _, d := range b.Expire(now) {
			add("unban", d.Ban)
		}
		sortEvents(out[first:])
		for _, d := range b.Observe("j", jail.Failure{ID: ident.Parse(fmt.Sprintf("192.0.2.%d", e[0])), Time: time.Unix(int64(e[1]), 0)}, now) {
			switch d.Kind {
			case jail.BanStart, jail.Already, jail.Expired:
				add(d.Kind.String(), d.Ban)
			case jail.Prolong: // fail2ban prolongs in the same step
				out = out[:len(out)-1]
				add("already", d.Ban)
			}
		}
	}
	return out
}

func sortEvents(e []event) {
	for i := range e {
		for j := i; j > 0 && e[j].ID < e[j-1].ID; j-- {
			e[j], e[j-1] = e[j-1], e[j]
		}
	}
}

// escalateScript bans an offender again and again, right after each ban is over, through fail2ban's own
// Observer and a database in memory, and prints the ban times. With "other" a second jail has banned
// him that often before.
const escalateScript = `
import json, os, sys
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.observer import ObserverThread
from fail2ban.server.ticket import FailTicket
from fail2ban.server.mytime import MyTime
from fail2ban.tests.dummyjail import DummyJail

def live(case):
    db = Fail2BanDb(":memory:")
    observer = ObserverThread()
    jail, other = DummyJail("jail"), DummyJail("other")
    now = 1700000000
    for j in (jail, other):
        j.database = db
        db.addJail(j)
        j.actions.setBanTime(case["bantime"])
        j.setBanTimeExtra("increment", "true")
        for key, value in case["options"].items():
            j.setBanTimeExtra(key, value)
    if case["other"]:
        ticket = FailTicket("192.0.2.1", now - 1000, [])
        ticket.setBanTime(600)
        ticket.setBanCount(case["other"])
        db.addBan(other, ticket)
    times, counts = [], []
    for i in range(12):
        MyTime.setTime(now)
        ticket = FailTicket("192.0.2.1", now, [])
        btime = jail.actions.getBanTime()
        ticket.incrBanCount()
        observer.banFound(ticket, jail, btime)
        length = ticket.getBanTime(btime)
        times.append(length)
        counts.append(ticket.getBanCount())
        now += int(length) + 60
    return {"times": times, "counts": counts}

print(json.dumps([live(c) for c in json.load(sys.stdin)]), flush=True)
os._exit(0) # do not wait for the Observer's timers
`

func TestEscalationTableIsFail2bans(t *testing.T) {
	type question struct {
		BanTime int               `json:"bantime"`
		Options map[string]string `json:"options"`
		Other   int               `json:"other"`
	}
	var questions []question
	for _, e := range escalations {
		q := question{e.banTime, e.options, e.other}
		if q.Options == nil {
			q.Options = map[string]string{}
		}
		questions = append(questions, q)
	}
	input, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct {
		Times  []float64 `json:"times"`
		Counts []int     `json:"counts"`
	}
	oracle.JSON(t, escalateScript, input, &answers)
	for i, e := range escalations {
		t.Run(e.name, func(t *testing.T) {
			checkEscalation(t, e.times, e.counts, answers[i].Times, answers[i].Counts)
			if t.Failed() {
				t.Logf("fail2ban: times: %v, counts: %v", answers[i].Times, answers[i].Counts)
			}
		})
	}
}

// repeatScript lets offenders return to two jails with escalation, through fail2ban's FailManager,
// BanManager, Observer and database.
const repeatScript = `
import json, os, sys
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.observer import ObserverThread
from fail2ban.server.ticket import FailTicket, BanTicket
from fail2ban.server.mytime import MyTime
from fail2ban.tests.dummyjail import DummyJail

class Filter:
    def __init__(self, ban):
        self.failManager, self.performBan = FailManager(), ban

class OurJail(DummyJail):
    def __init__(self, name, db, observer, out, policy):
        super().__init__(name)
        self.database, self.observer, self.out = db, observer, out
        self.ours = Filter(self.ban)
        db.addJail(self)
        self.ours.failManager.setMaxRetry(policy["maxretry"])
        self.ours.failManager.setMaxTime(policy["findtime"])
        self.actions.setBanTime(policy["bantime"])
        for key, value in policy["options"].items():
            self.setBanTimeExtra(key, value)

    @property
    def filter(self):
        return self.ours

    def note(self, kind, ticket):
        self.out.append({"kind": kind, "jail": self.name, "id": str(ticket.getID()),
            "for": ticket.getBanTime(self.actions.getBanTime()), "count": ticket.getBanCount()})

    def ban(self, ip):
        try:
            ticket = BanTicket.wrap(self.ours.failManager.toBan(ip))
        except FailManagerEmpty:
            return
        length, reason = ticket.getBanTime(self.actions.getBanTime()), {}
        if self.actions.banManager.addBanTicket(ticket, reason):
            self.observer.banFound(ticket, self, length)
            self.note("ban", ticket)
        elif not reason.get("expired"):
            self.note("already", reason["ticket"])

def live(life):
    out, db, observer = [], Fail2BanDb(":memory:"), ObserverThread()
    observer.add_timer = lambda *args: None
    jails = {name: OurJail(name, db, observer, out, policy) for name, policy in life["policies"].items()}
    for name, ip, now in life["events"]:
        MyTime.setTime(now)
        for j in jails.values():
            j.actions.banManager.unBanList(now)
        jail = jails[name]
        manager = jail.filter.failManager
        manager.cleanup(now)
        ticket = FailTicket(ip, now)
        if manager.addFailure(ticket) >= manager.getMaxRetry():
            jail.ban(ticket.getID())
        observer.failureFound(jail, ticket)
    return out

print(json.dumps([live(l) for l in json.load(sys.stdin)]), flush=True)
os._exit(0)
`

type repeatPolicy struct {
	MaxRetry int               `json:"maxretry"`
	FindTime int               `json:"findtime"`
	BanTime  int               `json:"bantime"`
	Options  map[string]string `json:"options"`
}

type repeatLife struct {
	Policies map[string]repeatPolicy `json:"policies"`
	Events   [][3]any                `json:"events"` // jail, ID, time
}

type repeatEvent struct {
	Kind, Jail, ID string
	For            float64 // seconds
	Count          int
}

// TestRepeatOffendersAreCountedAndBannedAsByFail2ban compares the weight of failures, the ban times and
// the counts over hundreds of lives with random escalation.
func TestRepeatOffendersAreCountedAndBannedAsByFail2ban(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	var lives []repeatLife
	for range 200 {
		l := repeatLife{Policies: map[string]repeatPolicy{}}
		for _, name := range []string{"a", "b"} {
			p := repeatPolicy{MaxRetry: 1 + r.IntN(9), FindTime: 100 + r.IntN(900), BanTime: 1 + r.IntN(60), Options: map[string]string{}}
			if r.IntN(5) > 0 {
				p.Options["increment"] = "true"
				for key, value := range map[string]string{
					"factor": pick("", "", "2", "0.5", "1.5"), "maxtime": pick("", "", "100", "1000"), "overalljails": pick("", "true"),
					"multipliers": pick("", "", "1 2 4", "3 1 5"), "formula": pick("", "", "ban.Time * (ban.Count + 1) + 0.25"),
				} {
					if value != "" {
						p.Options[key] = value
					}
				}
			}
			l.Policies[name] = p
		}
		now := int(epoch.Unix())
		for range 60 {
			now += r.IntN(60)
			if r.IntN(20) == 0 {
				now += r.IntN(2000)
			}
			l.Events = append(l.Events, [3]any{pick("a", "b"), pick("192.0.2.1", "192.0.2.2"), now})
		}
		lives = append(lives, l)
	}
	input, err := json.Marshal(lives)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]repeatEvent
	oracle.JSON(t, repeatScript, input, &want)
	for i, l := range lives {
		got := l.ours(t)
		for j := range min(len(got), len(want[i])) {
			if got[j] != want[i][j] {
				t.Fatalf("life %d %+v, event %d:\ngot  %+v\nwant %+v", i, l, j, got[j], want[i][j])
			}
		}
		if len(got) != len(want[i]) {
			t.Fatalf("life %d: %d events, want %d", i, len(got), len(want[i]))
		}
	}
}

func (l repeatLife) ours(t *testing.T) []repeatEvent {
	t.Helper()
	b := jail.NewBook(jail.Config{PurgeAge: 1000 * time.Hour})
	for name, p := range l.Policies {
		seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
		inc := jail.Increment{}
		if len(p.Options) > 0 {
			options := map[string]string{}
			for k, v := range p.Options {
				if k != "increment" {
					options[k] = v
				}
			}
			inc = escalation{options: options}.increment(t)
		}
		b.SetJail(jail.Policy{Jail: name, MaxRetry: p.MaxRetry, FindTime: seconds(p.FindTime), BanTime: seconds(p.BanTime), Increment: inc})
	}
	var out []repeatEvent
	for _, e := range l.Events {
		now := time.Unix(int64(e[2].(int)), 0)
		b.Expire(now)
		for _, d := range b.Observe(e[0].(string), jail.Failure{ID: ident.Parse(e[1].(string)), Time: now}, now) {
			kind := d.Kind.String()
			switch d.Kind {
			case jail.Prolong: // fail2ban prolongs in the same step
				out, kind = out[:len(out)-1], "already"
			case jail.BanStart, jail.Already:
			default:
				continue
			}
			out = append(out, repeatEvent{kind, d.Jail, d.ID.String(), d.Ban.Duration.Seconds(), d.Ban.Count})
		}
	}
	return out
}
