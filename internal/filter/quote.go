package filter

import (
	"strings"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// pythonSet spells texts as Python prints a set of them, but in the order given: Python's own order
// changes from run to run.
func pythonSet(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = pyre.Quote(t)
	}
	return "{" + strings.Join(quoted, ", ") + "}"
}
