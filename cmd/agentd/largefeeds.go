package main

import (
	"log/slog"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

// largeFeed is from how many elements on feeds live in ipset, where that is to be had: nft reads every set of
// nftables whatever it is asked, and needs half a second for 100,000.
const largeFeed = 100_000

// withLargeFeeds puts ipset beside nftables for feeds that are large, or for all of them if that is wished.
// It gives from how many elements on.
func withLargeFeeds(b firewall.Backend, kind, feeds string, log *slog.Logger) (firewall.Backend, int) {
	if _, isNft := b.(*nft.Backend); !isNft || feeds == "nft" {
		return b, 0
	}
	large, err := ipset.New(ipset.Options{Log: log})
	switch {
	case err != nil && feeds == "ipset":
		log.Error("feeds live in nftables, since ipset is not to be had", "option", "feeds = ipset", "err", err)
		return b, 0
	case err != nil:
		log.Debug("large feeds live in nftables, where they make nft slow", "firewall", kind, "err", err)
		return b, 0
	case feeds == "ipset":
		return firewall.Split(b, large), 1
	}
	return firewall.Split(b, large), largeFeed
}
