package pyre

import (
	"slices"
	"unicode"
)

// contains reports whether the character is in the set.
func (c *charset) contains(r rune) bool {
	return c.listed(r) != c.negate
}

func (c *charset) listed(r rune) bool {
	for _, k := range c.categories {
		if k.contains(r) {
			return true
		}
	}
	_, found := slices.BinarySearchFunc(c.ranges, r, func(s runeRange, r rune) int {
		switch {
		case s.hi < r:
			return -1
		case s.lo > r:
			return 1
		}
		return 0
	})
	return found
}

func (k category) contains(r rune) bool {
	return k == words && r == '_' || unicode.In(r, tables[k]...)
}
