package filter

import (
	"strings"

	"github.com/palisade-agent/palisade/internal/pytext"
)

// pythonSet spells texts as Python prints a set of them, but in the order given: Python's own order
// changes from run to run.
func pythonSet(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = pytext.Quote(t)
	}
	return "{" + strings.Join(quoted, ", ") + "}"
}
