package agent

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/jail"
)

func (r *rig) stats() Stats {
	r.t.Helper()
	st, err := r.agent.Stats(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func TestStatsCountWhatHasHappened(t *testing.T) {
	r := newRig(t)
	scripted := r.jailOf("two", func(j *Jail) {
		j.Policy.MaxRetry = 3
		j.Scripts = []action.Definition{{Jail: "two", Name: "fails", Options: []action.Param{{Name: "actionban", Value: "exit 3"}}}}
	})
	r.start(scripted, r.jailOf("one"))
	r.write(failures("192.0.2.1", 3)...)
	r.write("app: all is well")
	r.until("the script has failed, and the bans are saved", func() bool {
		st := r.stats()
		s := st.Jails[1].Scripts
		return len(s) == 1 && s[0].Failed > 0 && r.store.bansOf() == 2 && st.Jails[0].Lines == 4 && st.Commits > 0
	})
	st := r.stats()
	if st.Jails[0].Name != "one" || st.Jails[0].TotalBanned != 1 || st.Jails[0].Lines != 4 || st.Jails[0].Matched != 3 || st.Jails[0].TotalFailed != 3 {
		t.Errorf("jail %+v", st.Jails[0])
	}
	if len(st.Sources) != 1 {
		t.Fatalf("%d sources: two jails share one", len(st.Sources))
	}
	if s := st.Sources[0]; s.Path != r.log || s.Jail != "" || s.State != "following" || s.Offset == 0 || s.Offset != s.Size || s.Lines != 4 || s.Failures != 0 {
		t.Errorf("source %+v", s)
	}
	if st.Commits == 0 || st.FailedCommits != 0 || st.Book.Bans != 2 || st.Firewall.Backend != "test" || len(st.Reasons) != 1 {
		t.Errorf("%+v", st)
	}

	r.store.setFail(errDisk)
	r.write(failures("192.0.2.2", 1)...)
	r.until("a commit has failed", func() bool { return r.stats().FailedCommits > 0 })
}

// TestEveryKindOfEventIsListed, for those who choose among them.
func TestEveryKindOfEventIsListed(t *testing.T) {
	said := []string{"ignored"}
	for k := range jail.Attempt + 1 {
		if kind := eventKind(k); kind != "" && !slices.Contains(said, kind) {
			said = append(said, kind)
		}
	}
	listed := control.EventKinds()
	slices.Sort(said)
	slices.Sort(listed)
	if !slices.Equal(said, listed) {
		t.Errorf("%q are told, %q are listed", said, listed)
	}
}

// heard is what an agent tells of itself.
type heard struct {
	mu   sync.Mutex // guards the field below
	said []string
}

func (h *heard) add(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, s)
}

func (h *heard) is(want ...string) func() bool {
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Equal(h.said, want)
	}
}

func TestATroubleIsToldOnceAndSoIsItsEnd(t *testing.T) {
	r := newRig(t)
	var h heard
	r.parts = func(p *Parts) {
		p.Trouble = func(part string, err error) {
			if err == nil {
				err = errors.New("works")
			}
			h.add(part + ": " + err.Error())
		}
		p.Reasons = func() []string { return []string{"tea: cold"} }
	}
	r.start(r.jailOf("app"))
	r.store.setFail(errDisk)
	r.write(failures("192.0.2.1", 1)...)
	r.until("two commits have failed", func() bool { return r.stats().FailedCommits > 1 })
	r.until("it was told once", h.is("store: "+errDisk.Error()))
	if st := r.stats(); !slices.Equal(st.Reasons, []string{"store: " + errDisk.Error(), "tea: cold"}) {
		t.Errorf("reasons %q", st.Reasons)
	}
	r.store.setFail(nil)
	r.until("its end was told", h.is("store: "+errDisk.Error(), "store: works"))
}

func TestEveryChangeOfTheConfigurationIsTold(t *testing.T) {
	r := newRig(t)
	var h heard
	r.parts = func(p *Parts) {
		p.Configured = func(c Configuration) {
			said := []string{"command"}
			if c.Reload {
				said[0] = "reload"
			}
			for _, j := range c.Options.Jails {
				said = append(said, j.Name())
			}
			if c.Err != nil {
				said = append(said, c.Err.Error())
			}
			h.add(strings.Join(said, " "))
		}
	}
	r.start(r.jailOf("a"))
	r.next = Options{Jails: []Jail{r.jailOf("a"), r.jailOf("b")}}
	if _, err := r.agent.Service().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.reload = errors.New("no such folder")
	if _, err := r.agent.Service().Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.agent.Put(t.Context(), func() (Jail, error) { return r.jailOf("c"), nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.agent.Drop(t.Context(), []string{"a", "b"}, func() {}); err != nil {
		t.Fatal(err)
	}
	if err := r.agent.Drop(t.Context(), []string{"none"}, func() {}); !errors.Is(err, control.ErrNoJail) {
		t.Fatal(err)
	}
	if want := []string{"reload a b", "reload no such folder", "command a b c", "command c"}; !h.is(want...)() {
		t.Errorf("told %q", h.said)
	}
}
