package jsonpath_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/feed/jsonpath"
)

func TestPathsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"ip":                             "{ip}",
		"threats[].ip_address":           "{threats}{each}{ip_address}",
		"[]":                             "{each}",
		"[].ip":                          "{each}{ip}",
		"a.b[].c[][].d":                  "{a}{b}{each}{c}{each}{each}{d}",
		"v4[]|v6[]":                      "{v4}{each} | {v6}{each}",
		"p[service=A|B].x|q[k=v].y":      "{p}{each service A,B}{x} | {q}{each k v}{y}",
		`a."b.c[]|"[]`:                   "{a}{b.c[]|}{each}",
		`a["x=y"="1|2"].b`:               "{a}{each x=y 1|2}{b}",
		"first name.the address":         "{first name}{the address}",
		"\u00e4.\u65e5[]":                "{\u00e4}{\u65e5}{each}",
		strings.Repeat("a.", 15) + "a":   strings.Repeat("{a}", 16),
		strings.Repeat("a|", 15) + "a[]": strings.Repeat("{a} | ", 15) + "{a}{each}",
	} {
		p, err := jsonpath.Parse(text)
		if got := shown(p); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

func shown(p jsonpath.Path) string {
	var routes []string
	for _, route := range p {
		text := ""
		for _, s := range route {
			switch {
			case len(s.Values) > 0:
				text += fmt.Sprintf("{each %s %s}", s.Member, strings.Join(s.Values, ","))
			case s.Each:
				text += "{each}"
			default:
				text += "{" + s.Name + "}"
			}
		}
		routes = append(routes, text)
	}
	return strings.Join(routes, " | ")
}

func TestWhatIsNoPathIsRefusedWithItsReason(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "no name",
		".":                               "no name",
		"a.":                              "no name",
		"a..b":                            "no name",
		"a|":                              "no name",
		"a. b":                            "no name",
		"a]":                              "where a dot, [ or | should be",
		"a[]b":                            "where a dot, [ or | should be",
		"a[":                              "no name",
		"a[b":                             "no =",
		"a[b]":                            "no =",
		"a[b=":                            "no name",
		"a[b=c":                           "no closing ]",
		"a[b=c|]":                         "no name",
		`"a`:                              "does not end",
		`a"b"`:                            "where a dot",
		strings.Repeat("a", 1001):         "longer than",
		strings.Repeat("a.", 16) + "a":    "steps",
		strings.Repeat("a|", 16) + "a":    "ways",
		"a[b=" + strings.Repeat("c|", 40): "values",
	} {
		if p, err := jsonpath.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, p, err, want)
		}
	}
}

func TestOnlyMembersIsKnown(t *testing.T) {
	for text, want := range map[string]bool{"a": true, "a.b|c": true, "a|b[]": false, "[].a": false} {
		p, err := jsonpath.Parse(text)
		if err != nil || p.Members() != want {
			t.Errorf("%s: %v, %v", text, p.Members(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a.b[].c|d", `a[b=c|"d"]."e"`, "[]", "a]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := jsonpath.Parse(text)
		if err != nil {
			return
		}
		if len(p) == 0 || len(p) > 16 {
			t.Fatalf("%q has %d ways", text, len(p))
		}
		for _, route := range p {
			if len(route) == 0 || len(route) > 16 {
				t.Fatalf("%q has a way of %d steps", text, len(route))
			}
		}
	})
}
