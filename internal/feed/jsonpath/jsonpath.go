package jsonpath

import (
	"errors"
	"fmt"
	"strings"
)

// The bounds of a path.
const (
	maxText   = 1000 // bytes
	maxRoutes = 16
	maxSteps  = 16 // of a route
	maxValues = 32 // of a condition
)

// Path is where something is: at the end of any of its routes.
type Path []Route

// Route is a way from the outermost value to one within it.
type Route []Step

// Step is one step of a Route: to the member Name of an object, or, with Each, to every element of a list and to
// every value of an object.
type Step struct {
	Name string
	Each bool
	// Member and Values are a condition on an element: it is an object whose member of that name has one of the
	// values. An empty Values is none.
	Member string
	Values []string
}

// Parse reads a path. The error says what is wrong with it, and where.
func Parse(text string) (Path, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("it is longer than %d bytes", maxText)
	}
	r := &reader{rest: text}
	var p Path
	for {
		route, err := r.route()
		if err != nil {
			return nil, err
		}
		p = append(p, route)
		if len(p) > maxRoutes {
			return nil, fmt.Errorf("it has more than %d ways, which | is between", maxRoutes)
		}
		if !r.eat("|") {
			break
		}
	}
	if r.rest != "" {
		return nil, fmt.Errorf("there is %q where a dot, [ or | should be", r.here())
	}
	return p, nil
}

// Members reports whether a path leads through members of objects alone.
func (p Path) Members() bool {
	for _, route := range p {
		for _, s := range route {
			if s.Each {
				return false
			}
		}
	}
	return true
}

// reader takes a path apart.
type reader struct{ rest string }

func (r *reader) eat(s string) bool {
	rest, ok := strings.CutPrefix(r.rest, s)
	r.rest = rest
	return ok
}

// here is where it is, for people.
func (r *reader) here() string { return r.rest[:min(len(r.rest), 20)] }

func (r *reader) route() (route Route, err error) {
	for {
		var s Step
		if r.eat("[") {
			s, err = r.each()
		} else {
			s.Name, err = r.word(".[]|")
		}
		if err != nil {
			return nil, err
		}
		if route = append(route, s); len(route) > maxSteps {
			return nil, fmt.Errorf("it has more than %d steps", maxSteps)
		}
		if !r.eat(".") && !strings.HasPrefix(r.rest, "[") {
			return route, nil
		}
	}
}

// each reads what follows an opening bracket.
func (r *reader) each() (s Step, err error) {
	s.Each = true
	if r.eat("]") {
		return s, nil
	}
	if s.Member, err = r.word("=]"); err != nil {
		return s, err
	}
	if !r.eat("=") {
		return s, errors.New("there is no = in a condition: write [], or [member=value]")
	}
	for {
		v, err := r.word("|]")
		if err != nil {
			return s, err
		}
		if s.Values = append(s.Values, v); len(s.Values) > maxValues {
			return s, fmt.Errorf("a condition has more than %d values", maxValues)
		}
		if r.eat("]") {
			return s, nil
		}
		if !r.eat("|") {
			return s, errors.New("a condition has no closing ]")
		}
	}
}

// word reads a name or a value, which ends before one of some characters unless it is quoted.
func (r *reader) word(ends string) (string, error) {
	if r.eat(`"`) {
		word, rest, ok := strings.Cut(r.rest, `"`)
		if !ok {
			return "", fmt.Errorf("the quote before %q does not end", r.here())
		}
		r.rest = rest
		return word, nil
	}
	n := strings.IndexAny(r.rest, ends+`"`)
	if n < 0 {
		n = len(r.rest)
	}
	word := r.rest[:n]
	if strings.TrimSpace(word) != word || word == "" {
		return "", fmt.Errorf("there is no name before %q", r.rest[n:min(len(r.rest), n+20)])
	}
	r.rest = r.rest[n:]
	return word, nil
}
