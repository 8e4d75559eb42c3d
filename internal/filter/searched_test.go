package filter_test

import (
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
)

func TestSearchedIsWhatTheRegexesSaw(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f, err := filter.New(filter.Options{PrefRegex: `^ app: <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^from <ADDR>$`}, NoTimeCheck: true}, now)
	if err != nil {
		t.Fatal(err)
	}
	s := f.NewSession()
	for line, want := range map[string]string{
		"Nov 22 11:59:51 app: from 192.0.2.1": "from 192.0.2.1",
		"Nov 22 11:59:51 app: nothing":        "nothing",
		"Nov 22 11:59:51 other: nothing":      " other: nothing",
		"":                                    "",
	} {
		s.Examine(filter.Line{Text: line}, now, false)
		if got := s.Searched(); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
