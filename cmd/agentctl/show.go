package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// safe makes text that may come from a log line or a peer fit for a terminal: what does not print
// stands as an escape that can be read.
func safe(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// table writes rows whose columns line up. Cells are made safe.
func table(w io.Writer, rows ...[]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = safe(row[i])
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	t.Flush() //nolint:errcheck // a terminal that is gone has nobody to tell
}

// span tells a duration in its two largest units.
func span(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	s := int64(d / time.Second)
	parts := []struct {
		unit  string
		count int64
	}{{"d", s / 86400}, {"h", s / 3600 % 24}, {"m", s / 60 % 60}, {"s", s % 60}}
	for i, p := range parts {
		if p.count == 0 {
			continue
		}
		text := fmt.Sprintf("%d%s", p.count, p.unit)
		if i+1 < len(parts) && parts[i+1].count > 0 {
			text += fmt.Sprintf(" %d%s", parts[i+1].count, parts[i+1].unit)
		}
		return text
	}
	return "0s"
}

// seconds tells a number of seconds, of which a negative one is for ever.
func seconds(n int64) string {
	if n < 0 {
		return "permanent"
	}
	return span(time.Duration(n) * time.Second)
}

// left tells how long it is until a time; nil is for ever.
func left(until *time.Time, now time.Time) string {
	if until == nil {
		return "permanent"
	}
	return span(until.Sub(now)) + " left"
}

// ago tells how long ago something was.
func ago(t, now time.Time) string { return span(now.Sub(t)) + " ago" }

// stamp is a time on the clock here.
func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// plural counts things.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
