package date

import (
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// maxGiveUps is how many regexes may hit their limit on one line before the search for its date ends.
// One bad pattern does not keep the others from the line; a line that is made to be slow does not get
// the time of all of them.
const maxGiveUps = 2

// longUnused is how long a template must not have matched for a newer one to take its place.
const longUnused = 300 * time.Second

// Detector finds the dates of one log and remembers where they stand. It has one owner.
type Detector struct {
	templates *Templates
	list      []*state // in the order in which they are tried, which changes

	last        int // index of the template that matched last
	start, end  int // of its match, in characters
	left        [2]string
	right       [2]string // the characters on either side of these two places, outer and inner
	firstUnused int

	match *pyre.Match // of the template tried last
	spare *pyre.Match // of the best candidate so far
	part  *pyre.Subject

	text    string // the line that is being searched
	traits  traits // of the line; 0 until they are asked for
	giveUps int    // of regexes on the line
	gaveUp  error  // the last of them

	// What a quick reader found, instead of a match; readTo is where it ended, -1 for none.
	read   fields
	readTo int
}

// state is what a detector knows of a template.
type state struct {
	*template
	hits     int // as the winner
	matched  int // at all
	lastUsed time.Time
	distance int // where it stood as the winner, in characters
}

// Result is what Find found.
type Result struct {
	Found      bool      // a template matched
	Start, End int       // byte offsets of the text that is cut from the line
	Empty      bool      // that text is empty: the date is optional and missing
	Time       time.Time // zero if the text is empty or is no time
	HasZone    bool      // the text, or the pattern's kind, says where on earth: Time does not depend on Local
	Epoch      bool      // the text is a count of seconds, not a date
	Err        error     // why the text is no time; if nothing was found, the pyre.ErrGaveUp of a regex, if one did
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

// Find looks for the date in a line. A regex that hits its limit found nothing; after a second one that
// does, the line has no date.
func (d *Detector) Find(line *pyre.Subject, now time.Time) Result {
	d.text, d.traits, d.giveUps, d.gaveUp = line.Text(), 0, 0, nil
	winner := d.choose(line, now)
	if winner == nil {
		return Result{Err: d.gaveUp}
	}
	if d.readTo >= 0 {
		r := Result{Found: true, End: d.readTo, Template: winner.name}
		r.Time, r.HasZone, r.Err = d.read.time(&d.templates.options, now)
		return r
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
	r.Epoch = winner.kind == kindEpoch || winner.kind == kindLongEpoch
	r.Time, r.HasZone, r.Err = winner.time(line, d.match, &d.templates.options, now)
	return r
}

// Hits is how often a template's date was taken for the line's, and what it is.
type Hits struct {
	Template string // its name
	Count    int
	Pattern  string // with directives, empty for those that have none
	Regex    string // as it is searched
	// Weight and Rank decide which template is tried first: the one it starts with, and what comes of it
	// by hits, more if they stood at the start of the line.
	Weight, Rank float64
}

// Hits lists all templates with their hits, in the order in which they are tried now.
func (d *Detector) Hits() []Hits {
	list := make([]Hits, len(d.list))
	for i, t := range d.list {
		list[i] = Hits{Template: t.name, Count: t.hits, Pattern: t.pattern, Regex: t.regex.String(), Weight: t.weight, Rank: t.rank()}
	}
	return list
}

// choose finds the template whose date the line's is, and leaves its match in d.match.
//
// The template that matched last is tried first: at the same place, if the characters around that
// look the same, else anywhere. If it does not stand where it stood, all are tried in turn, and what
// stands furthest left wins, but for the short cuts noted below.
func (d *Detector) choose(line *pyre.Subject, now time.Time) *state {
	d.readTo = -1
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
		if i+1 == len(d.list) || t.anchored {
			return d.won(i, line, now)
		}
		start := d.matchStart(line.Text())
		switch {
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
	if best.index < 0 || d.giveUps >= maxGiveUps {
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
	if from, to, same := d.sameSurroundings(text, t); same {
		// Only what stood between the two places is looked at, as if the line ended there.
		d.part.Reset(text[:to])
		found = d.search(t, d.part, from)
	} else {
		searched = true
		found = d.search(t, line, 0)
	}
	if !found {
		return false, searched
	}
	if len(d.list) == 1 || t.anchored {
		return true, searched
	}
	start := d.matchStart(text)
	if start == d.start && d.matchEnd(text) == d.end {
		return true, searched
	}
	*best = candidate{at: start, index: d.last}
	d.match, d.spare = d.spare, d.match
	return false, searched
}

// matchStart and matchEnd say where the match in d.match stands, in characters: lines are compared by
// what a reader would count, as fail2ban does.
func (d *Detector) matchStart(text string) int {
	start, _ := d.match.Group(0)
	return utf8.RuneCountInString(text[:start])
}

func (d *Detector) matchEnd(text string) int {
	_, end := d.match.Group(0)
	return utf8.RuneCountInString(text[:end])
}

// search runs a template: its quick reader if it has one, else its regex. One that gave up has not
// matched. What a quick reader finds stands at the start of the line and wins at once.
func (d *Detector) search(t *state, s *pyre.Subject, from int) bool {
	if d.giveUps >= maxGiveUps {
		return false
	}
	if t.quick != nil && from == 0 {
		var ok bool
		if d.read, d.readTo, ok = t.quick(s.Text()); ok {
			t.matched++
			return true
		}
		d.readTo = -1
	}
	if t.needs != 0 && d.traits == 0 {
		d.traits = traitsOf(d.text) | looked
	}
	if t.needs&^d.traits != 0 {
		return false
	}
	ok, err := t.regex.SearchAt(s, from, d.match)
	if err != nil {
		d.giveUps++
		d.gaveUp = err
	}
	if err != nil || !ok {
		return false
	}
	t.matched++
	return true
}

// sameSurroundings gives, in bytes, the place where the last date began and ended, if the template may
// stand anywhere and the characters around that place are those of then: outside the date the same, or
// inside the same and no letter or digit. A line that is shorter ends like one that ended with its date.
func (d *Detector) sameSurroundings(text string, t *state) (from, to int, same bool) {
	if t.anchored {
		return 0, 0, false
	}
	from, whole := byteOf(text, 0, d.start)
	if !whole {
		return 0, 0, false
	}
	out, in := around(text, from)
	if out != d.left[0] && !sameSeparator(in, d.left[1]) {
		return 0, 0, false
	}
	to, whole = byteOf(text, from, d.end-d.start)
	in, out = around(text, to)
	if !whole {
		in = ""
	}
	return from, to, out == d.right[1] || sameSeparator(in, d.right[0])
}

// sameSeparator reports whether two characters are the same and neither letter nor digit.
func sameSeparator(a, b string) bool {
	r, n := utf8.DecodeRuneInString(a)
	return n > 0 && a == b && !unicode.IsLetter(r) && !unicode.IsNumber(r)
}

// byteOf gives the offset that lies so many characters behind another one, or the end of the text if
// it has not so many.
func byteOf(text string, from, characters int) (offset int, whole bool) {
	for ; characters > 0 && from < len(text); characters-- {
		n := 1
		if text[from] >= utf8.RuneSelf {
			_, n = utf8.DecodeRuneInString(text[from:])
		}
		from += n
	}
	return from, characters <= 0
}

// around gives the characters before and after a place, "" where there is none.
func around(s string, i int) (before, after string) {
	_, n := utf8.DecodeLastRuneInString(s[:i])
	_, m := utf8.DecodeRuneInString(s[i:])
	return s[i-n : i], s[i : i+m]
}

// won notes that the template at i has won with the match in d.match, and lets it rise in the list.
func (d *Detector) won(i int, line *pyre.Subject, now time.Time) *state {
	t := d.list[i]
	text := line.Text()
	start, end := 0, d.readTo
	if d.readTo < 0 {
		start, end = d.match.Group(0)
	}
	d.start = utf8.RuneCountInString(text[:start])
	d.end = d.start + utf8.RuneCountInString(text[start:end])
	t.hits++
	t.lastUsed, t.distance = now, d.start
	if d.firstUnused == i {
		d.firstUnused++
	}
	d.left[0], d.left[1] = around(text, start)
	d.right[0], d.right[1] = around(text, end)
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
