package bench

import (
	"errors"
	"slices"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

// part is what is measured in one process.
type part struct {
	name    string
	backend string // empty: a tool
	open    func() (firewall.Backend, error)
	largeAt int // as of firewall.KeeperOptions
	run     func(*rig)
}

func (p part) String() string {
	if p.backend == "" {
		return p.name
	}
	return p.backend + "." + p.name
}

func openNft() (firewall.Backend, error) { return nft.New(nft.Options{}) }

func openIpset() (firewall.Backend, error) { return ipset.New(ipset.Options{}) }

// openBoth keeps bans in the one and large feeds in the other.
func openBoth() (firewall.Backend, error) {
	bans, err := openNft()
	if err != nil {
		return nil, err
	}
	feeds, err := openIpset()
	if err != nil {
		return nil, errors.Join(err, bans.Close(false))
	}
	return firewall.Split(bans, feeds), nil
}

func parts() (out []part) {
	bans := []part{
		{name: "ban", run: measureSingle},
		{name: "many", run: measureMany},
	}
	feeds := []part{
		{name: "feed", run: measureFeed},
		{name: "meanwhile", run: measureMeanwhile},
		{name: "delta", run: measureDelta},
		{name: "packets", run: measurePackets},
	}
	for _, b := range []struct {
		part
		of []part
	}{
		{part{backend: "nft", open: openNft}, append(bans, feeds...)},
		{part{backend: "ipset", open: openIpset}, append(bans, feeds...)},
		{part{backend: "nft+ipset", open: openBoth, largeAt: 1000}, feeds},
	} {
		for _, p := range b.of {
			p.backend, p.open, p.largeAt = b.backend, b.open, b.largeAt
			out = append(out, p)
		}
	}
	return append(out,
		part{name: "script", run: measureScript},
		part{name: "fail2ban", run: measureFail2ban},
		part{name: "nft-f", run: measureNftFile},
		part{name: "ipset-restore", run: measureIpsetRestore},
	)
}

// rows are the lines of the table. Times are in seconds.
func rows() []row {
	const none = -1
	script, fail2ban := "sh -c 'nft add element …'", "fail2ban 1.0, nftables"
	all := []row{
		{name: "apply.median", what: "one element into the kernel, median", unit: "s", goal: 10e-6, tool: "script.median", title: script},
		{name: "apply.p99", what: "one element into the kernel, p99", unit: "s", goal: 50e-6},
		{name: "ban.median", what: "one ban, from decision to acknowledged, median", unit: "s", goal: 100e-6, tool: "fail2ban.ban", title: fail2ban},
		{name: "ban.p99", what: "one ban, from decision to acknowledged, p99", unit: "s", goal: 1e-3},
		{name: "meanwhile.median", what: "one ban while a feed of a million loads, median", unit: "s", goal: none},
		{name: "meanwhile.p99", what: "one ban while a feed of a million loads, p99", unit: "s", goal: 5e-3},
		{name: "burst", what: "10,000 bans at once", unit: "s", goal: 50e-3, tool: "fail2ban.ban", times: 10_000, title: fail2ban + ", 200 measured"},
		{name: "restore", what: "100,000 bans at the start", unit: "s", goal: 0.5, tool: "fail2ban.ban", times: 100_000, title: fail2ban + ", 200 measured"},
		{name: "feed.time", what: "feed of 1,000,000 hosts and 20,000 networks, from unsorted", unit: "s", goal: 1.5, tool: "ipset.feed.time", title: "ipset restore"},
		{name: "feed.time", what: "  the same", unit: "s", goal: none, tool: "nft.feed.time", title: "nft -f, interval set"},
		{name: "feed.cpu", what: "  CPU time of that", unit: "s", goal: none, tool: "ipset.feed.cpu", title: "ipset restore"},
		{name: "feed.cpu", what: "  CPU time of that again", unit: "s", goal: none, tool: "nft.feed.cpu", title: "nft -f, interval set"},
		{name: "feed.peak", what: "  peak memory of the process", unit: "MB", goal: 150, tool: "ipset.feed.peak", title: "ipset restore"},
		{name: "feed.peak", what: "  peak memory of the process again", unit: "MB", goal: none, tool: "nft.feed.peak", title: "nft -f, interval set"},
		{name: "feed.after", what: "  memory of the process afterwards", unit: "MB", goal: 150},
		{name: "feed.kernel", what: "  memory of the kernel", unit: "MB", goal: none, tool: "ipset.feed.kernel", title: "ipset restore"},
		{name: "idle", what: "  CPU that it takes with nothing to do, of one core", unit: "%", goal: 0.3},
		{name: "idle.empty", what: "  CPU of the kernel's threads before, for whoever", unit: "%", goal: none},
		{name: "delta", what: "5 % of a feed of 500,000 changed, from unsorted", unit: "s", goal: 0.15, tool: "ipset.delta", title: "ipset restore and swap"},
		{name: "delta.leaked", what: "  packets of blocked sources that came through meanwhile", unit: "", goal: 0},
		{name: "delta.sent", what: "  of so many sent", unit: "", goal: none},
	}
	for i := range all {
		all[i].times = max(all[i].times, 1)
	}
	return slices.Clip(all)
}
