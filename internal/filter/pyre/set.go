package pyre

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// runeRange holds the characters from lo to hi, both included.
type runeRange struct{ lo, hi rune }

// category is a class that is kept by name, because spelled out it has hundreds of ranges.
type category uint8

const (
	digits category = iota // Python's \d: Unicode's Nd
	words                  // Python's \w: str.isalnum or the underscore
)

// tables names what a category is made of; words hold the underscore besides.
var tables = [...][]*unicode.RangeTable{
	digits: {unicode.Nd},
	words:  {unicode.L, unicode.N},
}

// spaces are the characters that str.isspace knows.
var spaces = []runeRange{
	{0x09, 0x0d},
	{0x1c, 0x20},
	{0x85, 0x85},
	{0xa0, 0xa0},
	{0x1680, 0x1680},
	{0x2000, 0x200a},
	{0x2028, 0x2029},
	{0x202f, 0x202f},
	{0x205f, 0x205f},
	{0x3000, 0x3000},
}

// The ASCII classes, which \d, \w and \s are under the flag ASCII and in ASCII texts. Python's \s
// under the flag lacks the separators 0x1c to 0x1f, which str.isspace has.
var (
	asciiDigits = []runeRange{{'0', '9'}}
	asciiWords  = []runeRange{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	asciiSpaces = []runeRange{{0x09, 0x0d}, {0x20, 0x20}}
)

// charset is a set of characters: the ranges and categories, or with negate all others. Ranges are
// in order and do not touch.
type charset struct {
	ranges     []runeRange
	categories []category
	negate     bool
}

func (c *charset) add(ranges ...runeRange) {
	c.ranges = append(c.ranges, ranges...)
}

// class adds one of \d \D \w \W \s \S by its letter.
func (c *charset) class(letter rune, ascii bool) {
	var (
		ranges []runeRange
		cat    category
		named  bool
	)
	switch unicode.ToLower(letter) {
	case 'd':
		ranges, cat, named = asciiDigits, digits, !ascii
	case 'w':
		ranges, cat, named = asciiWords, words, !ascii
	case 's':
		ranges = asciiSpaces
		if !ascii {
			ranges = spaces
		}
	}
	negated := unicode.IsUpper(letter)
	switch {
	case named && negated:
		c.add(complement(cat.spell())...)
	case named:
		c.categories = append(c.categories, cat)
	case negated:
		c.add(complement(ranges)...)
	default:
		c.add(ranges...)
	}
}

// oneClass is the set of one of \d \D \w \W \s \S, without spelling out what is not in it.
func oneClass(letter rune, ascii bool) *charset {
	c := &charset{negate: unicode.IsUpper(letter)}
	c.class(unicode.ToLower(letter), ascii)
	return c
}

// spell gives the ranges of a category.
func (k category) spell() []runeRange {
	var ranges []runeRange
	for _, table := range tables[k] {
		for _, r := range table.R16 {
			ranges = spread(ranges, rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range table.R32 {
			ranges = spread(ranges, rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	if k == words {
		ranges = append(ranges, runeRange{'_', '_'})
	}
	return merge(ranges)
}

func spread(ranges []runeRange, lo, hi, stride rune) []runeRange {
	if stride == 1 {
		return append(ranges, runeRange{lo, hi})
	}
	for r := lo; r <= hi; r += stride {
		ranges = append(ranges, runeRange{r, r})
	}
	return ranges
}

// merge puts ranges in order and joins those that overlap or touch.
func merge(ranges []runeRange) []runeRange {
	slices.SortFunc(ranges, func(a, b runeRange) int { return int(a.lo - b.lo) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// complement gives what merged ranges leave out.
func complement(ranges []runeRange) []runeRange {
	var out []runeRange
	next := rune(0)
	for _, r := range ranges {
		if r.lo > next {
			out = append(out, runeRange{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, runeRange{next, unicode.MaxRune})
	}
	return out
}

// asciiOnly gives the listed ASCII characters as ranges.
func (c *charset) asciiOnly() []runeRange {
	var out []runeRange
	for _, r := range c.ranges {
		if r.lo < utf8.RuneSelf {
			out = append(out, runeRange{r.lo, min(r.hi, utf8.RuneSelf-1)})
		}
	}
	for _, k := range c.categories {
		if k == words {
			out = append(out, asciiWords...)
		} else {
			out = append(out, asciiDigits...)
		}
	}
	return merge(out)
}

// members lists the characters of a small set; nil if there are more than limit, or none.
func (c *charset) members(limit int) []rune {
	if c.negate || len(c.categories) > 0 {
		return nil
	}
	var out []rune
	for _, r := range c.ranges {
		if int(r.hi-r.lo) >= limit-len(out) {
			return nil
		}
		for ch := r.lo; ch <= r.hi; ch++ {
			out = append(out, ch)
		}
	}
	return out
}
