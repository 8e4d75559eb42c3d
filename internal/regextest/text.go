package regextest

import (
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/filter"
)

// groupsText shows groups as Python shows a dict.
func groupsText(groups []filter.Capture) string { return f2b.Repr(dictOf(groups)) }

func dictOf(groups []filter.Capture) pickle.Dict {
	var d pickle.Dict
	for _, g := range groups {
		if g.OK {
			d = append(d, pickle.Item{Key: g.Name, Value: g.Text})
			continue
		}
		d = append(d, pickle.Item{Key: g.Name, Value: nil})
	}
	return d
}
