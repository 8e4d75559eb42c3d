package feed

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/feed/jsonpath"
)

// randomValue makes a value of JSON from few names and texts, so that paths often lead somewhere.
func randomValue(rng *rand.Rand, depth int) any {
	switch n := rng.IntN(10); {
	case n < 4 && depth > 0:
		m := map[string]any{}
		for range 2 + rng.IntN(5) {
			m[[]string{"a", "b", "k", "ip", "s"}[rng.IntN(5)]] = randomValue(rng, depth-1)
		}
		return m
	case n < 7 && depth > 0:
		list := []any{}
		for range rng.IntN(4) {
			list = append(list, randomValue(rng, depth-1))
		}
		return list
	case n < 8:
		return []any{nil, true, "", "x", "y", 7, 55.5, -1}[rng.IntN(8)]
	}
	return fmt.Sprintf("8.8.%d.%d", rng.IntN(3), rng.IntN(256))
}

func randomPath(rng *rand.Rand) string {
	var routes []string
	for range 1 + rng.IntN(2) {
		steps := []string{[]string{"a", "b", "ip", "[]", "[k=x|y]"}[rng.IntN(5)]}
		for range rng.IntN(4) {
			steps = append(steps, []string{".a", ".b", ".ip", "[]", "[]", "[k=x]"}[rng.IntN(6)])
		}
		routes = append(routes, strings.Join(steps, ""))
	}
	return strings.Join(routes, "|")
}

// fittingPath is one that leads somewhere in a document.
func fittingPath(rng *rand.Rand, v any) string {
	path := ""
	for {
		var inner []any
		var names []string
		switch v := v.(type) {
		case map[string]any:
			names = slices.Sorted(maps.Keys(v))
			for _, name := range names {
				inner = append(inner, v[name])
			}
		case []any:
			inner = v
		}
		if len(inner) == 0 || len(path) > 30 {
			return strings.TrimPrefix(path, ".")
		}
		i := rng.IntN(len(inner))
		switch {
		case rng.IntN(8) == 0:
			path += "[k=x|y]"
		case names == nil || rng.IntN(5) == 0:
			path += "[]"
		default:
			path += "." + names[i]
		}
		v = inner[i]
	}
}

// model is a path's meaning, told plainly: the document is there as a whole, and each route goes by itself.
type model struct {
	path, score jsonpath.Path
	out         []string
	bad         int
}

// around is an object that a route has led through, and whether it is an element of a list on the way.
type around struct {
	members map[string]any
	element bool
}

func (m *model) walk(v any, route jsonpath.Route, objects []around, element bool) {
	if o, ok := v.(map[string]any); ok {
		objects = append(slices.Clone(objects), around{o, element})
	}
	if len(route) == 0 {
		m.end(v, objects)
		return
	}
	step := route[0]
	if !step.Each {
		if o, ok := v.(map[string]any); ok {
			if inner, ok := o[step.Name]; ok {
				m.walk(inner, route[1:], objects, false)
			}
		}
		return
	}
	var all []any
	switch v := v.(type) {
	case []any:
		all = v
	case map[string]any:
		for _, inner := range v {
			all = append(all, inner)
		}
	}
	for _, inner := range all {
		o, isObject := inner.(map[string]any)
		if len(step.Values) > 0 && (!isObject || len(route) > 1 && !meets(o[step.Member], step.Values)) {
			continue // an object where the path ends is bad, be it as it should or not
		}
		m.walk(inner, route[1:], objects, true)
	}
}

func meets(v any, values []string) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool { return meets(v, values) })
	}
	if _, ok := v.(map[string]any); ok {
		return false
	}
	return slices.Contains(values, fmt.Sprint(v))
}

func (m *model) end(v any, objects []around) {
	switch v := v.(type) {
	case nil:
	case string:
		if v == "" {
			return
		}
		e, why := span([]byte(v))
		if why != "" {
			m.bad++
			return
		}
		e.Score = NoScore
		if m.score != nil {
			e.Score = m.scoreOf(objects)
		}
		m.out = append(m.out, written(e))
	default:
		m.bad++
	}
}

// scoreOf is that of the nearest object that has one, no further out than the element of the nearest list.
func (m *model) scoreOf(objects []around) int {
	for _, o := range slices.Backward(objects) {
		for _, route := range m.score {
			var v any = o.members
			for _, s := range route {
				inner, _ := v.(map[string]any)
				v = inner[s.Name]
			}
			if v == nil {
				continue
			}
			if n, ok := score(fmt.Append(nil, v)); ok {
				return n
			}
		}
		if o.element {
			return Unscored
		}
	}
	return Unscored
}

func TestPathsMeanWhatAModelSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 8000 {
		v := randomValue(rng, 5)
		text := randomPath(rng)
		if fits := fittingPath(rng, v); fits != "" && rng.IntN(4) > 0 {
			text = fits + []string{"", "|" + text}[rng.IntN(2)]
		}
		path, err := jsonpath.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		f := Format{Kind: "json", Path: text}
		m := model{path: path}
		if rng.IntN(2) == 0 {
			f.ScorePath = []string{"s", "b.s"}[rng.IntN(2)]
			if m.score, err = jsonpath.Parse(f.ScorePath); err != nil {
				t.Fatal(err)
			}
		}
		doc, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range path {
			m.walk(v, route, nil, false)
		}
		var got []string
		p, _ := Parse(strings.NewReader(string(doc)), f, Limits{BadShare: 1}, func(e Entry) { got = append(got, written(e)) })
		slices.Sort(got)
		slices.Sort(m.out)
		if !slices.Equal(got, m.out) || p.BadCount != m.bad {
			t.Fatalf("%s, score %q, of\n%s\nare %v and %d bad, not %v and %d", text, f.ScorePath, doc, got, p.BadCount, m.out, m.bad)
		}
		found += len(got)
	}
	if found < 2000 {
		t.Errorf("only %d addresses were found in all", found)
	}
}
