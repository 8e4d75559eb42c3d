package hooks

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMessages reads bytes in every way in which the kernel's are read.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{})
	rule := appendText(nil, unix.NFTA_RULE_TABLE, "raw")
	rule = appendText(rule, unix.NFTA_RULE_CHAIN, "PREROUTING")
	f.Add(append(header(unix.NFPROTO_IPV4), rule...))
	f.Add(append(make([]byte, sizeTc), appendText(nil, unix.TCA_KIND, "ingress")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := &nftables{dormant: map[table]bool{}, names: map[table][]string{}, rules: map[table]ruleset{}}
		each := func(payload []byte) {
			n.table(payload)
			n.chain(payload)
			n.flowtable(payload)
			r := ruleset{}
			r.add(table{unix.NFPROTO_IPV4, "raw"}, payload)
			n.rules[table{unix.NFPROTO_IPV4, "raw"}] = r
			_, _ = readLink(payload)
			_, _ = readIngress(payload)
			_, _ = readFilter(payload)
		}
		each(data)
		_, _ = messages(data, 0, each)
		var found facts
		n.facts(&found)
		for _, h := range evaluate(found).Hooks {
			if h.Where == "" || h.Effect == "" {
				t.Errorf("a hook without a place or an effect: %+v", h)
			}
		}
	})
}

// FuzzSave reads what iptables-legacy-save might write.
func FuzzSave(f *testing.F) {
	f.Add("*raw\n:PREROUTING ACCEPT [0:0]\n:PALISADE - [0:0]\n-A PREROUTING ! -i lo -j PALISADE\n-A PREROUTING -g\nCOMMIT\n")
	f.Add("*raw\n:A\n:B\n-A PREROUTING -j A\n-A A -j B\n-A B -j A\n-A PREROUTING -j PALISADE")
	f.Fuzz(func(t *testing.T, text string) {
		tables, _ := parseSave(strings.NewReader(text))
		for name, r := range tables {
			for _, l := range r.lists("iptables-legacy", "ip", name) {
				if l.chain == "" {
					t.Error("a list without a chain")
				}
			}
		}
	})
}
