package pyre

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// Tier names the engine that runs a regex, and what bounds its time.
type Tier uint8

// The tiers, cheapest last.
const (
	// TierBacktrack is regexp2: any pattern, bounded by a time limit only.
	TierBacktrack Tier = iota
	// TierBounded is our own engine, which counts its steps and gives up at a number of them: for patterns
	// with references to groups, and with loops whose turns can be empty.
	TierBounded
	// TierMemoised is our own engine, which remembers where it failed: its time grows with the text and
	// the pattern alone, whatever the text is, but for what stands within looks and atomic groups.
	TierMemoised
)

func (t Tier) String() string {
	switch t {
	case TierBounded:
		return "bounded"
	case TierMemoised:
		return "memoised"
	default:
		return "backtracking"
	}
}

// Limits bound one search.
type Limits struct {
	// Reference takes regexp2 for all patterns; tests compare the engines.
	Reference bool
	// Steps ends a search of our own engine; 0 is DefaultSteps. What it finds does not depend on the
	// machine's speed.
	Steps int
	// Time ends a search of regexp2; 0 is DefaultTime. It is spent in two halves, the second of which begins
	// anew, so that a machine that stood still for a moment does not make a quick search fail. The
	// clock behind it ticks every 2 ms: a search may take some ticks more, and the more the less
	// processors there are for it.
	Time time.Duration
	// Stack bounds the memory of a search, in integers of the backtracking stack; 0 is
	// DefaultStack.
	Stack int
}

// The limits of Compile.
const (
	// DefaultTime is far above what an honest line takes (some 10 µs) and far below what an
	// attacker would need to make the program fall behind with one line a second.
	DefaultTime = 20 * time.Millisecond
	// DefaultStack is 8 MB, taken only by searches that need it and given back to the garbage
	// collector. A group repeated over a text of 16 KiB takes some ten integers a turn.
	DefaultStack = 1 << 20
)

// attempts is how many shares of its time a search has.
const attempts = 2

// Regexp is a compiled pattern. It is immutable and safe for concurrent use.
type Regexp struct {
	pattern  string
	names    []string // by group number, 0 included
	literals [][]string
	screens  [][]string // those of literals that every search looks for first
	root     *node
	prog     *program        // nil: regexp2 runs it
	steps    int             // its limit
	ascii    *regexp2.Regexp // for texts of ASCII alone
	wide     *regexp2.Regexp // for all texts; the same as ascii where nothing differs
	tooSlow  error
	tooDeep  error
}

// Compile compiles a pattern under flags, with the default limits. What Python's re.compile refuses
// is refused with a *SyntaxError in its words. Beyond that there are bounds on length, depth,
// groups and repeats that no honest pattern meets, and characters by name (\N{...}) are not known.
func Compile(pattern string, flags Flags) (*Regexp, error) {
	return CompileLimits(pattern, flags, Limits{})
}

// CompileLimits is Compile with limits of the caller's choice.
func CompileLimits(pattern string, flags Flags, limits Limits) (*Regexp, error) {
	flags &= IgnoreCase | Multiline | DotAll | Verbose | ASCII
	root, names, _, err := parse(pattern, flags)
	if err != nil {
		return nil, err
	}
	if limits.Time <= 0 {
		limits.Time = DefaultTime
	}
	if limits.Stack <= 0 {
		limits.Stack = DefaultStack
	}
	r := &Regexp{
		pattern: pattern, names: names, root: root, literals: literals(root),
		tooSlow: fmt.Errorf("%w after %v: pattern of %d bytes", ErrGaveUp, limits.Time, len(pattern)),
		tooDeep: fmt.Errorf("%w: more than %d steps to go back to", ErrGaveUp, limits.Stack),
	}
	r.screens = screens(r.literals)
	if limits.Steps <= 0 {
		limits.Steps = DefaultSteps
	}
	if !limits.Reference {
		r.steps = limits.Steps
		if r.prog = newProgram(root, len(names)); r.prog != nil {
			r.tooSlow = fmt.Errorf("%w after %d steps: pattern of %d bytes", ErrGaveUp, limits.Steps, len(pattern))
			return r, nil
		}
	}
	wide, ascii := emit(root, false), emit(root, true)
	if r.wide, err = build(wide, limits); err != nil {
		return nil, &SyntaxError{Pattern: pattern, Offset: -1, Msg: "pattern cannot be run: " + err.Error()}
	}
	r.ascii = r.wide
	if ascii != wide {
		if r.ascii, err = build(ascii, limits); err != nil {
			return nil, &SyntaxError{Pattern: pattern, Offset: -1, Msg: "pattern cannot be run: " + err.Error()}
		}
	}
	return r, nil
}

func build(pattern string, limits Limits) (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(pattern, regexp2.OptionMaxBacktrackingStackSize(limits.Stack))
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = max(limits.Time/attempts, 1)
	return re, nil
}

// Search looks for the first match in the text, as Python's re.search, and fills m. A false without
// an error means that there is none. An error wraps ErrGaveUp.
func (r *Regexp) Search(s *Subject, m *Match) (bool, error) {
	return r.SearchAt(s, 0, m)
}

// SearchAt looks for the first match that starts at a byte offset or after it, as pattern.search with
// a position: anchors, boundaries and look-behind see the text before it. An offset outside of the
// text is taken as its nearer end, one inside of a character as the next character.
func (r *Regexp) SearchAt(s *Subject, from int, m *Match) (bool, error) {
	from = min(max(from, 0), len(s.text))
	m.begin(s, len(r.names))
	if r.screened(s.text[from:]) {
		return false, nil
	}
	s.prepare()
	if r.prog != nil {
		return r.execute(s, from, m)
	}
	re := r.wide
	if s.ascii {
		re = r.ascii
	}
	at := s.runeOf(from)
	for range attempts {
		err := re.FindRunesMatches(s.runes, at, m.take)
		if err == nil {
			return m.found, nil
		}
		if errors.Is(err, regexp2.ErrBacktrackingStackLimit) {
			return false, r.tooDeep
		}
	}
	return false, r.tooSlow
}

// execute runs our own engine.
func (r *Regexp) execute(s *Subject, from int, m *Match) (bool, error) {
	found, over := m.machine.search(r.prog, s.runes, s.runeOf(from), r.steps)
	m.Steps = m.machine.steps
	switch {
	case over:
		return false, r.tooSlow
	case !found:
		return false, nil
	}
	m.found, m.groups = true, len(r.names)
	for i, at := range m.machine.slots {
		if at >= 0 {
			m.spans[i] = s.byteOf(int(at))
		} else {
			m.spans[i] = -1
		}
	}
	for i := 0; i < len(m.spans); i += 2 {
		if m.spans[i+1] < 0 {
			m.spans[i] = -1 // begun, and never ended
		}
	}
	return true, nil
}

// String gives the pattern as it was compiled.
func (r *Regexp) String() string { return r.pattern }

// NumGroups is the number of groups, the whole match not counted.
func (r *Regexp) NumGroups() int { return len(r.names) - 1 }

// Names lists the names of the groups by number; "" is an unnamed group, and the whole match at 0.
func (r *Regexp) Names() []string { return slices.Clone(r.names) }

// Index is the number of the group with that name; -1 if there is none.
func (r *Regexp) Index(name string) int {
	if name == "" {
		return -1
	}
	return slices.Index(r.names, name)
}

// Literals says what any matching text must hold: of each inner list at least one, in exact case.
// The best lists, those with the longest shortest literal, come first. It is nil where nothing can
// be said. The result is shared and must not be changed.
func (r *Regexp) Literals() [][]string { return r.literals }

// Tier says which engine runs the regex.
func (r *Regexp) Tier() Tier {
	switch {
	case r.prog == nil:
		return TierBacktrack
	case r.prog.memos == 0 && r.prog.branches:
		return TierBounded
	}
	return TierMemoised
}
