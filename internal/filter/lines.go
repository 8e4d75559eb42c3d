package filter

import (
	"strings"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// textLine is a line of the log in three parts: before the date, the date, and behind it. Regexes see
// the first and the last.
type textLine struct{ pre, stamp, post string }

func (l textLine) text() string  { return l.pre + l.post }
func (l textLine) whole() string { return l.pre + l.stamp + l.post }

// joined is the text that the regexes search in: every line ends in a newline, the last one too, so
// that $ and \s*$ find their place.
func joined(lines []textLine) string {
	n := len(lines)
	for _, l := range lines {
		n += len(l.pre) + len(l.post)
	}
	var b strings.Builder
	b.Grow(n + 1)
	for _, l := range lines {
		b.WriteString(l.pre)
		b.WriteString(l.post)
		b.WriteByte('\n')
	}
	if len(lines) == 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// Searched gives the text that the failregexes of the last line were tried on: without its date, and only the
// content where a prefregex has found that. Where the line ended before, it is what the step before saw.
func (s *Session) Searched() string { return strings.TrimSuffix(s.text.Text(), "\n") }

func wholes(lines []textLine) []string {
	w := make([]string, len(lines))
	for i, l := range lines {
		w[i] = l.whole()
	}
	return w
}

// stamps are the places of the dates in what wholes gives.
func stamps(lines []textLine) []Span {
	spans := make([]Span, len(lines))
	for i, l := range lines {
		spans[i] = Span{len(l.pre), len(l.pre) + len(l.stamp)}
	}
	return spans
}

// split divides lines into those that a match covers and the rest, to which belong the lines that
// <SKIPLINES> stepped over. The match was found in s, which starts with the text of the lines, or
// is the content that a prefregex took from them; then line numbers are those of the content.
func (r *rule) split(s *pyre.Subject, m *pyre.Match, lines []textLine) (matched, rest []textLine) {
	if len(lines) <= 1 {
		return lines, nil
	}
	first, behind := linesCovered(s.Text(), m)
	first, behind = min(first, len(lines)), min(behind, len(lines))
	matched = append(matched, lines[first:max(first, behind)]...)
	rest = append(rest, lines[:first]...)
	at := 0
	for _, skipped := range r.skippedLines(s, m) {
		for i := at; i < len(matched); i++ {
			if matched[i].text() == skipped {
				rest = append(rest, matched[i])
				matched = append(matched[:i], matched[i+1:]...)
				at = i
				break
			}
		}
	}
	return matched, append(rest, lines[behind:]...)
}

// linesCovered gives the numbers of the first line that a match touches and of the one behind the
// last. A match that begins with a newline begins on the next line; an empty match at the very start
// covers all.
func linesCovered(text string, m *pyre.Match) (first, behind int) {
	start, end := m.Group(0)
	from := strings.LastIndexByte(text[:min(start+1, len(text))], '\n') + 1
	to := len(text)
	if end > 0 {
		if i := strings.IndexByte(text[end-1:], '\n'); i >= 0 {
			to = end - 1 + i + 1
		}
	}
	return strings.Count(text[:from], "\n"), strings.Count(text[:to], "\n")
}

// skippedLines are the lines that the <SKIPLINES> of a regex stepped over.
func (r *rule) skippedLines(s *pyre.Subject, m *pyre.Match) []string {
	var all strings.Builder
	for _, g := range r.skips {
		if text, ok := m.GroupText(s, g); ok {
			all.WriteString(text)
		}
	}
	return pythonLines(all.String())
}

// pythonLines divides a text where Python's splitlines does, which knows more line ends than \n: a
// skipped line that holds one of them is not found again, and counts as matched.
func pythonLines(text string) []string {
	var lines []string
	from := 0
	for i, r := range text {
		switch r {
		case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
			if r == '\n' && i > 0 && text[i-1] == '\r' {
				from = i + 1
				continue
			}
			lines = append(lines, text[from:i])
			from = i + len(string(r))
		}
	}
	if from < len(text) {
		lines = append(lines, text[from:])
	}
	return lines
}
