package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAddressesAreFoundInJSON(t *testing.T) {
	for name, c := range map[string]struct{ path, score, text, want string }{
		"a list of objects":            {"threats[].ip_address", "", `{"threats":[{"ip_address":"8.8.8.8"},{"ip_address":"2606::1"}]}`, "8.8.8.8 2606::1"},
		"a list that is all":           {"[]", "", `["8.8.8.8","8.8.4.0/24"]`, "8.8.8.8 8.8.4.0-8.8.4.255"},
		"objects in a list":            {"[].ip", "", ` [ { "ip" : "8.8.8.8" } , {"ip":"8.8.4.4"} ] `, "8.8.8.8 8.8.4.4"},
		"lists in lists":               {"a.b[].c[]", "", `{"a":{"b":[{"c":["8.8.8.1","8.8.8.2"]},{"c":[]},{"c":["8.8.8.3"]}]}}`, "8.8.8.1 8.8.8.2 8.8.8.3"},
		"a list of lists":              {"[][]", "", `[["8.8.8.1"],["8.8.8.2"]]`, "8.8.8.1 8.8.8.2"},
		"either":                       {"p[].v4|p[].v6", "", `{"p":[{"v4":"8.8.8.8"},{"v6":"2606::/32"},{"v4":null}]}`, "8.8.8.8 2606::-2606:0:ffff:ffff:ffff:ffff:ffff:ffff"},
		"two lists":                    {"a[]|b[]", "", `{"b":["8.8.8.2"],"c":["8.8.8.3"],"a":["8.8.8.1"]}`, "8.8.8.2 8.8.8.1"},
		"values of an object":          {"sets[].ip", "", `{"sets":{"x":{"ip":"8.8.8.1"},"y":{"ip":"8.8.8.2"}}}`, "8.8.8.1 8.8.8.2"},
		"documents one after another":  {"ip", "", "{\"ip\":\"8.8.8.1\"}\n{\"ip\":\"8.8.8.2\"}\n", "8.8.8.1 8.8.8.2"},
		"other things around":          {"x.list[].ip", "", `{"a":[[[1,2,{"ip":"1.1.1.1"}]]],"x":{"ip":"1.1.1.1","list":[{"y":{"ip":"1.1.1.1"},"ip":"8.8.8.8","z":[1]}],"n":-1.5e3},"t":true}`, "8.8.8.8"},
		"a score before":               {"t[].ip", "score", `{"t":[{"score":61,"ip":"8.8.8.8"}]}`, "8.8.8.8(61)"},
		"a score behind":               {"t[].ip", "score", `{"t":[{"ip":"8.8.8.8","score":61.9},{"ip":"8.8.4.4","score":"7"}]}`, "8.8.8.8(61) 8.8.4.4(7)"},
		"scores beyond":                {"[].ip", "s", `[{"ip":"8.8.8.1","s":-3},{"ip":"8.8.8.2","s":101},{"ip":"8.8.8.3","s":1e999}]`, "8.8.8.1(0) 8.8.8.2(100) 8.8.8.3(100)"},
		"a score further in":           {"[].ip", "threat.score", `[{"ip":"8.8.8.1","threat":{"level":1,"score":5}},{"threat":{"score":6},"ip":"8.8.8.2","score":9}]`, "8.8.8.1(5) 8.8.8.2(6)"},
		"a score further out":          {"[].net.ip", "score", `[{"net":{"ip":"8.8.8.1"},"score":5},{"score":6,"net":{"ip":"8.8.8.2","score":7}}]`, "8.8.8.1(5) 8.8.8.2(7)"},
		"one score of several":         {"[].ips[]", "score", `[{"ips":["8.8.8.1","8.8.8.2"],"score":5}]`, "8.8.8.1(5) 8.8.8.2(5)"},
		"a score of one of two names":  {"[].ip", "a|b", `[{"ip":"8.8.8.1","a":1},{"ip":"8.8.8.2","b":2}]`, "8.8.8.1(1) 8.8.8.2(2)"},
		"no score":                     {"[].ip", "score", `[{"ip":"8.8.8.1"},{"ip":"8.8.8.2","score":null},{"ip":"8.8.8.3","score":"high"},{"ip":"8.8.8.4","score":{}}]`, "8.8.8.1(-2) 8.8.8.2(-2) 8.8.8.3(-2) 8.8.8.4(-2)"},
		"nobody else's score":          {"t[].ip", "score", `{"score":99,"t":[{"ip":"8.8.8.1"},{"score":50,"ip":"8.8.8.2"},{"ip":"8.8.8.3"}]}`, "8.8.8.1(-2) 8.8.8.2(50) 8.8.8.3(-2)"},
		"a condition":                  {"p[s=A|B].ip", "", `{"p":[{"ip":"8.8.8.1","s":"A"},{"s":"C","ip":"8.8.8.2"},{"s":"B","ip":"8.8.8.3"},{"ip":"8.8.8.4"},"A",{"ip":"8.8.8.5","s":"A","x":{"s":"C"}}]}`, "8.8.8.1 8.8.8.3 8.8.8.5"},
		"a condition further out":      {"p[s=A].q[].ip", "", `{"p":[{"q":[{"ip":"8.8.8.1","s":"A"}],"s":"B"},{"q":[{"ip":"8.8.8.2"},{"ip":"8.8.8.3"}],"s":"A"}]}`, "8.8.8.2 8.8.8.3"},
		"a condition of several":       {"p[tags=A].ip", "", `{"p":[{"ip":"8.8.8.1","tags":["B","A"]},{"ip":"8.8.8.2","tags":["B"]}]}`, "8.8.8.1"},
		"conditions of numbers":        {"p[n=1|true].ip", "", `{"p":[{"ip":"8.8.8.1","n":1},{"ip":"8.8.8.2","n":true},{"ip":"8.8.8.3","n":2}]}`, "8.8.8.1 8.8.8.2"},
		"a condition and a score":      {"p[s=A].ip", "score", `{"p":[{"ip":"8.8.8.1","score":3,"s":"A"},{"ip":"8.8.8.2","s":"B","score":4}]}`, "8.8.8.1(3)"},
		"conditions of two ways":       {"p[s=A].x|p[s=B].y", "", `{"p":[{"x":"8.8.8.1","y":"8.8.8.2","s":"A"},{"x":"8.8.8.3","y":"8.8.8.4","s":"B"}]}`, "8.8.8.1 8.8.8.4"},
		"escapes":                      {"\u00e4\U0001f600.ip", "", "{\"\\u00e4\\ud83d\\ude00\":{\"ip\":\"8\\u002e8.8.8\"}}", "8.8.8.8"},
		"escaped slashes":              {"[]", "", `["8.8.8.0\/24"]`, "8.8.8.0-8.8.8.255"},
		"a long text that is not ours": {"[].ip", "", `[{"t":"` + strings.Repeat("x", 100_000) + `","ip":"8.8.8.8"}]`, "8.8.8.8"},
		"invalid UTF-8 elsewhere":      {"[].ip", "", "[{\"t\":\"\xff\xfe\",\"ip\":\"8.8.8.8\"}]", "8.8.8.8"},
		"line ends of all kinds":       {"[]", "", "\xef\xbb\xbf[\r\n\"8.8.8.1\",\r\n\"8.8.8.2\"]\r\n", "8.8.8.1 8.8.8.2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "json", Path: c.path, ScorePath: c.score}, Limits{}, c.text)
			if err != nil || got != c.want || p.BadCount != 0 {
				t.Errorf("%q, %+v, %v; want %q", got, p, err, c.want)
			}
		})
	}
}

func TestWhatIsNoJSONListIsRefusedWithItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		path, text string
		want       error
		says       string
	}{
		"another document":     {"threats[].ip", `{"error":"quota exceeded","limit":5}`, ErrNotAList, `nothing is at "threats[].ip"; it has ["error" "limit"]`},
		"a hostile one":        {"threats[].ip", "{\"\\u001b[2J\":1}", ErrNotAList, `["\x1b[2J"]`},
		"a list":               {"threats[].ip", `[{"ip":"8.8.8.8"}]`, ErrNotAList, "it is a list"},
		"an object":            {"[].ip", `{"ip":"8.8.8.8"}`, ErrNotAList, `none of the 1 elements has an address`},
		"elements of other":    {"t[].ip", `{"t":[{"addr":"8.8.8.8"},{"addr":"8.8.8.9"}]}`, ErrNotAList, `none of the 2 elements has an address at "t[].ip"`},
		"nothing but a text":   {"ip", `"8.8.8.8"`, ErrNotAList, "nothing is at"},
		"an empty list":        {"t[].ip", `{"t":[]}`, ErrEmpty, ""},
		"an empty list at all": {"[]", `[]`, ErrEmpty, ""},
		"empty inner lists":    {"a[].b[]", `{"a":[{"b":[]}]}`, ErrEmpty, ""},
		"a list that is null":  {"t[].ip", `{"t":null}`, ErrEmpty, ""},
		"none of a condition":  {"t[s=x].ip", `{"t":[{"s":"y","ip":"8.8.8.8"}]}`, ErrEmpty, ""},
		"nothing":              {"t[].ip", "  \n", ErrEmpty, ""},
		"a page":               {"t[].ip", "<html>", ErrNotAList, "page of the web"},
		"cut in a list":        {"t[].ip", `{"t":[{"ip":"8.8.8.8"},`, ErrNotAList, "it was cut off"},
		"cut in a text":        {"t[].ip", `{"t":[{"ip":"8.8.8`, ErrNotAList, "it was cut off"},
		"cut in a name":        {"t[].ip", `{"t":[{"i`, ErrNotAList, "it was cut off"},
		"cut in an escape":     {"t[].ip", `{"t":[{"ip":"8\u00`, ErrNotAList, "it was cut off"},
		"cut behind a value":   {"t[].ip", `{"t":[{"ip":"8.8.8.8"}]`, ErrNotAList, "it was cut off"},
		"no comma":             {"[]", `["8.8.8.8" "8.8.4.4"]`, ErrNotAList, `there is '"' where a comma`},
		"a comma too many":     {"[]", `["8.8.8.8",]`, ErrNotAList, `there is no value`},
		"no name":              {"a", `{a:1}`, ErrNotAList, `'a' where the name of a member`},
		"no colon":             {"a", `{"a" 1}`, ErrNotAList, "where a colon"},
		"no JSON":              {"a", "8.8.8.8\n8.8.4.4\n", ErrNotAList, "in line 1 there is no value"},
		"a raw line end":       {"[]", "[\"8.8.8.8\n\"]", ErrNotAList, "control character"},
		"deep nesting":         {"a", strings.Repeat("[", 100_000), ErrNotAList, "deeper than 64"},
		"deep objects":         {"a[]", strings.Repeat(`{"a":`, 100_000), ErrNotAList, "deeper than 64"},
		"a long word":          {"a", `{"a":` + strings.Repeat("1", 100_000) + `}`, ErrNotAList, "there is no value"},
		"an odd escape":        {"[]", `["\x41"]`, ErrNotAList, "backslash"},
		"no character":         {"[]", `["\uzzzz"]`, ErrNotAList, "no character"},
		"only bad ones":        {"[]", `["evil.example"]`, ErrNotAList, `"evil.example": this is no address`},
		"too far":              {"t[]", `{"t":[{"ip":"8.8.8.8"}]}`, ErrNotAList, "the path ends too early"},
		"not far enough":       {"t[].ip", `{"t":[{"ip":["8.8.8.8"]}]}`, ErrNotAList, "write [] at the end"},
		"no path":              {"", `[]`, ErrFormat, "the path"},
		"a bad path":           {"a[", `[]`, ErrFormat, "no name"},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "json", Path: c.path}, Limits{}, c.text)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %q, %+v; want %v, %q", err, got, p, c.want, c.says)
			}
		})
	}
	_, _, err := parsed(t, Format{Kind: "json", Path: "[].ip", ScorePath: "a[].b"}, Limits{}, "[]")
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "leads through a list") {
		t.Errorf("a score in a list: %v", err)
	}
}

func TestBadElementsOfJSONAreCountedWithTheirLine(t *testing.T) {
	text := "{\"t\":[\n" + strings.Repeat("{\"ip\":\"8.8.8.8\"},\n", 50) + "{\"ip\":\"evil\"},\n{\"ip\":17},\n{\"ip\":\"8.8.8.8:22\"},\n{\"ip\":[1]},\n{\"ip\":{}},\n{\"ip\":\"" + strings.Repeat("8", 20_000) + "\"}\n]}"
	for _, score := range []string{"", "score"} {
		_, p, err := parsed(t, Format{Kind: "json", Path: "t[].ip", ScorePath: score}, Limits{}, text)
		if err != nil || p.Entries != 50 || p.BadCount != 6 || p.Lines != 56 {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, b := range p.Bad {
			if b.Line < 52 || b.Line > 57 || len(b.Text) > 100 || b.Why == "" {
				t.Errorf("%+v", b)
			}
		}
	}
}

// Memory is bounded also where a document wants much to be kept.
func TestAddressesWaitForAScoreInBoundedNumber(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"ips":[`)
	for i := range maxHeld + 1 {
		fmt.Fprintf(&b, `"8.%d.%d.%d",`, i>>16, i>>8&255, i&255)
	}
	b.WriteString(`"9.9.9.9"],"score":5}`)
	_, _, err := parsed(t, Format{Kind: "json", Path: "ips[]", ScorePath: "score"}, Limits{}, b.String())
	if !errors.Is(err, ErrNotAList) || !strings.Contains(err.Error(), "more than 100000 addresses") {
		t.Errorf("%v", err)
	}
	// Without a score nothing waits.
	_, p, err := parsed(t, Format{Kind: "json", Path: "ips[]"}, Limits{}, b.String())
	if err != nil || p.Entries != maxHeld+2 {
		t.Errorf("%d entries, %v", p.Entries, err)
	}
}
