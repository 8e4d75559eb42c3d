package filter

import "testing"

// BenchmarkScan is the cost of a line that nobody wants: most lines of most logs.
func BenchmarkScan(b *testing.B) {
	g := NewGroup([]*Filter{
		mustNew(b, gate),
		mustNew(b, Options{FailRegex: []string{`Failed \w+ for <F-USER>.*</F-USER> from <HOST>`, `Invalid user <F-USER>.*</F-USER> from <HOST>`, `maximum attempts .* <HOST>`}, DatePattern: "{^LN-BEG}"}),
	})
	line := stamp(3) + " host systemd-logind[714]: Session 2071 of user backup logged out, waiting for its processes to exit."
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if g.Scan(line).Any() {
			b.Fatal("the line is wanted")
		}
	}
}

// BenchmarkProcess is the cost of a line that is a failure.
func BenchmarkProcess(b *testing.B) {
	s := mustNew(b, gate).NewSession()
	line := Line{Text: stamp(3) + " gate[7]: wrong word for bob from 192.0.2.1"}
	b.SetBytes(int64(len(line.Text)))
	b.ReportAllocs()
	for b.Loop() {
		if len(s.Process(line, testNow, true).Matches) != 1 {
			b.Fatal("no match")
		}
	}
}

// BenchmarkSkip is the rest of the cost of such a line: its date is looked for now and then.
func BenchmarkSkip(b *testing.B) {
	s := mustNew(b, gate).NewSession()
	line := Line{Text: stamp(3) + " host systemd-logind[714]: Session 2071 of user backup logged out."}
	b.SetBytes(int64(len(line.Text)))
	b.ReportAllocs()
	for b.Loop() {
		s.Skip(line, testNow, true)
	}
}
