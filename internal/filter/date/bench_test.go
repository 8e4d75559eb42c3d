package date_test

import (
	"testing"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// BenchmarkFind measures what one line costs a detector that knows the log.
func BenchmarkFind(b *testing.B) {
	const rest = " web1 sshd[4242]: Failed password for invalid user admin from 192.0.2.17 port 50022 ssh2"
	for _, bm := range []struct{ name, pattern, line string }{
		{"syslog", "{^LN-BEG}", "Nov 22 10:11:12" + rest},
		{"iso", "{^LN-BEG}", "2026-11-22T10:11:12.123456+01:00" + rest},
		{"web", `^[^\[]*\[({DATE})`, `192.0.2.17 - - [22/Nov/2026:10:11:12 +0100] "GET /wp-login.php HTTP/1.1" 404 153 "-" "curl/8.5.0"`},
		{"webdefault", ``, `192.0.2.17 - - [22/Nov/2026:10:11:12 +0100] "GET /wp-login.php HTTP/1.1" 404 153 "-" "curl/8.5.0"`},
		{"epoch", "EPOCH", "1763633472.123" + rest},
		{"miss", "{^LN-BEG}", "web1 sshd[4242]: Failed password for invalid user admin from 192.0.2.17 port 50022 ssh2"},
		{"missdefault", "", "web1 sshd[4242]: Failed password for invalid user admin from 192.0.2.17 port 50022 ssh2"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			d, s := mustCompile(b, date.Options{Pattern: bm.pattern}, testNow).NewDetector(), pyre.NewSubject("")
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(bm.line)
				d.Find(s, testNow)
			}
		})
	}
}
