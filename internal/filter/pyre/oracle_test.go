package pyre

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// question is a pattern with the texts to search, and Python's answer to it.
type question struct {
	Pattern string   `json:"p"`
	Flags   Flags    `json:"f"`
	Texts   []string `json:"t"`
	Refusal string   `json:"e,omitempty"`
	// Spans are rendered as found does; "unknown" where Python did not end in
	// time, or ended with an error of its own.
	Spans []string `json:"s,omitempty"`
	// Origin says where a pattern comes from that is not spelled out here.
	Origin string `json:"o,omitempty"`
}

const askPython = `
import json, re, signal, sys, warnings
warnings.simplefilter("ignore")
flags = [re.I, re.M, re.S, re.X, re.A]
class Slow(Exception): pass
def slow(*_): raise Slow()
signal.signal(signal.SIGALRM, slow)
def spans(m, text):
    if m is None: return "none"
    at = lambda i: len(text[:i].encode())
    return " ".join("-" if s < 0 else "%d:%d" % (at(s), at(e)) for s, e in m.regs)
out = []
for q in json.load(sys.stdin):
    a = {}
    try:
        r = re.compile(q["p"], sum(f for i, f in enumerate(flags) if q["f"] >> i & 1))
    except (re.error, ValueError, OverflowError, RecursionError) as e:
        a["e"] = str(e) or type(e).__name__
    else:
        a["s"] = []
        for t in q["t"] or []:
            signal.setitimer(signal.ITIMER_REAL, 0.25)
            try:
                m = r.search(t)
                signal.setitimer(signal.ITIMER_REAL, 0)
                a["s"].append(spans(m, t))
            except (Slow, SystemError):
                signal.setitimer(signal.ITIMER_REAL, 0)
                a["s"].append("unknown")
    out.append(a)
json.dump(out, sys.stdout)
`

// ask has Python answer the questions.
func ask(t *testing.T, questions []question) {
	t.Helper()
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var answers []question
	oracle.JSON(t, askPython, in, &answers)
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	for i, a := range answers {
		questions[i].Refusal, questions[i].Spans = a.Refusal, a.Spans
	}
}

// verdict counts what a comparison has seen.
type verdict struct {
	patterns, refused, searches, matches, differences, gaveUp int
}

// compare holds our answers against Python's; known says why a difference is expected, or "".
func compare(t *testing.T, questions []question, known func(q question, text, want, got string) string) verdict {
	t.Helper()
	var v verdict
	reasons := map[string]int{}
	differ := func(q question, text, want, got string) {
		if why := known(q, text, want, got); why != "" {
			reasons[why]++
			return
		}
		v.differences++
		if v.differences <= 40 {
			t.Errorf("%s%q flags %b in %q\n  python %s\n  we     %s", q.Origin, q.Pattern, q.Flags, text, want, got)
		}
	}
	for _, q := range questions {
		v.patterns++
		re, err := Compile(q.Pattern, q.Flags)
		if err != nil || q.Refusal != "" {
			if q.Refusal != "" {
				v.refused++
			}
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != q.Refusal {
				differ(q, "", q.Refusal, got)
			}
			continue
		}
		var m Match
		for i, text := range q.Texts {
			v.searches++
			got := "none"
			ok, err := re.Search(NewSubject(text), &m)
			switch {
			case err != nil:
				v.gaveUp++
				continue
			case ok:
				v.matches++
				got = found(&m, re.NumGroups())
				checkLiterals(t, re, text, &m)
			}
			if q.Spans[i] != "unknown" && got != q.Spans[i] {
				differ(q, text, q.Spans[i], got)
			}
		}
	}
	t.Logf("%+v, known differences %v", v, reasons)
	return v
}

// checkLiterals demands that a match holds what Literals promises.
func checkLiterals(t *testing.T, re *Regexp, text string, m *Match) {
	t.Helper()
	start, end := m.Group(0)
	for _, list := range re.Literals() {
		held := false
		for _, literal := range list {
			held = held || strings.Contains(text[start:end], literal)
		}
		if !held {
			t.Errorf("%q matches %q without any of %q", re, text[start:end], list)
		}
	}
}

// known says why Python and we may differ; "" if we may not.
func known(q question, _, want, _ string) string {
	if strings.HasPrefix(want, "undefined character name") {
		return "characters by name are not known here"
	}
	root, _, flags, err := parse(q.Pattern, q.Flags)
	if err != nil {
		return ""
	}
	switch {
	case flags&ASCII != 0 && strings.Contains(q.Pattern, "(?u:"):
		return "a part with (?u:...) under the flag ASCII: Python looks for its first character by the flag outside"
	case asksItself(root, nil):
		return "a condition on the group that it stands in: Python looks at the start of this turn and the end of the last"
	case holds(root, func(n *node) bool { return n.op == opRepeat && n.mode == possessive }):
		return "a possessive repeat: Python keeps groups of turns that failed, and before 3.11.5 loses its place"
	case holds(root, func(n *node) bool {
		return n.op == opRepeat && n.min > 0 && n.max > n.min && n.subs[0].measure(make([]span, 1000)).lo == 0
	}):
		return "a repeat that must match at least once what may be empty: Python goes on after an empty turn"
	}
	return ""
}

func holds(n *node, is func(*node) bool) bool {
	return is(n) || slices.ContainsFunc(n.subs, func(sub *node) bool { return holds(sub, is) })
}

func asksItself(n *node, inside []int) bool {
	switch n.op {
	case opGroup:
		inside = append(slices.Clone(inside), n.index)
	case opCond:
		if slices.Contains(inside, n.index) {
			return true
		}
	}
	return slices.ContainsFunc(n.subs, func(sub *node) bool { return asksItself(sub, inside) })
}

func TestPythonAgreesOnGeneratedPatterns(t *testing.T) {
	const n = 6000 // 150,000 were compared once, with 1,039,464 searches
	g := &generator{r: rand.New(rand.NewPCG(1, 1))}
	var questions []question
	for i := range n {
		q := question{Pattern: g.pattern()}
		if i%5 == 0 {
			q.Flags = Flags(g.r.IntN(32))
		}
		if i%3 == 0 {
			q.Pattern = g.broken(q.Pattern)
		}
		root, _, _, err := parse(q.Pattern, q.Flags)
		if err == nil {
			for range 3 {
				q.Texts = append(q.Texts, g.text(), g.sample(root), g.spoil(g.sample(root)))
			}
		}
		questions = append(questions, q)
	}
	ask(t, questions)
	v := compare(t, questions, known)
	// A search takes some 10 µs: what gives up here is exponential in Python too.
	if v.refused < n/20 || v.matches < n || v.gaveUp > n/100 {
		t.Errorf("too little was compared: %+v", v)
	}
}

const expandStock = `
import json, os, re, sys
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.failregex import Regex
base = sys.stdin.read()
out, seen = [], set()
def add(origin, regex, flags):
    if (regex, flags) not in seen:
        seen.add((regex, flags))
        out.append({"o": origin + ": ", "p": regex, "f": flags})
for name in sorted(os.listdir(base + "/filter.d")):
    if not name.endswith(".conf"): continue
    name = name[:-5]
    for mode in ("", "normal", "auth", "ddos", "extra", "more", "aggressive", "errors", "rbl", "fallback"):
        for logtype in ("file", "journal"):
            opts = {"logtype": logtype}
            if mode: opts["mode"] = mode
            try:
                r = FilterReader(name, "j", opts, basedir=base)
                if not r.read(): continue
                r.getOptions({})
                o = r.getCombined()
            except Exception:
                continue
            multi = int(o.get("maxlines") or 1) > 1
            for key in ("prefregex", "failregex", "ignoreregex"):
                lines = (o.get(key) or "").split("\n") if key != "prefregex" else [o.get(key) or ""]
                for line in lines:
                    if not line.strip(): continue
                    for dns in ("yes", "no"):
                        try:
                            x = Regex(line, multiline=multi, useDns=dns)
                        except Exception:
                            continue
                        add("%s[%s] %s" % (name, mode, key), x._regexObj.pattern, 2 if multi else 0)
from fail2ban.server.datedetector import DateDetector
d = DateDetector()
d.addDefaultTemplate()
for t in d.templates:
    add("date " + t.name, t.template.regex, 1)
json.dump(out, sys.stdout)
`

func TestPythonAgreesOnStockFilters(t *testing.T) {
	root := oracle.Fail2ban(t)
	var questions []question
	oracle.JSON(t, expandStock, []byte(root+"/etc/fail2ban"), &questions)
	if len(questions) < 400 {
		t.Fatalf("only %d stock regexes", len(questions))
	}
	g := &generator{r: rand.New(rand.NewPCG(2, 2))}
	for i, q := range questions {
		tree, _, _, err := parse(q.Pattern, q.Flags)
		if err != nil {
			t.Errorf("%s%q: %v", q.Origin, q.Pattern, err)
			continue
		}
		for range 6 {
			text := g.sample(tree)
			questions[i].Texts = append(questions[i].Texts, text, g.spoil(text))
		}
	}
	ask(t, questions)
	v := compare(t, questions, known)
	if v.refused > 0 || v.matches < 3*v.patterns {
		t.Errorf("too little was compared: %+v", v)
	}
}

const askClasses = `
import json, re, sys, unicodedata
every = "".join(map(chr, [c for c in range(0x110000) if not 0xd800 <= c <= 0xdfff]))
out = {p: [ord(c) for c in re.findall(p, every)] for p in (r"\d", r"\w", r"\s", r"(?a)\d", r"(?a)\w", r"(?a)\s")}
out["unassigned"] = [ord(c) for c in every if unicodedata.category(c) == "Cn"]
json.dump(out, sys.stdout)
`

// TestPythonAgreesOnClasses compares the classes over all of Unicode. Go knows a later Unicode than
// Python 3.11: what only we have must be unassigned there.
func TestPythonAgreesOnClasses(t *testing.T) {
	var answer map[string][]rune
	oracle.JSON(t, askClasses, nil, &answer)
	unassigned := map[rune]bool{}
	for _, r := range answer["unassigned"] {
		unassigned[r] = true
	}
	delete(answer, "unassigned")
	for pattern, members := range answer {
		set := oneClass(rune(pattern[len(pattern)-1]), strings.HasPrefix(pattern, "(?a)"))
		next := 0
		for r := rune(0); r <= unicode.MaxRune; r++ {
			theirs := next < len(members) && members[next] == r
			if theirs {
				next++
			}
			if ours := set.contains(r); ours != theirs && (!ours || !unassigned[r]) {
				t.Errorf("%s: %U python %v, we %v", pattern, r, theirs, ours)
			}
		}
		if next != len(members) || len(members) == 0 {
			t.Errorf("%s: %d of %d members seen", pattern, next, len(members))
		}
	}
}

const askFold = `
import json, re, sys
cased = [c for c in range(0x110000) if not 0xd800 <= c <= 0xdfff
    and (chr(c).lower() != chr(c) or chr(c).upper() != chr(c))]
every = "".join(map(chr, cased))
out = [[c] + [ord(x) for x in re.findall(re.escape(chr(c)), every, re.I)] for c in cased]
json.dump(out, sys.stdout)
`

func TestPythonAgreesOnIgnoreCase(t *testing.T) {
	var answer [][]rune
	oracle.JSON(t, askFold, nil, &answer)
	if len(answer) < 2500 {
		t.Fatalf("only %d cased characters", len(answer))
	}
	for _, a := range answer {
		if got := cases.folded(a[0], false); !slices.Equal(got, a[1:]) {
			t.Errorf("%U: python %U, we %U", a[0], a[1:], got)
		}
	}
}
