package lookup

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzAnswersAreBoundedAndClean reads any bytes as the answer of each service.
func FuzzAnswersAreBoundedAndClean(f *testing.F) {
	for _, s := range []string{
		`null`, `[]`, `{"threat":{"score":50,"level":"x\u001b"},"flags":{"a\u0000":true},"network":{"asn":1e99}}`, `{"intelligence_data":{"threat_score":0}}`,
		`{"data":{"abuseConfidenceScore":1,"lastReportedAt":"9999-12-31T23:59:59-23:59","hostnames":[""]}}`, `{"riskScore":{"score":1},"sources":[{"name":"x"}]}`,
		`[{"type":"ban"}]`, `{"errors":[{"detail":"x"}]}`, `{"detail":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := func(most int, all ...string) {
			for _, s := range all {
				for _, r := range s {
					if unicode.IsControl(r) || r == utf8.RuneError {
						t.Fatalf("%q reaches a terminal", s)
					}
				}
				if len(s) > most+len("…") {
					t.Fatalf("%d bytes: %q", len(s), s)
				}
			}
		}
		for _, k := range kinds() {
			a, err := k.read(b)
			if err != nil {
				text(noteBytes, err.Error())
				continue
			}
			if a.Score != nil && (*a.Score < 0 || *a.Score > 100) || a.Score == nil && !k.ours || a.Reports != nil && *a.Reports < 0 {
				t.Fatalf("%s: %+v", k.name, a)
			}
			text(textBytes, a.Level, a.Owner, a.Network, a.Country, a.Hostname)
			text(textBytes, a.Categories...)
			text(textBytes, a.Flags...)
			text(noteBytes, a.Notes...)
			if len(a.Categories) > maxNames || len(a.Flags) > maxNames || len(a.Notes) > maxNames+1 {
				t.Fatalf("%s: too much: %+v", k.name, a)
			}
		}
		text(noteBytes, complaint(b))
	})
}
