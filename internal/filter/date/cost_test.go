package date_test

import (
	"testing"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// BenchmarkCompileDefaults is what the default patterns cost one filter alone.
func BenchmarkCompileDefaults(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, date.Options{}, testNow)
	}
}

// BenchmarkCompileLineBegin is the same for those of the start of the line.
func BenchmarkCompileLineBegin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, date.Options{Pattern: "{^LN-BEG}"}, testNow)
	}
}

// BenchmarkCompileShared is what they cost each further filter, with a Compiler.
func BenchmarkCompileShared(b *testing.B) {
	o := date.Options{Compiler: &date.Compiler{}}
	mustCompile(b, o, testNow)
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, o, testNow)
	}
}

// What a line costs a detector with the default patterns that knows the log.
func BenchmarkFindSyslog(b *testing.B) { benchmarkFind(b, "Nov 22 11:59:58"+message, true) }

func BenchmarkFindISO(b *testing.B) {
	benchmarkFind(b, "2026-11-22T11:59:58.123456+01:00"+message, true)
}
func BenchmarkFindMiss(b *testing.B) { benchmarkFind(b, message, false) }

const message = " host sshd[4711]: Connection closed by authenticating user root 192.0.2.7 port 51234 [preauth]"

func benchmarkFind(b *testing.B, line string, found bool) {
	b.Helper()
	d, s := mustCompile(b, date.Options{}, testNow).NewDetector(), pyre.NewSubject("")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(line)
		if r := d.Find(s, testNow); r.Found != found {
			b.Fatal(r)
		}
	}
}
