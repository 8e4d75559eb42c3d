package pyre

import "testing"

// sshdLike has the shape of a filter's rule after its tags are expanded: a greeting, an optional part
// and an address of either family or a name, anchored at both ends.
const sshdLike = `^(?:error: )?(?:Refused|Rejected) (?P<method>\S+) for (?P<none>unknown user )?(?P<user>\S+|.*?) from ` +
	`(?:\[?(?:(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})|(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):)))\]?|(?P<dns>[\w\-.^_]*\w))` +
	`(?: on \S+)?(?: port \d+)?(?: ssh\d*)?(?: \[preauth\])?\s*$`

func BenchmarkSearch(b *testing.B) {
	for _, bb := range []struct {
		name, text string
		want       bool
	}{
		{"match", "Refused password for unknown user admin from 192.0.2.77 port 51234 ssh2", true},
		{"unicode", "Refused password for unknown user adminé from 192.0.2.77 port 51234 ssh2", true},
		{"miss late", "Refused password for unknown user admin from 192.0.2.77 port 51234 ssh2 and more", false},
		{"miss early", "Refused access to 192.0.2.77 from the table of peers: port 51234 is not on the list", false},
		{"miss by literals", "Accepted publickey for admin from 192.0.2.77 port 51234 ssh2: ED25519 SHA256:abcdef", false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			re, err := Compile(sshdLike, 0)
			if err != nil {
				b.Fatal(err)
			}
			s, m := NewSubject(""), &Match{}
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(bb.text)
				if ok, err := re.Search(s, m); ok != bb.want || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(sshdLike, 0); err != nil {
			b.Fatal(err)
		}
	}
}
