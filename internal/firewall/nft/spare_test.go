package nft_test

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

func tables(t *testing.T) string {
	t.Helper()
	out, err := nftTool(t, "list", "tables")
	if err != nil {
		t.Fatal(err, out)
	}
	return strings.TrimSpace(out)
}

func TestKernelNothingIsLeftBesideTheTable(t *testing.T) {
	if !namespace(t) {
		return
	}
	table := wished(t, scopes(), time.Hour, "jail:sshd 192.0.2.1", "jail:recidive 2001:db8::1")
	for _, o := range []nft.Options{{}, {Plain: true}} {
		for _, tt := range []struct {
			name string
			next func(t *testing.T, b *nft.Backend)
			want string
		}{
			{"after a replacement", func(t *testing.T, b *nft.Backend) {
				t.Helper()
				lay(t, b, table)
			}, "table inet palisade"},
			{"after a claim", func(t *testing.T, b *nft.Backend) {
				t.Helper()
				if ok, err := b.Claim(table.Layout()); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}, "table inet palisade"},
			{"after a removal", func(t *testing.T, b *nft.Backend) {
				t.Helper()
				if err := b.Close(false); err != nil {
					t.Fatal(err)
				}
			}, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				first := open(t, o)
				lay(t, first, table)
				lay(t, first, table)
				if got := tables(t); got != "table inet palisade" {
					t.Errorf("two replacements leave %q", got)
				}
				if err := first.LeaveSpare(table.Layout()); err != nil {
					t.Fatal(err)
				}
				if got := tables(t); !strings.Contains(got, "palisade_next") {
					t.Fatalf("there is no spare table to begin with: %q", got)
				}
				b := open(t, o)
				tt.next(t, b)
				if got := tables(t); got != tt.want {
					t.Errorf("tables %q, want %q", got, tt.want)
				}
				if tt.want != "" {
					if err := b.Close(false); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
