package date

import (
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// longUnused is how long a template must not have matched for a newer one to take its place.
const longUnused = 300 * time.Second

// Detector finds the dates of one log and remembers where they stand. It has one owner.
type Detector struct {
	templates *Templates
	list      []*state // in the order in which they are tried, which changes

	last        int // index of the template that matched last
	start, end  int // of its match, in bytes
	left        [2]string
	right       [2]string // the characters on either side of these two places, outer and inner
	firstUnused int

	match *pyre.Match // of the template tried last
	spare *pyre.Match // of the best candidate so far
	part  *pyre.Subject
}

// state is what a detector knows of a template.
type state struct {
	*template
	hits     int // as the winner
	matched  int // at all
	lastUsed time.Time
	distance int
}

// Result is what Find found.
type Result struct {
	Found      bool      // a template matched
	Start, End int       // byte offsets of the text that is cut from the line
	Empty      bool      // that text is empty: the date is optional and missing
	Time       time.Time // zero if the text is empty or is no time
	HasZone    bool      // the text, or the pattern's kind, says where on earth: Time does not depend on Local
	Err        error     // why the text is no time
	Template   string    // the name of the template
}

// NewDetector makes a detector that has seen nothing yet.
func (t *Templates) NewDetector() *Detector {
	d := &Detector{
		templates: t, last: math.MaxInt, start: 1, end: -1,
		match: &pyre.Match{}, spare: &pyre.Match{}, part: pyre.NewSubject(""),
	}
	for _, tmpl := range t.list {
		d.list = append(d.list, &state{template: tmpl, distance: math.MaxInt})
	}
	return d
}

// Find looks for the date in a line. A regex that hits its limit found nothing.
func (d *Detector) Find(line *pyre.Subject, now time.Time) Result {
	if d.templates.digits && !hasDigit(line.Text()) {
		return Result{}
	}
	winner := d.choose(line, now)
	if winner == nil {
		return Result{}
	}
	s, e := d.match.Group(1)
	r := Result{Found: true, Start: s, End: e, Template: winner.name}
	if s < 0 { // the group to cut took no part: nothing is cut
		r.Start, r.End = 0, 0
	}
	if r.Start == r.End {
		r.Empty = true
		return r
	}
	r.Time, r.HasZone, r.Err = winner.time(line, d.match, &d.templates.options, now)
	return r
}

// hasDigit reports whether a date could be in the text: a digit, or a character of which only the
// regexes know whether it is one.
func hasDigit(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= '0' && r <= '9' || r >= utf8.RuneSelf })
}

// choose finds the template whose date the line's is, and leaves its match in d.match.
//
// The template that matched last is tried first: at the same place, if the characters around that
// look the same, else anywhere. If it does not stand where it stood, all are tried in turn, and what
// stands furthest left wins, but for the short cuts noted below.
func (d *Detector) choose(line *pyre.Subject, now time.Time) *state {
	best := candidate{at: math.MaxInt, index: -1}
	skip := -1
	if d.last < len(d.list) {
		won, searched := d.tryLast(line, &best)
		if won {
			return d.won(d.last, line, now)
		}
		if searched {
			skip = d.last
		}
	}
	for i, t := range d.list {
		if i == skip || !d.search(t, line, 0) {
			continue
		}
		start, _ := d.match.Group(0)
		switch {
		case i+1 == len(d.list), t.anchored:
			return d.won(i, line, now)
		case start == 0 && t.hits > 0 && d.list[i+1].matched == 0:
			return d.won(i, line, now)
		case start > t.distance || start > d.start:
			// It stood further left before: this may be a date in the message.
			if start < best.at {
				best = candidate{at: start, index: i}
				d.match, d.spare = d.spare, d.match
			}
			continue
		}
		return d.won(i, line, now)
	}
	if best.index < 0 {
		return nil
	}
	d.match, d.spare = d.spare, d.match
	return d.won(best.index, line, now)
}

// candidate is the best match so far that was not good enough to win at once; its match is in d.spare.
type candidate struct{ at, index int }

// tryLast tries the template that matched last. It reports whether that won; if it did not but matched
// elsewhere, best holds its match. Searched says that the whole line has been searched with it.
func (d *Detector) tryLast(line *pyre.Subject, best *candidate) (won, searched bool) {
	t, text := d.list[d.last], line.Text()
	var found bool
	if !t.anchored && d.sameSurroundings(text) {
		// Only what stood between the two places is looked at, as if the line ended there.
		d.part.Reset(text[:min(max(d.end, 0), len(text))])
		found = d.search(t, d.part, d.start)
	} else {
		searched = true
		found = d.search(t, line, 0)
	}
	if !found {
		return false, searched
	}
	start, end := d.match.Group(0)
	if len(d.list) == 1 || t.anchored || start == d.start && end == d.end {
		return true, searched
	}
	*best = candidate{at: start, index: d.last}
	d.match, d.spare = d.spare, d.match
	return false, searched
}

// search runs a template's regex; one that gave up has not matched.
func (d *Detector) search(t *state, s *pyre.Subject, from int) bool {
	ok, err := t.regex.SearchAt(s, from, d.match)
	if err != nil || !ok {
		return false
	}
	t.matched++
	return true
}

// sameSurroundings reports whether the characters where the last date began and ended are those of
// then: outside the date the same, or inside the same and no letter or digit.
func (d *Detector) sameSurroundings(text string) bool {
	if d.start > len(text) || d.end > len(text) || !boundary(text, d.start) || !boundary(text, d.end) {
		return false
	}
	leftOut, leftIn := around(text, d.start)
	rightIn, rightOut := around(text, d.end)
	return (leftOut == d.left[0] || leftIn == d.left[1] && !alphanumeric(leftIn)) &&
		(rightOut == d.right[1] || rightIn == d.right[0] && !alphanumeric(rightIn))
}

// boundary reports whether a character begins at i.
func boundary(s string, i int) bool { return i >= 0 && (i == len(s) || utf8.RuneStart(s[i])) }

// around gives the characters before and after a place, "" where there is none.
func around(s string, i int) (before, after string) {
	_, n := utf8.DecodeLastRuneInString(s[:i])
	_, m := utf8.DecodeRuneInString(s[i:])
	return s[i-n : i], s[i : i+m]
}

func alphanumeric(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && (unicode.IsLetter(r) || unicode.IsNumber(r))
}

// won notes that the template at i has won with the match in d.match, and lets it rise in the list.
func (d *Detector) won(i int, line *pyre.Subject, now time.Time) *state {
	t := d.list[i]
	d.start, d.end = d.match.Group(0)
	t.hits++
	t.lastUsed, t.distance = now, d.start
	if d.firstUnused == i {
		d.firstUnused++
	}
	text := line.Text()
	d.left[0], d.left[1] = around(text, d.start)
	d.right[0], d.right[1] = around(text, d.end)
	if i > 0 && i != d.last {
		i = d.rise(i)
	}
	d.last = i
	return t
}

// rise moves the template at i towards the front of the list, by far or by one place, if it has
// earned that, and returns its new place.
func (d *Detector) rise(i int) int {
	t := d.list[i]
	earned := func(to int) bool {
		other := d.list[to]
		return t.rank() > other.rank() || t.lastUsed.Add(-longUnused).After(other.lastUsed)
	}
	to := i / 2
	if d.firstUnused < i {
		to = d.firstUnused
	}
	if !earned(to) {
		if to == i-1 || !earned(i-1) {
			return i
		}
		to = i - 1
	}
	copy(d.list[to+1:i+1], d.list[to:i])
	d.list[to] = t
	for d.firstUnused < len(d.list) && d.list[d.firstUnused].hits > 0 {
		d.firstUnused++
	}
	return to
}

// rank is what templates are ordered by: how often one won, and how far left it stood.
func (s *state) rank() float64 { return float64(s.hits) * s.weight / float64(max(1, s.distance)) }
