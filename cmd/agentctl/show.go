package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// safe makes text that may come from a log line or a peer fit for a terminal: what does not print
// stands as an escape that can be read, so that nothing moves the cursor, turns the direction of
// writing or begins a line of its own.
func safe(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// print shows a value: as JSON if that was asked for, and otherwise by show.
func (c *call) print(v any, show func(w io.Writer)) error {
	if !c.json {
		show(c.stdout)
		return nil
	}
	return c.printJSON(v, "  ")
}

// printJSON writes a value as JSON that is safe for a terminal, too. Without indent it is one line.
func (c *call) printJSON(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	_, err := c.stdout.Write(plainJSON(b.Bytes()))
	return err
}

// plainJSON escapes, in valid JSON, what would not print: it can only stand in strings, where the
// escapes mean the same.
func plainJSON(b []byte) []byte {
	fine := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	if !bytes.ContainsFunc(b, func(r rune) bool { return !fine(r) }) {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for _, r := range string(b) {
		switch {
		case fine(r):
			out = utf8.AppendRune(out, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return out
}

// table is rows whose columns line up. A column whose head begins with > is set to the right, as
// numbers are.
type table struct {
	right []bool
	rows  [][]string
}

// newTable makes a table; without heads, all columns are set to the left.
func newTable(heads ...string) *table {
	t := &table{}
	var row []string
	for _, h := range heads {
		name, right := strings.CutPrefix(h, ">")
		t.right = append(t.right, right)
		row = append(row, name)
	}
	if len(row) > 0 {
		t.rows = append(t.rows, row)
	}
	return t
}

// widestCell is how much of one text a table shows: a name that an attacker chose must not push all
// other columns out of sight. --json has the rest.
const widestCell = 60

// add appends a row. Cells are made safe; values that are no text are shown as fmt shows them.
func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = safe(fmt.Sprint(c))
		if r := []rune(row[i]); len(t.right) > 0 && i < len(cells)-1 && len(r) > widestCell {
			row[i] = string(r[:widestCell-1]) + "…"
		}
	}
	t.rows = append(t.rows, row)
}

// write writes the table; columns are two spaces apart, and no line ends in spaces. Columns that are
// empty but for their head are left out.
func (t *table) write(w io.Writer) {
	var widths []int
	for n, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if n > 0 || len(t.right) == 0 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for i := range t.right {
		if widths[i] > 0 || len(t.rows) == 1 {
			widths[i] = max(widths[i], utf8.RuneCountInString(t.rows[0][i]))
		}
	}
	var line strings.Builder
	for _, row := range t.rows {
		line.Reset()
		gap := ""
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < len(t.right) && t.right[i] {
				cell, pad = pad+cell, ""
			}
			line.WriteString(gap + cell + pad)
			gap = "  "
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// facts are labelled values, one or more lines each.
type facts struct{ table table }

// add appends a value; further ones stand below it. With no value it adds nothing.
func (f *facts) add(label string, values ...string) {
	label += ":"
	for _, v := range values {
		f.table.add(label, v)
		label = ""
	}
}

func (f *facts) write(w io.Writer) { f.table.write(w) }

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
		return "ever"
	}
	const most = 1<<63 - 1
	return span(time.Duration(min(n, most/int64(time.Second))) * time.Second)
}

// left tells how long it is until a time; nil is for ever.
func left(until *time.Time, now time.Time) string {
	if until == nil {
		return "permanent"
	}
	return span(until.Sub(now).Round(time.Second))
}

// ago tells how long ago something was.
func ago(t, now time.Time) string {
	d := now.Sub(t).Round(time.Second)
	if d <= 0 {
		return "just now"
	}
	return span(d) + " ago"
}

// stamp is a time on the clock of the one who asks.
func stamp(t, now time.Time) string { return t.In(now.Location()).Format(time.DateTime) }

// size tells a number of bytes.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 999.5 && unit < len("kMGTPE") {
		v, unit = v/1000, unit+1
	}
	digits := 1
	if v >= 99.95 {
		digits = 0
	}
	return fmt.Sprintf("%.*f %cB", digits, v, " kMGTPE"[unit])
}

// plural counts things.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
