package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/control"
)

// scriptTo is an action that notes what it is told in a file.
func scriptTo(path, jailName, name string, more ...action.Param) action.Definition {
	d := action.Definition{Jail: jailName, Name: name, BanTime: time.Hour}
	for _, op := range []string{"start", "stop", "ban", "unban", "flush", "reload"} {
		text := "echo " + op + " >> " + path
		if op == "ban" || op == "unban" {
			text = "echo " + op + " '<ip>' <bancount> <restored> >> " + path
		}
		d.Options = append(d.Options, action.Param{Name: "action" + op, Value: text})
	}
	d.Options = append(d.Options, more...)
	return d
}

func withScripts(list ...action.Definition) func(*Jail) {
	return func(j *Jail) {
		j.Scripts = list
		for _, d := range list {
			j.Actions = append(j.Actions, control.Action{Name: d.Name})
		}
	}
}

// noted is what scripts have written, without what was written before.
func noted(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(b)), "\n"), ", ")
}

func TestScriptsAreToldOfBans(t *testing.T) {
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	r.start(r.jailOf("app", withScripts(scriptTo(out, "app", "note"))))
	r.write("app: failure from 192.0.2.1", "app: failure from 192.0.2.1")
	r.until("the ban is noted", func() bool { return noted(t, out) == "start, ban 192.0.2.1 1 0" })
	if _, err := r.agent.Service().Unban(t.Context(), control.UnbanRequest{IDs: []string{"192.0.2.1"}}); err != nil {
		t.Fatal(err)
	}
	r.until("its end, too", func() bool { return strings.HasSuffix(noted(t, out), "unban 192.0.2.1 1 0") })
	if a := r.jailStatus("app").Actions; len(a) != 1 || a[0].Script == nil || a[0].Script.Executed != 3 || a[0].Script.Failed != 0 {
		t.Errorf("%+v", a)
	}
	r.stop()
	if got := noted(t, out); got != "start, ban 192.0.2.1 1 0, unban 192.0.2.1 1 0, flush, stop" && got != "start, ban 192.0.2.1 1 0, unban 192.0.2.1 1 0, stop" {
		t.Error(got)
	}
}

// TestRestartTellsScriptsOfBansAgain: they ended when the daemon did.
func TestRestartTellsScriptsOfBansAgain(t *testing.T) {
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	r.start(r.jailOf("app", withScripts(scriptTo(out, "app", "note"))))
	r.write("app: failure from 192.0.2.1", "app: failure from 192.0.2.1")
	r.until("the ban is noted", func() bool { return strings.Contains(noted(t, out), "ban 192.0.2.1") })
	r.stop()
	if got := noted(t, out); got != "start, ban 192.0.2.1 1 0, flush, stop" {
		t.Error(got)
	}
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	r.start(r.jailOf("app", withScripts(scriptTo(out, "app", "note"), scriptTo(out+"2", "app", "mail", action.Param{Name: "norestored", Value: "True"}))))
	r.until("the ban is noted again", func() bool { return noted(t, out) == "start, ban 192.0.2.1 1 1" })
	r.stop()
	if got := noted(t, out+"2"); got != "start, flush, stop" && got != "start, stop" {
		t.Errorf("an action that wants no restored bans: %s", got)
	}
}

// TestReloadLosesNoAction: fail2ban drops an action that a reload adds to a jail, and unbans where it
// changes one.
func TestReloadLosesNoAction(t *testing.T) {
	r := newRig(t)
	a, b := filepath.Join(r.dir, "a"), filepath.Join(r.dir, "b")
	r.start(r.jailOf("app", withScripts(scriptTo(a, "app", "first"))))
	r.write("app: failure from 192.0.2.1", "app: failure from 192.0.2.1")
	r.until("the ban is noted", func() bool { return noted(t, a) == "start, ban 192.0.2.1 1 0" })
	r.reloadTo(r.jailOf("app", withScripts(scriptTo(a, "app", "first"), scriptTo(b, "app", "second"))))
	r.until("the new action knows the ban", func() bool { return noted(t, b) == "start, ban 192.0.2.1 1 1" })
	r.until("the other one goes on", func() bool { return noted(t, a) == "start, ban 192.0.2.1 1 0, reload" })
	r.reloadTo(r.jailOf("app", withScripts(scriptTo(b, "app", "second"))))
	r.until("the action that is gone ends its bans", func() bool { return noted(t, a) == "start, ban 192.0.2.1 1 0, reload, flush, stop" })
	r.reloadTo(r.jailOf("other"))
	r.until("the jail that is gone ends its bans", func() bool { return strings.HasSuffix(noted(t, b), "flush, stop") })
}

func (r *rig) reloadTo(jails ...Jail) {
	r.t.Helper()
	r.mu.Lock()
	r.next = Options{Jails: jails}
	r.mu.Unlock()
	if res, err := r.agent.Service().Reload(r.t.Context()); err != nil || !res.Applied {
		r.t.Fatalf("%+v, %v", res, err)
	}
}

// TestAScriptThatHangsDelaysOnlyItself: bans, the firewall and other actions go on, and status says so.
func TestAScriptThatHangsDelaysOnlyItself(t *testing.T) {
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	hangs := action.Definition{Jail: "app", Name: "hangs", Timeout: time.Hour, Options: []action.Param{{Name: "actionban", Value: "exec sleep 3600"}}}
	loud := action.Definition{Jail: "app", Name: "loud", Options: []action.Param{{Name: "actionban", Value: "head -c 100000000 /dev/zero; echo <ip> >> " + out + "3"}}}
	fails := action.Definition{Jail: "app", Name: "fails", Options: []action.Param{{Name: "actionban", Value: "echo no good >&2; exit 7"}}}
	forks := action.Definition{Jail: "app", Name: "forks", Options: []action.Param{{Name: "actionban", Value: "sleep 30 & echo <ip> >> " + out + "4"}}}
	r.start(r.jailOf("app", withScripts(hangs, scriptTo(out, "app", "note"), loud, fails, forks)))
	r.agent.script.patience = 100 * time.Millisecond
	for i := range 20 {
		ip := fmt.Sprintf("192.0.2.%d", i+1)
		r.write("app: failure from "+ip, "app: failure from "+ip)
	}
	r.until("the firewall has all", func() bool { return r.wall.size() == 20 })
	for _, suffix := range []string{"", "3", "4"} {
		r.until("the other actions know all", func() bool { return strings.Count(noted(t, out+suffix), "192.0.2.") == 20 })
	}
	actions := map[string]control.Script{}
	r.until("the failures are counted", func() bool {
		for _, a := range r.jailStatus("app").Actions {
			actions[a.Name] = *a.Script
		}
		return actions["fails"].Failed == 40 // each is tried twice
	})
	if h := actions["hangs"]; h.Running != "actionban" || h.Since == nil || h.Waiting != 19 {
		t.Errorf("%+v", h)
	}
	if f := actions["fails"]; !strings.Contains(f.Error, "7") || f.ErrorAt == nil {
		t.Errorf("%+v", f)
	}
	s, err := r.agent.Service().Status(t.Context())
	if err != nil || !slices.ContainsFunc(s.Reasons, func(text string) bool { return strings.Contains(text, "action fails of jail app") }) {
		t.Errorf("%q, %v", s.Reasons, err)
	}
}

// TestScriptsAreToldWhatTheyAskFor: counts of the jail, and what else is known of the ID.
func TestScriptsAreToldWhatTheyAskFor(t *testing.T) {
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	d := action.Definition{Jail: "app", Name: "tags", Options: []action.Param{{
		Name: "actionban", Value: "echo '<jail.banned> <ipfailures> <ipjailfailures> <F-USER> <time>' >> " + out + "; printf '%s' \"<ipmatches>\" >> " + out,
	}}}
	r.start(r.jailOf("app", withScripts(d)))
	r.write("app: user bob from 192.0.2.1", "app: user bob from 192.0.2.1")
	r.until("it is noted", func() bool { return strings.Contains(noted(t, out), "user bob") })
	if got := noted(t, out); !strings.HasPrefix(got, "1 2 2 bob 1") || strings.Count(got, "app: user bob from 192.0.2.1") != 2 {
		t.Error(got)
	}
}
