package date_test

import (
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// TestHitsTellWhatATemplateLooksFor, and by what it is tried before others: its weight for each hit, divided
// by how far from the start of the line it stood.
func TestHitsTellWhatATemplateLooksFor(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	templates, err := date.Compile(date.Options{Pattern: "%d/%m/%Y\nEPOCH", Local: time.UTC}, now)
	if err != nil {
		t.Fatal(err)
	}
	d := templates.NewDetector()
	for range 2 {
		if r := d.Find(pyre.NewSubject("at: 22/11/2026"), now); !r.Found || r.Epoch {
			t.Errorf("%+v", r)
		}
	}
	if r := d.Find(pyre.NewSubject("1795348800 x"), now); !r.Found || !r.Epoch {
		t.Errorf("%+v", r)
	}
	hits := d.Hits()
	second, first := hits[0], hits[1] // the epoch has risen
	if first.Pattern != "%d/%m/%Y" || first.Regex == "" || first.Count != 2 || first.Weight != 1 || first.Rank != 0.5 {
		t.Errorf("%+v", first)
	}
	if second.Pattern != "" || second.Regex == "" || second.Count != 1 || second.Weight != 1 || second.Rank != 1 {
		t.Errorf("%+v", second)
	}
}
