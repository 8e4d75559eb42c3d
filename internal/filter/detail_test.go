package filter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
)

// TestDetailNamesAllGroupsAndFindsTheDates: those that took no part have a name as well, a later line of a
// connection adds only what it found, and what is forgotten has none.
func TestDetailNamesAllGroupsAndFindsTheDates(t *testing.T) {
	f, err := filter.New(filter.Options{
		PrefRegex:   `^ h <F-MLFID>app\[\d+\]</F-MLFID>: <F-CONTENT>.+</F-CONTENT>$`,
		FailRegex:   []string{`^<F-NOFAIL>start</F-NOFAIL> from <ADDR>$`, `^user <F-USER>\S+</F-USER>(?P<more>x)?$`, `^(?P<what>fail)<F-MLFFORGET>!</F-MLFFORGET>?$`},
		NoTimeCheck: true, Detail: true,
	}, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	s := f.NewSession()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var got []string
	for _, line := range []string{
		"Nov 22 11:59:51 h app[1]: start from 192.0.2.1",
		"2026-11-22T11:59:52Z h app[1]: user bob",
		"1795348793 h app[1]: fail!",
		"Nov 22 11:59:54 h app[1]: start from 192.0.2.1",
	} {
		r := s.Examine(filter.Line{Text: line}, now, false)
		for _, m := range r.Matches {
			dates := []string{}
			for i, span := range m.Stamps {
				dates = append(dates, m.Lines[i][span.Start:span.End])
			}
			got = append(got, fmt.Sprintf("%v %q %v", m.Groups, dates, r.HasZone))
		}
	}
	want := []string{
		`[mlfid ip4 ip6 users user] ["Nov 22 11:59:51" "2026-11-22T11:59:52Z"] true`,
		`[mlfid ip4 ip6 users user what] ["1795348793"] false`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWithoutDetailMatchesSayNoMoreThanTheDaemonNeeds(t *testing.T) {
	f, err := filter.New(filter.Options{FailRegex: []string{`from <ADDR>$`}, NoTimeCheck: true}, time.Unix(1795348800, 0))
	if err != nil {
		t.Fatal(err)
	}
	r := f.NewSession().Examine(filter.Line{Text: "Nov 22 11:59:51 from 192.0.2.1"}, time.Unix(1795348800, 0), false)
	if len(r.Matches) != 1 || r.Matches[0].Groups != nil || r.Matches[0].Stamps != nil || r.HasZone {
		t.Errorf("%+v", r)
	}
}
