package filter

import (
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
	"github.com/palisade-agent/palisade/internal/pytext"
)

func TestAFailureOfSeveralLines(t *testing.T) {
	tests := []struct {
		name  string
		o     Options
		lines []string
		// want has one entry per line: the lines of the match joined by " / ", "-" for none.
		want []string
	}{
		{
			"two lines in a row",
			Options{MaxLines: 2, FailRegex: []string{`^ begin <HOST>\n end$`}},
			[]string{" begin 192.0.2.1", " end", " end"},
			[]string{"-", " begin 192.0.2.1 /  end", "-"},
		},
		{
			"too far apart",
			Options{MaxLines: 2, FailRegex: []string{`^ begin <HOST><SKIPLINES> end$`}},
			[]string{" begin 192.0.2.1", " other", " end"},
			[]string{"-", "-", "-"},
		},
		{
			"with lines between, which stay",
			Options{MaxLines: 4, FailRegex: []string{`^ begin (?P<fid>\d)<SKIPLINES> end (?P=fid)$`}},
			[]string{" begin 1", " begin 2", " other", " end 1", " end 2"},
			[]string{"-", "-", "-", " begin 1 /  end 1", " begin 2 /  end 2"},
		},
		{
			"every line has a begin and an end",
			Options{MaxLines: 3, FailRegex: []string{`^ fail <HOST>$`}},
			[]string{" x", " fail 192.0.2.1", " fail 192.0.2.2"},
			[]string{"-", " fail 192.0.2.1", " fail 192.0.2.2"},
		},
		{
			"what matched is not matched again",
			Options{MaxLines: 3, FailRegex: []string{`fail <HOST>`}},
			[]string{" fail 192.0.2.1", " x"},
			[]string{" fail 192.0.2.1", "-"},
		},
		{
			"an ignored match is used up too",
			Options{MaxLines: 3, FailRegex: []string{`^ begin <HOST>\n(?:.*\n)?? end$`}, IgnoreRegex: []string{`begin 192\.0\.2\.1`}},
			[]string{" begin 192.0.2.1", " end", " end", " begin 192.0.2.2", " end"},
			[]string{"-", "-", "-", "-", " begin 192.0.2.2 /  end"},
		},
		{
			"an ignoreregex sees the lines of the match alone",
			Options{MaxLines: 3, FailRegex: []string{`^ fail <HOST>$`}, IgnoreRegex: []string{`friend`}},
			[]string{" friend", " fail 192.0.2.1"},
			[]string{"-", " fail 192.0.2.1"},
		},
		{
			"all regexes are tried on what the others left",
			Options{MaxLines: 3, CheckAll: true, FailRegex: []string{`^ fail <HOST>$`, `fail <HOST>`, `^ x (?P<fid>y)$`}},
			[]string{" x y", " fail 192.0.2.1"},
			[]string{" x y", " fail 192.0.2.1"},
		},
		{
			"a match that begins with a line's end belongs to the next line",
			Options{MaxLines: 3, FailRegex: []string{`\n fail <HOST>$`}},
			[]string{" x", " fail 192.0.2.1"},
			[]string{"-", " fail 192.0.2.1"},
		},
		{
			"an empty match at the begin takes all lines",
			Options{MaxLines: 3, FailRegex: []string{`(?P<fid>)^(?=(?:.*\n)* z$)`}},
			[]string{" x", " y", " z"},
			[]string{"-", "-", " x /  y /  z"},
		},
		{
			"the content of a prefregex is the line from then on",
			Options{MaxLines: 2, PrefRegex: `(?s)P (?P<content>\w+)$`, FailRegex: []string{`^(?P<fid>a)\n Q P b$`}},
			[]string{" P a", " Q P b"},
			[]string{"-", "-"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustNew(t, tt.o).NewSession()
			for i, text := range tt.lines {
				r := s.Process(Line{Text: text, Time: testNow}, testNow, true)
				got := "-"
				if len(r.Matches) > 0 {
					got = strings.Join(r.Matches[0].Lines, " / ")
				}
				if got != tt.want[i] {
					t.Errorf("line %d, %q: got %q, want %q", i, text, got, tt.want[i])
				}
				if len(s.buffer) > tt.o.MaxLines {
					t.Errorf("%d lines are kept", len(s.buffer))
				}
			}
		})
	}
}

func TestLinesAreDividedAsPythonDividesThem(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{"a\n", []string{"a"}},
		{"a\n\nb", []string{"a", "", "b"}},
		{"a\r\nb\rc\n", []string{"a", "b", "c"}},
		{"a\vb\fc\x1cd\x1de\x1ef", []string{"a", "b", "c", "d", "e", "f"}},
		{"a\u0085b\u2028c\u2029", []string{"a", "b", "c"}},
	}
	for _, tt := range tests {
		if got := pythonLines(tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%q gives %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestTextsAreQuotedAsPythonQuotesThem(t *testing.T) {
	tests := []struct{ text, want string }{
		{"a b", "'a b'"},
		{"it's", `"it's"`},
		{`it's "x"`, `'it\'s "x"'`},
		{"\\\t\r\n\x01", `'\\\t\r\n\x01'`},
		{"ä\u00a0\u2028\U0001f600\U000e0001", `'ä\xa0\u2028😀\U000e0001'`},
	}
	for _, tt := range tests {
		if got := pytext.Quote(tt.text); got != tt.want {
			t.Errorf("%q gives %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestTextOfNoLinesIsOneNewline(t *testing.T) {
	if got := joined(nil); got != "\n" {
		t.Errorf("got %q", got)
	}
	if got := joined([]textLine{{"a", "date", "b"}, {post: "c"}}); got != "ab\nc\n" {
		t.Errorf("got %q", got)
	}
}

// TestSplitLosesNoLine: whatever a match covers, each line is in exactly one of the two lists.
func TestSplitLosesNoLine(t *testing.T) {
	lines := []textLine{{post: "a"}, {post: ""}, {post: "b"}, {post: "a"}, {post: "c"}}
	text := pyre.NewSubject(joined(lines))
	for _, regex := range []string{
		`(?P<fid>a)<SKIPLINES>a`, `(?P<fid>)`, `(?P<fid>)$`, `\n(?P<fid>b)`, `(?P<fid>b)\n`, `(?P<fid>.*\n)+`, `(?P<fid>c)\Z`, `(?P<fid>a)<SKIPLINES>b<SKIPLINES>c`,
	} {
		r, err := compileRule(regex, RoleFail, 0, DNSWarn, pyre.Multiline)
		if err != nil {
			t.Fatal(err)
		}
		var m pyre.Match
		if ok, err := r.re.Search(text, &m); !ok || err != nil {
			if regex != `(?P<fid>c)\Z` {
				t.Errorf("%s: %v, %v", regex, ok, err)
			}
			continue
		}
		matched, rest := r.split(text, &m, lines)
		if n := len(matched) + len(rest); n != len(lines) {
			t.Errorf("%s: %d lines matched, %d left, of %d", regex, len(matched), len(rest), len(lines))
		}
	}
}
