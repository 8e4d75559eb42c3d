package agent

import (
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/control"
)

// TestWhyFindsTheRegexesAgain for the lines of a ban, and tells what is not enough yet, what was, and who is spared.
func TestWhyFindsTheRegexesAgain(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"), r.jailOf("spares", func(j *Jail) { j.Ignore.Entries = []string{"192.0.2.0/24"} }))
	r.write("app: failure from 192.0.2.1", "app: user bob from 192.0.2.1", "app: failure from 192.0.2.2")
	r.until("it is banned", func() bool { return r.jailStatus("app").CurrentlyBanned == 1 })
	r.until("the other counts", func() bool { return r.tally("app", "192.0.2.2") == 1 })
	w, err := r.agent.Service().Why(t.Context(), "192.0.2.1")
	if err != nil || len(w.Bans) != 1 || len(w.Jails) != 2 {
		t.Fatalf("%+v, %v", w, err)
	}
	b := w.Bans[0]
	if len(b.Lines) != 2 || b.Lines[0].Regex != 1 || b.Lines[1].Regex != 2 || !strings.Contains(b.Lines[1].Text, "user bob") || !strings.Contains(b.Lines[1].Found, "user") {
		t.Errorf("%+v", b.Lines)
	}
	if b.MaxRetry != 2 || b.BanTime != 3600 || len(b.Logs) != 1 || b.Logs[0] != r.log || len(w.Ignored) != 1 || w.Ignored[0].Jail != "spares" {
		t.Errorf("%+v, %+v", b, w.Ignored)
	}
	if w, err := r.agent.Service().Why(t.Context(), "192.0.2.2"); err != nil || len(w.Bans) != 0 || len(w.Tallies) != 1 || w.Tallies[0].MaxRetry != 2 || w.Tallies[0].Weighted != 1 || !w.Tallies[0].Forgets.After(w.Tallies[0].Last) {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := r.agent.Service().Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"198.51.100.0/24"}}); err != nil {
		t.Fatal(err)
	}
	if w, err := r.agent.Service().Why(t.Context(), "198.51.100.7"); err != nil || len(w.Bans) != 1 || w.Bans[0].ID != "198.51.100.0/24" || w.Bans[0].Origin != "manual" {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := r.agent.Service().Unban(t.Context(), control.UnbanRequest{IDs: []string{"192.0.2.1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.agent.Service().Why(t.Context(), ""); err == nil {
		t.Error("nothing is asked about, and there is an answer")
	}
}
