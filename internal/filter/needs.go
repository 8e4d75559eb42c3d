package filter

import (
	"cmp"
	"slices"
	"strings"
)

// minLiteral is the shortest literal worth looking for, in bytes: shorter ones are in most lines.
const minLiteral = 3

// maxClauses is how many clauses are kept of one regex: the second sorts out most of what the first
// lets through, a third little more.
const maxClauses = 2

// A clause is a list of literals of which a line must hold one.
type clause []string

// needs says what a line must hold to match: all clauses of one of the lists. No lists: nothing can
// match.
type needs struct {
	always bool // nothing is known: any line may match
	any    [][]clause
}

// findNeeds derives the literals that a line must hold for this filter to do anything with it but
// note its date. Sound only with maxlines 1, where a line matches alone: the regexes that must match
// are the prefregex, whose content is part of the text, and one failregex, which searches in there.
// The text is the line without its date and with a newline at the end, which is what the literals are
// corrected for. An ignoreregex can only take a match away.
func (f *Filter) findNeeds(o Options) needs {
	if f.maxLines > 1 || f.checkAll {
		return needs{always: true}
	}
	all := seams(o.DatePattern)
	var common []clause
	if f.pref != nil {
		common = bestClauses(f.pref.re.Literals(), all)
	}
	var n needs
	for _, r := range f.fail {
		list := slices.Concat(common, bestClauses(r.re.Literals(), all))
		if len(list) == 0 {
			return needs{always: true}
		}
		n.any = append(n.any, list)
	}
	return n
}

// bestClauses takes the most telling clauses of those that a regex needs all.
func bestClauses(lists [][]string, all []seam) []clause {
	var usable []clause
	for _, list := range lists {
		if c := usableClause(list, all); c != nil {
			usable = append(usable, c)
		}
	}
	slices.SortStableFunc(usable, func(a, b clause) int {
		return cmp.Or(cmp.Compare(b.shortest(), a.shortest()), cmp.Compare(len(a), len(b)))
	})
	return usable[:min(len(usable), maxClauses)]
}

// usableClause makes a clause about the line as it stands in the log; nil if it would say too little.
func usableClause(list []string, all []seam) clause {
	var c clause
	for _, literal := range list {
		literal = strings.TrimSuffix(literal, "\n")
		if strings.Contains(literal, "\n") {
			return nil
		}
		pieces := []string{literal}
		if len(literal) > 1 {
			pieces = unsewn(literal, all)
		}
		if pieces == nil {
			return nil
		}
		for _, p := range pieces {
			if len(p) < minLiteral {
				return nil
			}
			if !slices.Contains(c, p) {
				c = append(c, p)
			}
		}
	}
	return c
}

func (c clause) shortest() int {
	return len(slices.MinFunc(c, func(a, b string) int { return cmp.Compare(len(a), len(b)) }))
}
