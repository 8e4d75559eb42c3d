package regextest

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
)

// Report says what is shown of a tally.
type Report struct {
	Filter       *filter.Filter // that was tried
	Fail, Ignore []string       // its regexes as they were written
	Dates        []date.Hits
	Verbose      bool // also regexes and templates without hits, and who was found
	VerboseDates bool // also what the templates look for
	DebugURLs    bool // addresses of debuggex.com for each line and regex
	Elapsed      time.Duration
	// Show makes a line fit to be shown; nil shows it as it is.
	Show func(string) string
}

// Write shows a tally in the layout of fail2ban-regex.
func (r Report) Write(w io.Writer, t *Tally) error {
	if r.Show == nil {
		r.Show = func(s string) string { return s }
	}
	o := &output{w: w, show: r.Show}
	o.line("")
	o.line("Results")
	o.line("=======")
	if pref := r.Filter.PrefRegex(); pref != "" {
		o.line("")
		o.line(fmt.Sprintf("Prefregex: %d total", t.Pref))
		o.tree("", func(add func(string) error) error {
			_ = add(pref)
			if r.Verbose {
				for _, groups := range t.prefGroups {
					_ = add("    " + groupsText(groups))
				}
				if t.morePref {
					_ = add("    ...")
				}
			}
			return nil
		})
	}
	r.regexes(o, "Failregex", r.Fail, t.Fail, t.who)
	r.regexes(o, "Ignoreregex", r.Ignore, t.Ignore, nil)
	o.line("")
	o.line("Date template hits:")
	o.tree("[# of hits] date format", r.dates)
	o.line("")
	o.line(fmt.Sprintf("Lines: %d lines, %d ignored, %d matched, %d missed", t.Lines, t.Ignored, t.Matched, t.Missed))
	o.line(fmt.Sprintf("[processed in %.2f sec]", r.Elapsed.Seconds()))
	o.line("")
	if t.keep.AllMatched {
		r.lines(o, t, "matched", t.Matched, &t.matched, true)
	}
	if !t.keep.NoIgnored {
		r.lines(o, t, "ignored", t.Ignored, &t.ignored, t.keep.AllIgnored)
	}
	if !t.keep.NoMissed {
		r.lines(o, t, "missed", t.Missed, &t.missed, t.keep.AllMissed)
	}
	return o.err
}

// regexes shows how often each regex hit.
func (r Report) regexes(o *output, title string, regexes []string, hits []int, who []texts) {
	total := 0
	for _, n := range hits {
		total += n
	}
	o.line("")
	o.line(fmt.Sprintf("%s: %d total", title, total))
	o.tree(" #) [# of hits] regular expression", func(add func(string) error) error {
		for i, n := range hits {
			if n > 0 || r.Verbose {
				if err := add(fmt.Sprintf("%2d) [%d] %s", i+1, n, regexes[i])); err != nil {
					return err
				}
			}
			if !r.Verbose || who == nil {
				continue
			}
			if err := who[i].each(add); err != nil {
				return err
			}
		}
		return nil
	})
}

// dates shows the date templates.
func (r Report) dates(add func(string) error) error {
	for _, h := range r.Dates {
		if !r.Verbose && h.Count == 0 {
			continue
		}
		_ = add(fmt.Sprintf("[%d] %s", h.Count, h.Template))
		if r.VerboseDates {
			_ = add(fmt.Sprintf("    # weight: %.3f (%.3f), pattern: %s", h.Rank, h.Weight, h.Pattern))
			_ = add("    # regex:   " + h.Regex)
		}
	}
	return nil
}

// lines shows the lines of a kind, or says that they are too many.
func (r Report) lines(o *output, t *Tally, kind string, n int, lines *texts, all bool) {
	if n == 0 {
		return
	}
	title := strings.ToUpper(kind[:1]) + kind[1:] + " line(s):"
	if n >= t.keep.Lines && !all {
		o.line(fmt.Sprintf("%s too many to print.  Use --print-all-%s to print all %d lines", title, kind, n))
		return
	}
	trimmed := func(add func(string) error) func(string) error {
		return func(line string) error { return add(strings.TrimRightFunc(line, unicode.IsSpace)) }
	}
	if !r.DebugURLs {
		o.tree(title, func(add func(string) error) error { return lines.each(trimmed(add)) })
		return
	}
	written, searched := r.Fail, r.Filter.FailRegex()
	if kind == "ignored" {
		written, searched = r.Ignore, r.Filter.IgnoreRegex()
	}
	o.tree(title, func(add func(string) error) error {
		return lines.each(func(line string) error {
			for i := range written {
				if err := trimmed(add)(line + " | " + written[i] + " |  " + debugURL(line, searched[i], t.keep.MaxLines > 1)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// debugURL is where a regex and a line can be looked at.
func debugURL(line, regex string, several bool) string {
	at := "https://www.debuggex.com/?re=" + url.QueryEscape(regex) + "&str=" + url.QueryEscape(line) + "&flavor=python"
	if several {
		at += "&flags=m"
	}
	return at
}

// output writes lines and remembers the first error.
type output struct {
	w    io.Writer
	show func(string) string
	err  error
}

func (o *output) line(s string) {
	if o.err == nil {
		_, o.err = io.WriteString(o.w, o.show(s)+"\n")
	}
}

// tree shows lines below a title, and neither if there are no lines.
func (o *output) tree(title string, lines func(add func(string) error) error) {
	some := false
	err := lines(func(line string) error {
		if !some && title != "" {
			o.line("|- " + title)
		}
		some = true
		o.line("|  " + line)
		return o.err
	})
	if o.err == nil {
		o.err = err
	}
	if some {
		o.line("`-")
	}
}
