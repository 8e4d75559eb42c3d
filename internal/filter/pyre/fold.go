package pyre

import (
	"slices"
	"unicode"
)

// caseTable answers what Python's ignore-case asks: a character of the text is made lower-case and
// compared with the pattern's characters, made lower-case too, and with those lower-case characters
// that have the same upper case.
type caseTable struct {
	lowered  map[rune][]rune // lower-case character -> all characters that become it, itself included
	siblings map[rune][]rune // lower-case character -> others with the same upper case
	cased    []rune          // all characters of lowered, in order
}

// cases is made of Go's Unicode tables, whose simple case mappings cover all but three pairs.
var cases = newCaseTable()

// sameUpper are the pairs whose upper case is the same text of several characters, which the simple
// mappings do not show: iota and upsilon with dialytika and tonos, and the two ligatures of s and t.
var sameUpper = [...][2]rune{{0x390, 0x1fd3}, {0x3b0, 0x1fe3}, {0xfb05, 0xfb06}}

func newCaseTable() *caseTable {
	t := &caseTable{lowered: map[rune][]rune{}, siblings: map[rune][]rune{}}
	uppers := map[rune][]rune{}
	note := func(r rune) {
		l := unicode.ToLower(r)
		if !slices.Contains(t.lowered[l], r) {
			t.lowered[l] = append(t.lowered[l], r)
			t.cased = append(t.cased, r)
		}
		if u := unicode.ToUpper(l); !slices.Contains(uppers[u], l) {
			uppers[u] = append(uppers[u], l)
		}
	}
	for _, c := range unicode.CaseRanges {
		for r := rune(c.Lo); r <= rune(c.Hi); r++ {
			note(r)
			note(unicode.ToLower(r))
		}
	}
	for _, pair := range sameUpper {
		note(pair[0])
		note(pair[1])
		t.siblings[pair[0]] = []rune{pair[1]}
		t.siblings[pair[1]] = []rune{pair[0]}
	}
	for _, group := range uppers {
		for _, l := range group {
			for _, other := range group {
				if other != l {
					t.siblings[l] = append(t.siblings[l], other)
				}
			}
		}
	}
	slices.Sort(t.cased)
	return t
}

// folded lists all characters that match r under ignore-case, r included, in order.
func (t *caseTable) folded(r rune, ascii bool) []rune {
	if ascii {
		switch {
		case 'a' <= r && r <= 'z':
			return []rune{r - 'a' + 'A', r}
		case 'A' <= r && r <= 'Z':
			return []rune{r, r - 'A' + 'a'}
		}
		return []rune{r}
	}
	l := unicode.ToLower(r)
	out := slices.Clone(t.lowered[l])
	for _, sibling := range t.siblings[l] {
		out = append(out, t.lowered[sibling]...)
	}
	if len(out) == 0 {
		return []rune{r}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fold widens the ranges of a set to ignore-case and reports whether it held a cased character.
func (t *caseTable) fold(c *charset, ascii bool) bool {
	var more []runeRange
	found := false
	for _, s := range c.ranges {
		from, _ := slices.BinarySearch(t.cased, s.lo)
		for _, r := range t.cased[from:] {
			if r > s.hi {
				break
			}
			for _, f := range t.folded(r, ascii) {
				more = append(more, runeRange{f, f})
				found = found || f != r
			}
		}
	}
	c.ranges = merge(append(c.ranges, more...))
	return found
}
