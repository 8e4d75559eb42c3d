package nft_test

import (
	"encoding/hex"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

// FuzzWire: whatever comes from the netlink socket is read without a panic.
func FuzzWire(f *testing.F) {
	for _, s := range []string{
		"", "00", "14000000020a000001000000000000000000",
		// An error with the header that it is about, and a text.
		"40000000020000030100000000000000feffffff140000000c0a0100010000000000000008000100616263000500020001000000",
		// An element with key, timeout and expiration.
		"4c0000000c0a020001000000000000000100000030000180" + "0c00018008000100c0000201" + "0c00040000000000000036ee80" + "0c000500000000000036ee00",
	} {
		data, err := hex.DecodeString(s)
		if err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := nft.ReadAll(data); n < 0 || n > 100*len(data)+100 {
			t.Errorf("%d bytes read of %d", n, len(data))
		}
	})
}
