package filter

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// gate is a filter for the log of an invented service, whose lines belong together by a number.
var gate = Options{
	PrefRegex: `^<F-MLFID> gate\[\d+\]: </F-MLFID><F-CONTENT>.+</F-CONTENT>$`,
	FailRegex: []string{
		`^wrong word for <F-USER>\S+</F-USER> from <HOST>$`,
		`^<F-NOFAIL>key</F-NOFAIL> refused for <F-USER>\S+</F-USER> from <HOST>$`,
		`^<F-NOFAIL>visitor</F-NOFAIL> <HOST>$`,
		`^too many tries(?: for <F-USER>\S+</F-USER>)?$`,
		`^<F-MLFGAINED>Opened</F-MLFGAINED> for <F-USER>\S+</F-USER> from <HOST>$`,
		`^<F-NOFAIL><F-MLFFORGET>left</F-MLFFORGET></F-NOFAIL>(?: <HOST>)?$`,
		`^<F-MLFFORGET>thrown out</F-MLFFORGET> <HOST>$`,
	},
}

func TestLinesOfOneConnectionAreJoined(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		// want has one entry per line: "-" missed, "." remembered only, else the lines of the
		// failure by number and its address.
		want []string
	}{
		{
			"an address seen before serves a failure without one",
			[]string{"visitor 192.0.2.1", "too many tries"},
			[]string{".", "0,1 192.0.2.1"},
		},
		{
			"a failure waits for its address",
			[]string{"too many tries", "visitor 192.0.2.1"},
			[]string{".", "0,1 192.0.2.1"},
		},
		{
			"refused keys of one user are no failure",
			[]string{"key refused for bob from 192.0.2.1", "key refused for bob from 192.0.2.1", "Opened for bob from 192.0.2.1"},
			[]string{".", ".", "."},
		},
		{
			"a second user makes a failure of it",
			[]string{"key refused for bob from 192.0.2.1", "key refused for eve from 192.0.2.1"},
			[]string{".", "0,1 192.0.2.1"},
		},
		{
			"a success of the same user is none",
			[]string{"wrong word for bob from 192.0.2.1", "Opened for bob from 192.0.2.1"},
			[]string{"0 192.0.2.1", "."},
		},
		{
			"a success of another user counts",
			[]string{"wrong word for bob from 192.0.2.1", "Opened for root from 192.0.2.1"},
			[]string{"0 192.0.2.1", "1 192.0.2.1"},
		},
		{
			"a waiting failure is told at the end of the connection",
			[]string{"too many tries", "left 192.0.2.1"},
			[]string{".", "0,1 192.0.2.1"},
		},
		{
			"lines of different connections do not mix",
			[]string{"visitor 192.0.2.1", "2 too many tries", "2 visitor 198.51.100.1", "too many tries"},
			[]string{".", ".", "1,2 198.51.100.1", "0,3 192.0.2.1"},
		},
		{
			"the end forgets the address",
			[]string{"visitor 192.0.2.1", "left 192.0.2.1", "too many tries"},
			[]string{".", ".", "."},
		},
		{
			"the end alone is nothing",
			[]string{"left", "left 192.0.2.1"},
			[]string{".", "."},
		},
		{
			"an end that is a failure carries what was held",
			[]string{"visitor 192.0.2.1", "thrown out 192.0.2.1", "too many tries"},
			[]string{".", "0,1 192.0.2.1", "."},
		},
		{
			"an end that is a failure without a begin",
			[]string{"thrown out 192.0.2.1"},
			[]string{"0 192.0.2.1"},
		},
		{
			"a success makes earlier waiting failures harmless",
			[]string{"too many tries", "Opened for bob from 192.0.2.1"},
			[]string{".", "."},
		},
		{
			"but not with two users",
			[]string{"too many tries for eve", "Opened for bob from 192.0.2.1"},
			[]string{".", "1 192.0.2.1"},
		},
		{
			"two failures are two",
			[]string{"wrong word for bob from 192.0.2.1", "wrong word for bob from 192.0.2.1"},
			[]string{"0 192.0.2.1", "1 192.0.2.1"},
		},
		{
			"a line that says nothing",
			[]string{"visitor 192.0.2.1", "weather is fine", "too many tries"},
			[]string{".", "-", "0,2 192.0.2.1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustNew(t, gate).NewSession()
			number := map[string]string{}
			for i, text := range tt.lines {
				conn := "1"
				if rest, ok := strings.CutPrefix(text, "2 "); ok {
					conn, text = "2", rest
				}
				line := fmt.Sprintf("%s gate[%s]: %s", stamp(30-i), conn, text)
				number[line] = strconv.Itoa(i)
				r := s.Process(Line{Text: line}, testNow, true)
				if got := outcome(r, number); got != tt.want[i] {
					t.Errorf("line %d, %q: got %s, want %s", i, text, got, tt.want[i])
				}
			}
		})
	}
}

func outcome(r Result, number map[string]string) string {
	if len(r.Matches) == 0 {
		return map[Verdict]string{Missed: "-", Ignored: ".", Matched: "!"}[r.Verdict]
	}
	var all []string
	for _, m := range r.Matches {
		var lines []string
		for _, l := range m.Lines {
			lines = append(lines, number[l])
		}
		all = append(all, strings.Join(lines, ",")+" "+m.ID.String())
	}
	return strings.Join(all, "; ")
}

func TestAMatchNamesAllUsersOfTheConnection(t *testing.T) {
	s := mustNew(t, gate).NewSession()
	s.Process(Line{Text: stamp(3) + " gate[1]: key refused for bob from 192.0.2.1"}, testNow, true)
	r := s.Process(Line{Text: stamp(2) + " gate[1]: key refused for o'x from 192.0.2.1"}, testNow, true)
	if len(r.Matches) != 1 {
		t.Fatalf("got %d matches, want 1", len(r.Matches))
	}
	users := r.Matches[0].Captures["users"]
	if got := fmt.Sprintf("%q %s", users.Parts, users.Text); got != `["bob" "o'x"] {'bob', "o'x"}` {
		t.Errorf("users %s", got)
	}
	r.Matches[0].Captures["user"] = Value{Text: "changed"}
	r = s.Process(Line{Text: stamp(1) + " gate[1]: too many tries"}, testNow, true)
	if u := r.Matches[0].Captures["user"].Text; u != "o'x" {
		t.Errorf("what a caller does to a match shows in the next: user %q", u)
	}
}

func TestAnIDBesideAnAddressStaysWithTheConnection(t *testing.T) {
	s := mustNew(t, Options{FailRegex: []string{
		`^ <F-MLFID>\d+</F-MLFID> by <F-ID>\w+</F-ID> at <ADDR>$`, `^ <F-MLFID>\d+</F-MLFID> again$`,
	}}).NewSession()
	for i, text := range []string{" 7 by bob at 192.0.2.1", " 7 again"} {
		r := s.Process(Line{Text: stamp(3) + text}, testNow, true)
		if got, want := showAll(r), "bob ip=192.0.2.1 fid=bob"; got != want {
			t.Errorf("line %d: got %s, want %s", i, got, want)
		}
	}
}

func TestConnectionsAreForgotten(t *testing.T) {
	visit := func(s *Session, conn int, now time.Time) {
		s.Process(Line{Text: fmt.Sprintf(" gate[%d]: visitor 192.0.2.1", conn), Time: now}, now, true)
	}
	known := func(s *Session, conn int, now time.Time) bool {
		r := s.Process(Line{Text: fmt.Sprintf(" gate[%d]: too many tries", conn), Time: now}, now, true)
		return len(r.Matches) > 0
	}
	t.Run("after five minutes", func(t *testing.T) {
		s := mustNew(t, gate).NewSession()
		visit(s, 1, testNow)
		if !known(s, 1, testNow.Add(connectionLifetime-time.Second)) {
			t.Error("forgotten before")
		}
		if known(s, 1, testNow.Add(connectionLifetime)) {
			t.Error("still known")
		}
	})
	t.Run("the oldest of more than a hundred", func(t *testing.T) {
		s := mustNew(t, gate).NewSession()
		for i := range maxConnections + 1 {
			visit(s, i, testNow.Add(time.Duration(i)*time.Millisecond))
		}
		if known(s, 1, testNow.Add(time.Second)) == known(s, 0, testNow.Add(time.Second)) {
			t.Error("the oldest is known, or the second is not")
		}
	})
	t.Run("expired ones first", func(t *testing.T) {
		s := mustNew(t, gate).NewSession()
		later := testNow.Add(connectionLifetime)
		for i := range maxConnections {
			at := testNow
			if i >= 50 {
				at = later.Add(-time.Minute)
			}
			visit(s, i, at)
		}
		visit(s, 1000, later)
		if n := len(s.open.order); n != 50 { // 50 expired and one more went, one came
			t.Errorf("%d connections remembered, want 50", n)
		}
		if known(s, 50, later) || !known(s, 51, later) {
			t.Error("not the one oldest of those that live went")
		}
	})
}

func TestOneConnectionCannotGrow(t *testing.T) {
	s := mustNew(t, gate).NewSession()
	for i := range 5 * maxRemembered {
		// Every line brings another user, so that every line is a failure.
		s.Process(Line{Text: fmt.Sprintf(" gate[1]: key refused for u%d from 192.0.2.1", i), Time: testNow}, testNow, true)
		s.Process(Line{Text: " gate[2]: visitor 192.0.2.1", Time: testNow}, testNow, true)
	}
	for id, c := range s.open.byID {
		if n := max(len(c.record.lines), len(c.record.held), len(c.record.users)); n > maxRemembered {
			t.Errorf("%q remembers %d lines or users", id, n)
		}
	}
	r := s.Process(Line{Text: " gate[2]: too many tries", Time: testNow}, testNow, true)
	if n := len(r.Matches[0].Lines); n != maxRemembered {
		t.Errorf("the failure has %d lines, want the last %d", n, maxRemembered)
	}
	if last := r.Matches[0].Lines[maxRemembered-1]; !strings.HasSuffix(last, "too many tries") {
		t.Errorf("the last line is %q", last)
	}
}

func TestAllHitsOfAConnectionAreReportedWhenAllAreChecked(t *testing.T) {
	o := gate
	o.CheckAll = true
	s := mustNew(t, o).NewSession()
	tests := []struct {
		line, want string
		verdict    Verdict
	}{
		{" gate[1]: too many tries", "pending", Matched},
		{" gate[2]: visitor 192.0.2.1", "192.0.2.1 nofail nofail=visitor", Ignored},
		{" gate[2]: too many tries", "192.0.2.1", Matched},
	}
	for _, tt := range tests {
		r := s.Process(Line{Text: tt.line, Time: testNow}, testNow, true)
		if got := showAll(r); got != tt.want || r.Verdict != tt.verdict {
			t.Errorf("%s: got %v %s, want %v %s", tt.line, r.Verdict, got, tt.verdict, tt.want)
		}
	}
	o = gate
	o.ReportPending = true
	r := mustNew(t, o).NewSession().Process(Line{Text: " gate[1]: too many tries", Time: testNow}, testNow, true)
	if got := showAll(r); got != "pending" {
		t.Errorf("with ReportPending: got %q", got)
	}
}
