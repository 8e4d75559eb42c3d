package jail_test

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// BenchmarkObserve counts failures of random IDs among n tallies. The clock goes on so that a tally
// lives until n others have failed: as many are forgotten as are added.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			ids := make([]ident.ID, 2*n)
			for i := range ids {
				x := uint32(i)
				ids[i] = ident.FromAddr(netip.AddrFrom4([4]byte{10, byte(x >> 16), byte(x >> 8), byte(x)}))
			}
			const find = time.Hour
			book := jail.NewBook(jail.Config{MaxTallies: n, PurgeAge: time.Hour})
			book.SetJail(jail.Policy{Jail: "sshd", MaxRetry: 5, FindTime: find, BanTime: 10 * time.Minute, MaxMatches: 5})
			lines := []string{"a line of a log as it is often seen, of a hundred bytes or so, with an address and a reason in it"}
			now := epoch
			step := find / time.Duration(n)
			observe := func() {
				now = now.Add(step)
				book.Observe("sshd", jail.Failure{ID: ids[r.IntN(len(ids))], Time: now, Lines: lines}, now)
			}
			for range 2 * n {
				observe()
			}
			book.TakeChanges()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				observe()
				if i%1024 == 0 {
					book.Expire(now)
					book.TakeChanges()
				}
			}
		})
	}
}

// BenchmarkIgnoreMatch asks a list of ten networks about addresses that are not in it.
func BenchmarkIgnoreMatch(b *testing.B) {
	l := jail.NewIgnoreList([]string{
		"127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fe80::/10", "fc00::/7", "192.0.2.1", "2001:db8::/32", "a.example",
	})
	for _, s := range []string{"198.51.100.1", "2001:db9::1"} {
		id := ident.Parse(s)
		b.Run(id.Family(), func(b *testing.B) {
			for range b.N {
				if _, ok := l.Match(id); ok {
					b.Fatal("ignored")
				}
			}
		})
	}
}

// BenchmarkFormula computes the formula that fail2ban uses by default.
func BenchmarkFormula(b *testing.B) {
	f, err := jail.ParseFormula("ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor")
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		if _, err := f.Eval(jail.Vars{Time: time.Hour, Count: i % 30, Factor: 1}, half); err != nil {
			b.Fatal(err)
		}
	}
}
