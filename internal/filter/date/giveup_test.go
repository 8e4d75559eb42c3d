package date_test

import (
	"errors"
	"testing"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// TestALineThatMakesRegexesGiveUp has patterns that never end on its line, and one that finds the date.
func TestALineThatMakesRegexesGiveUp(t *testing.T) {
	const slow = `^ (?P<again>(?:x|\w|xx)+)(?P=again)?-` // and a directive; the reference keeps the engine from remembering
	const day = "2026-11-20"
	line := " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx! - 10:11:12 " + day
	tests := []struct {
		name, pattern string
		found, gaveUp bool
	}{
		{"one that gives up does not hide the date from the next", slow + "%H\n%Y-%m-%d", true, false},
		{"two that give up end the search", slow + "%H\n" + slow + "%M\n%Y-%m-%d", false, true},
		{"also for what was found before them", "%Y-%m-%d\n" + slow + "%H\n" + slow + "%M", false, true},
		{"one of them alone leaves what was found before it", "%Y-%m-%d\n" + slow + "%H", true, false},
		{"one that gives up where there is no other", slow + "%H", false, true},
		{"a line is not searched with all default templates", slow + `({DATE})` + "\n{DEFAULT}", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustCompile(t, date.Options{Pattern: tt.pattern}, testNow).NewDetector()
			r := d.Find(pyre.NewSubject(line), testNow)
			if r.Found != tt.found || r.Found && line[r.Start:r.End] != day {
				t.Errorf("found %v %q, want %v", r.Found, line[r.Start:r.End], tt.found)
			}
			if got := errors.Is(r.Err, pyre.ErrGaveUp); got != tt.gaveUp {
				t.Errorf("error %v, want that a regex gave up: %v", r.Err, tt.gaveUp)
			}
			// The next line begins anew.
			next := " x-10:11:12 " + day
			if r := d.Find(pyre.NewSubject(next), testNow); !r.Found || r.Err != nil {
				t.Errorf("the next line: found %v, %v", r.Found, r.Err)
			}
		})
	}
}
