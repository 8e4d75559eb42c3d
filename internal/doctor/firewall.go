package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// kernel tries nftables as the daemon does at its start.
func (x *exam) kernel(context.Context) {
	f := Finding{Check: "nftables"}
	features, err := x.m.Firewall()
	switch {
	case errors.Is(err, firewall.ErrPermission):
		f.Found, f.Next = err.Error(), "give CAP_NET_ADMIN"
		x.forbidden(f)
	case err != nil:
		f.Found, f.Next = err.Error(), "load nf_tables with modprobe nf_tables; in a container, the host has to"
		x.bad(f)
	case !features.Owner || !features.Reject:
		var lacks []string
		if !features.Owner {
			lacks = append(lacks, "other programs can change the bans, which are repaired within seconds")
		}
		if !features.Reject {
			lacks = append(lacks, "packets are dropped where they should be rejected")
		}
		f.Found, f.Next = "usable, but the kernel is an old one: "+strings.Join(lacks, "; "), "nothing has to be done; newer kernels do more"
		x.warn(f)
	default:
		f.Found = "usable"
		x.ok(f)
	}
}

// maxNamed is how many things a finding names one by one.
const maxNamed = 5

// leftovers looks for what fail2ban's actions made in the kernel. Once fail2ban has gone, nobody lifts these
// bans.
func (x *exam) leftovers(ctx context.Context) {
	asked := []struct {
		program string
		args    []string
		names   string         // what the names are
		find    *regexp.Regexp // its last group is the name
		lift    string
	}{
		{"nft", []string{"list", "tables"}, "nft tables", regexp.MustCompile(`(?m)^table (\w+ f2b-[\w-]+)`), "nft delete table "},
		{"nft", []string{"list", "chains"}, "nft chains", regexp.MustCompile(`(?m)^\s*chain (f2b-[^\s{]+)`), "take out the rules that lead to it, then nft delete chain, of "},
		{"iptables-save", nil, "iptables chains", regexp.MustCompile(`(?m)^:(f2b-\S+)`), "take out the rules that lead to it, then iptables -F and -X "},
		{"ip6tables-save", nil, "ip6tables chains", regexp.MustCompile(`(?m)^:(f2b-\S+)`), "take out the rules that lead to it, then ip6tables -F and -X "},
		{"ipset", []string{"list", "-n"}, "ipsets", regexp.MustCompile(`(?m)^(f2b-\S+)`), "take out the rules that use it, then ipset destroy "},
	}
	found := false
	for _, a := range asked {
		out, err := x.m.run(ctx, a.program, a.args...)
		if err != nil && !errors.Is(err, errNoProgram) && x.root {
			x.warn(Finding{Check: "leftovers", About: a.program, Found: err.Error(), Next: "look with " + strings.Join(append([]string{a.program}, a.args...), " ")})
			continue
		}
		var names []string
		for _, m := range a.find.FindAllStringSubmatch(out, -1) {
			if !slices.Contains(names, m[1]) {
				names = append(names, m[1])
			}
		}
		if len(names) == 0 {
			continue
		}
		found = true
		f := Finding{Check: "leftovers", About: a.program, Found: fmt.Sprintf("%d %s of fail2ban: %s", len(names), a.names, listed(names))}
		if x.fail2ban {
			f.Found += ", as long as it runs"
			x.ok(f)
			continue
		}
		f.Found += "; nobody lifts their bans now"
		f.Next = a.lift + names[0]
		x.bad(f)
	}
	if !found && x.root {
		x.ok(Finding{Check: "leftovers", Found: "fail2ban has left nothing in the kernel"})
	}
}

// listed joins names, the first of them if they are many.
func listed(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}
