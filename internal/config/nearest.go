package config

import (
	"slices"
	"strings"
)

// maxNearest is how many names a hint offers.
const maxNearest = 3

// nearest gives the names most like the given one: equal but for case, with one inside the other, or
// with few letters changed; best first, at most three.
func nearest(name string, names []string) []string {
	type candidate struct {
		name string
		far  int
	}
	var found []candidate
	lower := strings.ToLower(name)
	for _, n := range names {
		if len(n) > 100 || len(name) > 100 {
			continue
		}
		other := strings.ToLower(n)
		far := distance(lower, other)
		if len(lower) > 2 && len(other) > 2 && (strings.Contains(other, lower) || strings.Contains(lower, other)) {
			far = min(far, 2)
		}
		if far <= max(1, len(lower)/3) {
			found = append(found, candidate{n, far})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.far - b.far })
	var best []string
	for _, c := range found {
		if !slices.Contains(best, c.name) && len(best) < maxNearest {
			best = append(best, c.name)
		}
	}
	return best
}

// distance counts the letters to insert, remove or change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
