package date

import (
	"slices"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// TestATemplateOutOfUseMakesWay: hits keep a template in front, but only while it is of use.
func TestATemplateOutOfUseMakesWay(t *testing.T) {
	const dayFirst, monthFirst, clock = "Day/Month/Year", "Month/Day/Year", "24hour:Minute"
	for _, tt := range []struct {
		name  string
		pause time.Duration
		want  []string
	}{
		{"after less than five minutes it stays", 299 * time.Second, []string{dayFirst, monthFirst, clock}},
		{"after five minutes too", 300 * time.Second, []string{dayFirst, monthFirst, clock}},
		{"after more it makes way", 301 * time.Second, []string{monthFirst, dayFirst, clock}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
			templates, err := Compile(Options{Pattern: "%d/%m/%Y\n%m/%d/%Y\n%H:%M"}, start)
			if err != nil {
				t.Fatal(err)
			}
			d := templates.NewDetector()
			for range 10 {
				d.Find(pyre.NewSubject("22/11/2026"), start)
			}
			for _, line := range []string{"11/22/2026", "10:00"} {
				d.Find(pyre.NewSubject(line), start.Add(time.Second))
			}
			d.Find(pyre.NewSubject("11/22/2026"), start.Add(tt.pause))
			var order []string
			for _, h := range d.Hits() {
				order = append(order, h.Template)
			}
			if !slices.Equal(order, tt.want) {
				t.Errorf("order %v, want %v", order, tt.want)
			}
		})
	}
}
