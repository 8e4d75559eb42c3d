package movein

import (
	"database/sql"
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/control"
)

// The bounds of what one ban may hold.
const (
	maxName   = 4 << 10 // bytes of a jail's name and an ID
	maxLines  = 100
	maxLine   = 1 << 10 // bytes of a line
	maxFields = 50
	// longest is the length of a ban, in seconds, above which it may as well be permanent.
	longest = 1 << 33
)

// row is a ban as the database has it.
type row struct {
	jail, ip      sql.NullString
	start, length sql.NullFloat64
	count         sql.NullFloat64
	data          []byte
}

// ban makes a ban of a row; false for one that makes no sense.
func (r row) ban() (b control.ImportBan, ok bool) {
	switch {
	case r.jail.String == "" || r.ip.String == "" || len(r.jail.String)+len(r.ip.String) > maxName,
		!utf8.ValidString(r.jail.String) || !utf8.ValidString(r.ip.String),
		r.start.Float64 <= 0 || r.start.Float64 > 1<<40 || math.IsNaN(r.length.Float64),
		len(r.data) > maxValue:
		return b, false
	}
	whole, fraction := math.Modf(r.start.Float64)
	b = control.ImportBan{
		Jail: r.jail.String, ID: r.ip.String, Start: time.Unix(int64(whole), int64(fraction*1e6)*1000).UTC(),
		Duration: int64(min(r.length.Float64, longest)), Count: int(min(max(r.count.Float64, 1), 1<<30)),
	}
	if b.Duration < 0 && b.Duration != -2 {
		b.Duration = -1
	}
	r.details(&b)
	return b, true
}

// details reads what fail2ban notes with a ban. What is no JSON of its kind is left out: the ban counts.
func (r row) details(b *control.ImportBan) {
	var fields map[string]any
	if len(r.data) == 0 || json.Unmarshal(r.data, &fields) != nil {
		return
	}
	for name, value := range fields {
		switch v := value.(type) {
		case float64:
			if name == "failures" {
				b.Failures = int(min(max(v, 0), 1<<30))
			}
		case string:
			if len(b.Data) < maxFields && len(name) <= maxLine {
				if b.Data == nil {
					b.Data = map[string]string{}
				}
				b.Data[name] = cut(v)
			}
		case []any:
			if name != "matches" {
				continue
			}
			for _, m := range v[max(0, len(v)-maxLines):] {
				b.Lines = append(b.Lines, cut(line(m)))
			}
		}
	}
}

// line is one of the lines of a ban: a text, or what stands before its date, the date, and the rest.
func line(m any) string {
	switch m := m.(type) {
	case string:
		return m
	case []any:
		var b strings.Builder
		for _, part := range m {
			if s, ok := part.(string); ok {
				b.WriteString(s)
			}
		}
		return b.String()
	}
	return ""
}

func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxLine], "")
}
