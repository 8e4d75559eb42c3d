package feed

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/feed/jsonpath"
)

const (
	// maxHeld bounds the addresses that wait for the end of an object, which may have their score, or say that
	// they are not wanted.
	maxHeld = 100_000
	// topShown is how many members of a document are named that has nothing where its path leads.
	topShown = 8
)

// json reads a document, or one after the other, with the addresses at the ends of a path. It keeps of it what
// waits for the end of an object, and nothing else.
func (p *parser) json() error {
	path, err := jsonpath.Parse(p.format.Path)
	if err != nil {
		return fmt.Errorf("%w: the path %q: %w", ErrFormat, shown(p.format.Path), err)
	}
	var score jsonpath.Path
	if p.format.ScorePath != "" {
		if score, err = jsonpath.Parse(p.format.ScorePath); err != nil {
			return fmt.Errorf("%w: the path of the score, %q: %w", ErrFormat, shown(p.format.ScorePath), err)
		}
		if !score.Members() {
			return fmt.Errorf("%w: the path of the score, %q, leads through a list: it is seen from the object that the address is in", ErrFormat, shown(p.format.ScorePath))
		}
	}
	return p.walk(path, score)
}

// shown is a path as an error names it.
func shown(path string) string { return path[:min(len(path), 200)] }

// walk reads documents to the end.
func (p *parser) walk(path, score jsonpath.Path) error {
	w := &walker{parser: p, s: p.scanner(), path: path, score: score}
	for {
		if _, err := w.s.kind(); errors.Is(err, io.EOF) {
			return w.end()
		} else if err != nil {
			return err
		}
		for i := range path {
			w.places = append(w.places, place{route: i})
		}
		w.documents++
		if err := w.value(0, 0); err != nil {
			return err
		}
		w.places = w.places[:0]
	}
}

// walker follows the routes of a path through a document, all at once.
type walker struct {
	*parser
	s           *scanner
	path, score jsonpath.Path

	// places are where the routes have come to: those of the value that is read are at the end, behind those of
	// the values that it is in. scores are the same for the path of scores.
	places, scores []place
	objects        []object // that the value is in, if routes lead through them
	conditions     int      // of these objects together

	documents int
	reached   bool // a route has come to a list, or to its end
	elements  int  // of the lists in which addresses are
	found     int
	top       []string // names of members of the whole document
	list      bool     // which is a list
}

// place is how far a route has come.
type place struct {
	route, step int
	object      int // of a score: the one whose it is
}

// object is one that is being read.
type object struct {
	held       []held
	score      int    // or Unscored
	elementOf  uint32 // a bit for each route on which it is an element: beyond it nobody looks for a score
	conditions []condition
}

// condition is what a route wants of an object.
type condition struct {
	route int
	step  jsonpath.Step
	here  bool // the member that is being read is the one
	met   bool
}

// held is an address that waits for the end of an object.
type held struct {
	e      Entry
	route  int
	text   []byte // what is no address, and
	why    string // why; empty if it is one
	scored bool
}

// value reads a value at which the routes from some place on have come, and the same for scores.
func (w *walker) value(from, scores int) error {
	b, err := w.s.kind()
	if err != nil {
		return w.s.ended(err)
	}
	if from == len(w.places) && scores == len(w.scores) && !w.wanted() {
		return w.s.skip()
	}
	switch b {
	case '{':
		return w.object(from, scores)
	case '[':
		return w.array(from)
	}
	return w.scalar(from, scores)
}

// wanted reports whether the value is that of a condition.
func (w *walker) wanted() bool {
	return w.conditions > 0 && len(w.objects) > 0 && slices.ContainsFunc(w.objects[len(w.objects)-1].conditions, func(c condition) bool { return c.here })
}

func (w *walker) object(from, scores int) error {
	if err := w.misplaced(from, "this is an object: the path ends too early"); err != nil {
		return err
	}
	w.enter(from)
	at := w.push(from)
	to, scoresTo := len(w.places), len(w.scores)
	err := w.s.object(func(name []byte) error {
		if w.s.depth == 1 && len(w.top) < topShown && !w.reached {
			w.top = append(w.top, string(name[:min(len(name), 40)]))
		}
		for i := range w.objects[at].conditions {
			c := &w.objects[at].conditions[i]
			c.here = c.step.Member == string(name)
		}
		first, err := w.s.kind()
		if err != nil {
			return w.s.ended(err)
		}
		for i := from; i < to; i++ {
			w.step(w.places[i], name, first)
		}
		for i := scores; i < scoresTo; i++ {
			if p := w.scores[i]; p.step < len(w.score[p.route]) && w.score[p.route][p.step].Name == string(name) {
				w.scores = append(w.scores, place{p.route, p.step + 1, p.object})
			}
		}
		for i, route := range w.score {
			if from < to && route[0].Name == string(name) {
				w.scores = append(w.scores, place{i, 1, at})
			}
		}
		err = w.value(to, scoresTo)
		w.places, w.scores = w.places[:to], w.scores[:scoresTo]
		return err
	})
	if err != nil {
		return err
	}
	return w.pop()
}

// step has a route go to a member, or to a value of an object, which begins with some byte.
func (w *walker) step(p place, name []byte, first byte) {
	if p.step == len(w.path[p.route]) {
		return
	}
	switch s := w.path[p.route][p.step]; {
	case s.Each:
		w.each(p, first)
	case s.Name == string(name):
		w.places = append(w.places, place{route: p.route, step: p.step + 1})
	}
}

// each has a route go to an element, which begins with some byte. One that has to meet a condition is an object.
func (w *walker) each(p place, first byte) {
	w.elements++
	if len(w.path[p.route][p.step].Values) == 0 || first == '{' {
		w.places = append(w.places, place{route: p.route, step: p.step + 1})
	}
}

// before is the step that a route came by; nothing if it is at its beginning.
func (w *walker) before(p place) jsonpath.Step {
	if p.step == 0 {
		return jsonpath.Step{}
	}
	return w.path[p.route][p.step-1]
}

// enter notes that routes have come to a list, be it empty.
func (w *walker) enter(from int) {
	for _, p := range w.places[from:] {
		if route := w.path[p.route]; p.step < len(route) && route[p.step].Each {
			w.reached = true
			if p.step+1 == len(route) {
				w.found++
			}
		}
	}
}

// push begins an object, with the conditions that routes have for it.
func (w *walker) push(from int) int {
	at := len(w.objects)
	if at < cap(w.objects) {
		w.objects = w.objects[:at+1]
	} else {
		w.objects = append(w.objects, object{})
	}
	o := &w.objects[at]
	o.held, o.conditions, o.score = o.held[:0], o.conditions[:0], Unscored
	o.elementOf = 0
	for _, p := range w.places[from:] {
		s := w.before(p)
		if s.Each {
			o.elementOf |= 1 << p.route
		}
		if len(s.Values) > 0 {
			o.conditions = append(o.conditions, condition{route: p.route, step: s})
		}
	}
	w.conditions += len(o.conditions)
	return at
}

// pop ends an object: now it is known what becomes of the addresses that have waited for it.
func (w *walker) pop() error {
	o := &w.objects[len(w.objects)-1]
	w.objects = w.objects[:len(w.objects)-1]
	w.conditions -= len(o.conditions)
	for _, h := range o.held {
		if slices.ContainsFunc(o.conditions, func(c condition) bool { return c.route == h.route && !c.met }) {
			continue
		}
		if !h.scored && (o.score != Unscored || o.elementOf&(1<<h.route) != 0) {
			h.e.Score, h.scored = o.score, true
		}
		if err := w.give(h); err != nil {
			return err
		}
	}
	return nil
}

// array has the routes that go on there go to each element.
func (w *walker) array(from int) error {
	if err := w.misplaced(from, "this is a list: write [] at the end of the path"); err != nil {
		return err
	}
	w.enter(from)
	w.list = w.list || w.s.depth == 0
	to, scores := len(w.places), len(w.scores)
	return w.s.array(func() error {
		first, err := w.s.kind()
		if err != nil {
			return w.s.ended(err)
		}
		for i := from; i < to; i++ {
			if p := w.places[i]; p.step < len(w.path[p.route]) && w.path[p.route][p.step].Each {
				w.each(p, first)
			}
		}
		err = w.value(to, scores)
		w.places = w.places[:to]
		return err
	})
}

// misplaced notes a list or an object where an address should be.
func (w *walker) misplaced(from int, why string) error {
	for _, p := range w.places[from:] {
		if p.step < len(w.path[p.route]) {
			continue
		}
		w.found++
		w.reached = true
		w.Lines++
		if err := w.give(held{e: Entry{Line: w.s.line}, route: p.route, why: why, scored: true}); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) scalar(from, scores int) error {
	b, cut, err := w.s.scalar(w.s.most)
	if err != nil {
		return err
	}
	isNull := string(b) == "null"
	if len(w.objects) > 0 {
		o := &w.objects[len(w.objects)-1]
		for i := range o.conditions {
			if c := &o.conditions[i]; c.here && slices.Contains(c.step.Values, string(b)) {
				c.met = true
			}
		}
	}
	for _, p := range w.scores[scores:] {
		if n, ok := score(b); ok && p.step == len(w.score[p.route]) {
			w.objects[p.object].score = n
		}
	}
	for _, p := range w.places[from:] {
		route := w.path[p.route]
		if p.step < len(route) {
			w.reached = w.reached || isNull && route[p.step].Each
			continue
		}
		w.reached = true
		w.found++
		if isNull || len(b) == 0 {
			continue // there is none
		}
		w.Lines++
		h := held{route: p.route, scored: w.score == nil}
		h.e, h.why = span(b)
		h.e.Line, h.e.Score = w.s.line, NoScore
		if cut {
			h.why = "this is no address"
		}
		if h.why != "" {
			h.text = b
		}
		if err := w.give(h); err != nil {
			return err
		}
	}
	return nil
}

// give hands an address over, or has it wait for the end of the object that it is in.
func (w *walker) give(h held) error {
	if n := len(w.objects); n > 0 && (!h.scored || w.conditions > 0) {
		o := &w.objects[n-1]
		if len(o.held) == maxHeld {
			return w.s.fail("an object has more than %d addresses, and their score or what they are for behind them", maxHeld)
		}
		h.text = slices.Clone(h.text[:min(len(h.text), badText)])
		o.held = append(o.held, h)
		return nil
	}
	if h.why != "" {
		w.bad(h.e.Line, h.text, h.why)
		return nil
	}
	if !h.scored {
		h.e.Score = Unscored
	}
	w.entry(h.e)
	return nil
}

// end says whether the path led anywhere.
func (w *walker) end() error {
	switch {
	case w.reached && (w.found > 0 || w.elements == 0):
		return nil
	case w.reached:
		return fmt.Errorf("%w: none of the %d elements has an address at %q", ErrNotAList, w.elements, shown(w.format.Path))
	case w.list:
		return fmt.Errorf("%w: it is a list, in which nothing is at %q", ErrNotAList, shown(w.format.Path))
	case w.documents > 0:
		return fmt.Errorf("%w: nothing is at %q; it has %q", ErrNotAList, shown(w.format.Path), w.top)
	}
	return nil
}

// score reads a number from 0 to 100, of which what is beyond is cut off.
func score(b []byte) (int, bool) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(b)), "%"), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || f != f {
		return 0, false
	}
	return int(max(0, min(f, 100))), true
}
