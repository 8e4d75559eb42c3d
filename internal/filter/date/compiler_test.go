package date_test

import (
	"slices"
	"testing"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// TestSharedRegexesChangeNothing compiles with one compiler what was compiled without, in an order in
// which each finds some of its regexes made already, and holds what they find against each other.
func TestSharedRegexesChangeNothing(t *testing.T) {
	var shared date.Compiler
	lines := append(stamps(), "I 10:11:12", "t=1700000000; q", "2040-01-01 10:00:00", "1999-01-01 10:00:00")
	for _, o := range []date.Options{
		{Pattern: "{^LN-BEG}"},
		{},
		{AllYears: true},
		{LogTimezone: "CET+0100"},
		{Local: mustLoad(t, "America/New_York")},
		{Pattern: "%H:%M:%S\n{DEFAULT}"},
		{Pattern: `^[^\[]*\[({DATE})`},
		{Pattern: `^[^\[]*\[({DATE})`, AllYears: true},
		{Pattern: "EPOCH\nLEPOCH\nt={EPOCH};\nTAI64N"},
		{Pattern: "{NONE}"},
	} {
		for _, now := range []int{0, 10} { // in years
			at := testNow.AddDate(now, 0, 0)
			alone := mustCompile(t, o, at)
			o.Compiler = &shared
			together := mustCompile(t, o, at)
			o.Compiler = nil
			if got, want := together.Names(), alone.Names(); !slices.Equal(got, want) {
				t.Errorf("%q: templates\n%v\nwant\n%v", o.Pattern, got, want)
			}
			first, second := together.NewDetector(), alone.NewDetector()
			for _, line := range lines {
				got, want := show(line, first.Find(pyre.NewSubject(line), at)), show(line, second.Find(pyre.NewSubject(line), at))
				if got != want {
					t.Errorf("%q of %q: got %s, want %s", o.Pattern, line, got, want)
				}
			}
		}
	}
}

// TestACompilerForgetsErrors: a pattern that is wrong stays wrong, and spoils no other.
func TestACompilerForgetsErrors(t *testing.T) {
	o := date.Options{Pattern: "(%H", Compiler: &date.Compiler{}}
	for range 2 {
		if _, err := date.Compile(o, testNow); err == nil {
			t.Error("no error")
		}
	}
	o.Pattern = "(%H)"
	if got := mustCompile(t, o, testNow).Names(); !slices.Equal(got, []string{"(24hour)"}) {
		t.Errorf("got %v", got)
	}
}

// TestACompilerSavesTheRegexes counts what the second of two equal filters allocates: measured, less
// than a hundredth of what the first one does. A twentieth leaves room.
func TestACompilerSavesTheRegexes(t *testing.T) {
	for _, pattern := range []string{"", "{^LN-BEG}", `^[^\[]*\[({DATE})`} {
		alone := testing.AllocsPerRun(1, func() { mustCompile(t, date.Options{Pattern: pattern}, testNow) })
		o := date.Options{Pattern: pattern, Compiler: &date.Compiler{}}
		mustCompile(t, o, testNow)
		if again := testing.AllocsPerRun(1, func() { mustCompile(t, o, testNow) }); again*20 > alone {
			t.Errorf("%q: %v allocations with a compiler that knows the regexes, %v without", pattern, again, alone)
		}
	}
}
