package setup

import (
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
)

func hasErrors(problems []config.Problem) bool {
	for _, p := range problems {
		if p.Severity == config.Error {
			return true
		}
	}
	return false
}

// wireProblem is a problem as the control socket tells it.
func wireProblem(p config.Problem) control.Problem {
	return control.Problem{
		Severity: p.Severity.String(), Jail: p.Jail, File: p.File, Line: p.Line, Section: p.Section, Key: p.Key,
		Value: p.Value, Message: p.Msg, Hint: p.Hint,
	}
}

// ProblemText is a problem on one line, for the log and for people: file, line, section, key, value,
// what is wrong and the next step, and before it the jails that it concerns.
func ProblemText(p control.Shared) string {
	value := strings.Join(strings.Fields(p.Value), " ") // of several lines, as an action's, too
	text := config.Problem{File: p.File, Line: p.Line, Section: p.Section, Key: p.Key, Value: value, Msg: p.Message, Hint: p.Hint}.Error()
	if len(p.Jails) > 0 {
		text = "[" + strings.Join(p.Jails, ", ") + "] " + text
	}
	return text
}
