package pyre

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrGaveUp says that a search hit its limit before it knew the answer. It is neither a match nor
// a miss, and nothing may be banned or passed over as harmless because of it.
var ErrGaveUp = errors.New("search gave up")

// SyntaxError says why a pattern is refused. Msg has Python's wording where Python refuses the
// pattern too.
type SyntaxError struct {
	// Pattern is the refused pattern as it was given.
	Pattern string
	// Offset is the position in characters, not bytes, as Python counts it; -1 where Python
	// names no position.
	Offset int
	// Msg is the reason without the position.
	Msg string
}

// Error gives the text of Python's re.error: the reason and the position, for patterns of several
// lines with line and column.
func (e *SyntaxError) Error() string {
	if e.Offset < 0 {
		return e.Msg
	}
	msg := e.Msg + " at position " + strconv.Itoa(e.Offset)
	if !strings.Contains(e.Pattern, "\n") {
		return msg
	}
	line, column, pos := 1, e.Offset+1, 0
	for _, r := range e.Pattern {
		if pos == e.Offset {
			break
		}
		pos++
		if r == '\n' {
			line++
			column = e.Offset - pos + 1
		}
	}
	return fmt.Sprintf("%s (line %d, column %d)", msg, line, column)
}
