package feed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// plainList is a list of n addresses of IPv4, and one network of IPv6 in a hundred lines.
func plainList(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range n {
		if i%100 == 99 {
			fmt.Fprintf(&b, "2600:%x:%x::/48\n", rng.IntN(1<<16), rng.IntN(1<<16))
			continue
		}
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+rng.Uint32N(0x60000000))
		b.WriteString(netip.AddrFrom4(a).String() + "\n")
	}
	return b.Bytes()
}

// jsonList is a list of n addresses with scores, as services of threats answer.
func jsonList(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString(`{"threats":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+rng.Uint32N(0x60000000))
		fmt.Fprintf(&b, `{"ip_address":%q,"country":"XX","threat_score":%d,"tags":["ssh","scan"]}`, netip.AddrFrom4(a), rng.IntN(101))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// BenchmarkParse reads a million entries and does nothing with them.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name   string
		text   []byte
		format Format
	}{
		{"plain", plainList(1_000_000), Format{Kind: "plain"}},
		{"csv", plainList(1_000_000), Format{Kind: "csv"}},
		{"json", jsonList(1_000_000), Format{Kind: "json", Path: "threats[].ip_address"}},
		{"json with scores", jsonList(1_000_000), Format{Kind: "json", Path: "threats[].ip_address", ScorePath: "threat_score"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				if p, err := Parse(bytes.NewReader(c.text), c.format, Limits{}, func(Entry) {}); err != nil || p.Entries != 1_000_000 {
					b.Fatal(p.Entries, err)
				}
			}
		})
	}
}

// BenchmarkGuard reads a million plain entries and makes of them what may be blocked.
func BenchmarkGuard(b *testing.B) {
	text := plainList(1_000_000)
	g := usual()
	g.MaxEntries = 2_000_000
	g.Allow = set("20.0.0.0/8", "30.1.2.3/32")
	b.ReportAllocs()
	for b.Loop() {
		guard := NewGuard(g)
		if _, err := Parse(bytes.NewReader(text), Format{Kind: "plain"}, Limits{}, guard.Take); err != nil {
			b.Fatal(err)
		}
		if v, err := guard.Verdict(0); err != nil || v.Block.Empty() {
			b.Fatal(err)
		}
	}
}
