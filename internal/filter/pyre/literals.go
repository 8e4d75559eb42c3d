package pyre

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of the derived literals; beyond them a part contributes what it had so far, or nothing.
const (
	maxExact   = 24 // texts that a part is known to be one of
	maxClause  = 64 // literals of one list
	maxClauses = 16 // lists of one pattern
	maxMembers = 4  // characters of a set that is spelled out
	maxLiteral = 64 // bytes
)

// need is what is known about the texts that a part matches.
type need struct {
	// exact are all texts that the part can match; nil if they are too many or unknown.
	exact []string
	// must has lists of which every matched text holds one each.
	must [][]string
}

// literals derives the lists of Regexp.Literals.
func literals(root *node) [][]string {
	n := needs(root)
	lists := n.must
	if c := clause(n.exact); c != nil {
		lists = append(lists, c)
	}
	slices.SortStableFunc(lists, func(a, b []string) int {
		return cmp.Or(cmp.Compare(shortest(b), shortest(a)), cmp.Compare(len(a), len(b)))
	})
	lists = slices.CompactFunc(lists, slices.Equal)
	return lists[:min(len(lists), maxClauses)]
}

func shortest(list []string) int {
	n := len(list[0])
	for _, s := range list[1:] {
		n = min(n, len(s))
	}
	return n
}

// clause makes a list of texts that one of must occur; nil if it would say nothing.
func clause(texts []string) []string {
	if len(texts) == 0 || len(texts) > maxClause {
		return nil
	}
	sorted := slices.Clone(texts)
	slices.SortFunc(sorted, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	if sorted[0] == "" {
		return nil
	}
	var out []string
	for _, s := range sorted {
		// A text that holds a shorter one adds nothing: where it occurs, the shorter one does.
		if !slices.ContainsFunc(out, func(short string) bool { return strings.Contains(s, short) }) {
			out = append(out, s)
		}
	}
	return out
}

func needs(n *node) need {
	switch n.op {
	case opLiteral:
		if !spelled(n.lit) {
			return need{}
		}
		return need{exact: []string{string(n.lit)}}
	case opSet:
		return setNeeds(n)
	case opCat:
		return catNeeds(n.subs)
	case opAlt:
		return altNeeds(n.subs)
	case opCond:
		return altNeeds(n.subs)
	case opRepeat:
		return repeatNeeds(n)
	case opGroup, opAtomic:
		return needs(n.subs[0])
	case opLook, opAssert:
		return need{exact: []string{""}}
	case opRef:
	}
	return need{}
}

// spelled reports whether the character is found in a text by its bytes: half of a surrogate pair is
// in no text, and U+FFFD stands for any byte that is not UTF-8.
func spelled(r rune) bool { return utf8.ValidRune(r) && r != utf8.RuneError }

func setNeeds(n *node) need {
	if n.fold {
		return need{}
	}
	var exact []string
	for _, r := range n.set.members(maxMembers) {
		if !spelled(r) {
			return need{}
		}
		exact = append(exact, string(r))
	}
	return need{exact: exact}
}

// catNeeds joins texts as long as all parts are known, which makes the longest literals.
func catNeeds(subs []*node) need {
	var out need
	run := []string{""}
	whole := true // run covers all of the parts so far
	flush := func() {
		if c := clause(run); c != nil {
			out.must = append(out.must, c)
		}
		run, whole = []string{""}, false
	}
	for _, sub := range subs {
		part := needs(sub)
		out.must = append(out.must, part.must...)
		if part.exact == nil {
			flush()
			continue
		}
		joined := join(run, part.exact)
		if joined == nil {
			flush()
			joined = part.exact
		}
		run = joined
	}
	if whole {
		out.exact = run
		return out
	}
	flush()
	out.must = keepBest(out.must)
	return out
}

// join gives all texts of a followed by one of b; nil if they are too many or too long.
func join(a, b []string) []string {
	if len(a)*len(b) > maxExact {
		return nil
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			if len(x)+len(y) > maxLiteral {
				return nil
			}
			out = append(out, x+y)
		}
	}
	return unique(out)
}

func unique(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// altNeeds knows the texts if it knows those of all branches; else one list, of the best list of
// each branch.
func altNeeds(subs []*node) need {
	var exact, either []string
	known, told := true, true
	for _, sub := range subs {
		n := needs(sub)
		known = known && n.exact != nil
		exact = append(exact, n.exact...)
		lists := n.must
		if c := clause(n.exact); c != nil {
			lists = append(lists, c)
		}
		if len(lists) == 0 {
			told = false
			continue
		}
		either = append(either, keepBest(lists)[0]...)
	}
	var out need
	if known {
		if exact = unique(exact); len(exact) <= maxExact {
			out.exact = exact
			return out
		}
	}
	if told {
		if c := clause(unique(either)); c != nil {
			out.must = [][]string{c}
		}
	}
	return out
}

func repeatNeeds(n *node) need {
	body := needs(n.subs[0])
	switch {
	case n.min == 0 && n.max == 1 && body.exact != nil && len(body.exact) < maxExact:
		return need{exact: unique(append([]string{""}, body.exact...))}
	case n.max == 0:
		return need{exact: []string{""}}
	case n.min == 0:
		return need{}
	}
	must := body.must
	if body.exact == nil {
		return need{must: must}
	}
	texts, times := body.exact, uint64(1)
	for times < n.min {
		more := join(texts, body.exact)
		if more == nil {
			break
		}
		texts = more
		times++
	}
	if times == n.max {
		return need{exact: texts, must: must}
	}
	if c := clause(texts); c != nil {
		must = append(slices.Clone(must), c)
	}
	return need{must: must}
}

// keepBest puts the lists with the longest shortest literal first and drops what is too much.
func keepBest(lists [][]string) [][]string {
	lists = slices.Clone(lists)
	slices.SortStableFunc(lists, func(a, b []string) int {
		return cmp.Or(cmp.Compare(shortest(b), shortest(a)), cmp.Compare(len(a), len(b)))
	})
	return lists[:min(len(lists), maxClauses)]
}

// Bounds of what a search looks for before it asks the engine. Short literals are in most texts, and
// many cost more than they save.
const (
	minScreen  = 3 // bytes
	maxScreen  = 4 // literals of one list
	maxScreens = 2 // lists
)

// screens picks the lists that a search looks for first.
func screens(lists [][]string) [][]string {
	var out [][]string
	for _, list := range lists {
		if len(out) < maxScreens && len(list) <= maxScreen && shortest(list) >= minScreen {
			out = append(out, list)
		}
	}
	return out
}

// screened reports whether the text lacks a literal that any match needs.
func (r *Regexp) screened(text string) bool {
	for _, list := range r.screens {
		if !slices.ContainsFunc(list, func(literal string) bool { return strings.Contains(text, literal) }) {
			return true
		}
	}
	return false
}
