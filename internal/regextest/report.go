package regextest

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/palisade-agent/palisade/internal/filter/date"
)

// Report says what is shown of a tally.
type Report struct {
	Pref         string // as it is searched; empty for none
	Fail, Ignore []string
	Dates        []date.Hits
	Verbose      bool // also regexes and templates without hits, and who was found
	Keep         Keep
	Elapsed      time.Duration
	Now          time.Time                       // shown for hits whose time is not known
	Zone         *time.Location                  // of the times that are shown
	DebugURL     func(line, regex string) string // nil: none are shown
}

// Text shows a tally in the layout of fail2ban-regex.
func (r Report) Text(t *Tally) string {
	var b strings.Builder
	b.WriteString("\nResults\n=======\n")
	if r.Pref != "" {
		lines := []string{r.Pref}
		if r.Verbose {
			for _, groups := range t.PrefGroups {
				lines = append(lines, "    "+groupsText(groups))
			}
			if t.MorePref {
				lines = append(lines, "    ...")
			}
		}
		fmt.Fprintf(&b, "\nPrefregex: %d total\n", t.Pref)
		writeTree(&b, "", lines)
	}
	r.regexes(&b, "Failregex", r.Fail, t.Fail)
	r.regexes(&b, "Ignoreregex", r.Ignore, t.Ignore)
	b.WriteString("\nDate template hits:\n")
	var dates []string
	for _, h := range r.Dates {
		if r.Verbose || h.Count > 0 {
			dates = append(dates, fmt.Sprintf("[%d] %s", h.Count, h.Template))
		}
	}
	writeTree(&b, "[# of hits] date format", dates)
	fmt.Fprintf(&b, "\nLines: %d lines, %d ignored, %d matched, %d missed\n", t.Lines, t.Ignored, t.Matched, t.Missed)
	fmt.Fprintf(&b, "[processed in %.2f sec]\n\n", r.Elapsed.Seconds())
	if r.Keep.AllMatched {
		r.lines(&b, "matched", t.Matched, t.MatchedText, true, r.Fail)
	}
	if !r.Keep.NoIgnored {
		r.lines(&b, "ignored", t.Ignored, t.IgnoredText, r.Keep.AllIgnored, r.Ignore)
	}
	if !r.Keep.NoMissed {
		r.lines(&b, "missed", t.Missed, t.MissedText, r.Keep.AllMissed, r.Fail)
	}
	return b.String()
}

// regexes shows how often each regex hit.
func (r Report) regexes(b *strings.Builder, title string, regexes []string, counts []Count) {
	total := 0
	var lines []string
	for i, c := range counts {
		total += c.Hits
		if c.Hits > 0 || r.Verbose {
			lines = append(lines, fmt.Sprintf("%2d) [%d] %s", i+1, c.Hits, regexes[i]))
		}
		if !r.Verbose {
			continue
		}
		for _, w := range c.Who {
			at := w.Time
			if at.IsZero() {
				at = r.Now
			}
			line := fmt.Sprintf("    %s  %s", w.ID, at.In(r.Zone).Format("Mon Jan 02 15:04:05 2006"))
			if w.Several {
				line += " (multiple regex matched)"
			}
			lines = append(lines, line)
		}
	}
	fmt.Fprintf(b, "\n%s: %d total\n", title, total)
	writeTree(b, " #) [# of hits] regular expression", lines)
}

// lines shows the lines of a kind, or says that they are too many.
func (r Report) lines(b *strings.Builder, kind string, n int, lines []string, all bool, regexes []string) {
	if n == 0 {
		return
	}
	title := strings.ToUpper(kind[:1]) + kind[1:] + " line(s):"
	if n >= r.Keep.Lines && !all {
		fmt.Fprintf(b, "%s too many to print.  Use --print-all-%s to print all %d lines\n", title, kind, n)
		return
	}
	if r.DebugURL != nil {
		var with []string
		for _, line := range lines {
			for _, regex := range regexes {
				with = append(with, line+" | "+regex+" |  "+r.DebugURL(line, regex))
			}
		}
		lines = with
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.TrimRightFunc(line, unicode.IsSpace)
	}
	writeTree(b, title, trimmed)
}

// writeTree shows lines below a title, if there are any.
func writeTree(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	if title != "" {
		b.WriteString("|- " + title + "\n")
	}
	for _, line := range lines {
		b.WriteString("|  " + line + "\n")
	}
	b.WriteString("`-\n")
}
