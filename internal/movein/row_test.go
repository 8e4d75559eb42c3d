package movein

import (
	"database/sql"
	"testing"
)

// FuzzRow: a row is left out, or makes a ban within bounds.
func FuzzRow(f *testing.F) {
	f.Add("sshd", "192.0.2.1", 1700000000.5, 600.0, 2.0, []byte(`{"matches":["a",["b","c","d"],7],"failures":3,"user":"x"}`))
	f.Add("", "x", -1.0, -2.0, 1e300, []byte(`{"matches":7`))
	f.Fuzz(func(t *testing.T, jail, ip string, start, length, count float64, data []byte) {
		text := func(s string) sql.NullString { return sql.NullString{String: s, Valid: true} }
		number := func(n float64) sql.NullFloat64 { return sql.NullFloat64{Float64: n, Valid: true} }
		b, ok := row{text(jail), text(ip), number(start), number(length), number(count), data}.ban()
		if !ok {
			return
		}
		if b.Jail == "" || b.ID == "" || b.Duration < -2 || b.Duration > longest || b.Count < 1 || b.Failures < 0 || len(b.Lines) > maxLines || len(b.Data) > maxFields {
			t.Fatalf("%+v", b)
		}
		for _, l := range b.Lines {
			if len(l) > maxLine {
				t.Fatalf("a line of %d bytes", len(l))
			}
		}
	})
}
