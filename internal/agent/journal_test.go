package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/source"
)

// entries are what app says, sent now, and one of another service beside each.
func entries(texts ...string) []oracle.JournalEntry {
	var all []oracle.JournalEntry
	for _, text := range texts {
		text = strings.TrimPrefix(text, "app: ")
		all = append(all,
			oracle.JournalEntry{Time: time.Now(), Identifier: "app", Unit: "app.service", Message: text},
			oracle.JournalEntry{Time: time.Now(), Identifier: "app", Unit: "other.service", Message: text},
			oracle.JournalEntry{Time: time.Now(), Identifier: "app", Unit: "app.service", Message: "nothing of note"},
		)
	}
	return all
}

// TestTheJournalBansAsAFileDoes: what is there at the start, what comes later, and what comes while nobody
// looks; none twice.
func TestTheJournalBansAsAFileDoes(t *testing.T) {
	journal := oracle.NewJournal(t)
	r := newRig(t)
	jail := r.jailOf("app", func(j *Jail) {
		j.Files = nil
		j.Journal = &source.JournalOptions{Directory: journal.Dir, Matches: [][]string{{"_SYSTEMD_UNIT=app.service"}}}
		j.Filter, j.FilterID = r.filterOf(`^host app\[101\]: failure from <HOST>$`)
	})
	journal.Write("system.journal", entries(failures("192.0.2.1", 2)...)...)
	journal.Write("system.journal", entries(failures("192.0.2.2", 1)...)...)
	r.start(jail)
	r.until("what was there bans", func() bool { return r.wall.size() == 1 })
	r.until("the second is counted", func() bool { return r.tally("app", "192.0.2.2") == 1 })
	journal.Write("system.journal", entries(failures("2001:db8::1", 2)...)...)
	r.until("what comes bans", func() bool { return r.wall.size() == 2 })
	s := r.jailStatus("app")
	if s.Lines != 10 || s.Matched != 5 || len(s.Files) != 1 || s.Files[0].State != "following" || s.Files[0].Path != source.JournalPath {
		t.Errorf("%+v", s)
	}
	for _, b := range s.Bans {
		if len(b.LastLines) == 0 || !strings.Contains(b.LastLines[0], " host app[101]: failure from ") || b.LastLines[0][:4] != time.Now().Format("2006") {
			t.Errorf("the lines of a ban: %q", b.LastLines)
		}
	}
	r.stop()

	journal.Write("system.journal", entries(failures("192.0.2.2", 1)...)...) // while nobody looks
	r.start(jail)
	r.until("the failures before and after the stop make a ban", func() bool { return r.wall.size() == 3 })
	if got := r.jailStatus("app").Lines; got != 2 {
		t.Errorf("%d entries read after the restart, two were new", got)
	}
}
