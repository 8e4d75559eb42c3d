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
	case errors.Is(err, firewall.ErrUnsupported) && x.m.Ipset() == nil:
		f.Found = "not in this kernel (" + err.Error() + "); ipset and iptables take its place, and packets are dropped where they should be rejected"
		f.Next = "nothing has to be done; with nf_tables (modprobe nf_tables) there is more"
		x.warn(f)
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

// passing looks for what lets packets pass by our rules.
func (x *exam) passing(ctx context.Context) {
	r, err := x.m.Hooks(ctx)
	if err != nil {
		x.forbidden(Finding{Check: "coexistence", Found: err.Error(), Next: "give CAP_NET_ADMIN"})
		return
	}
	for _, w := range r.Warnings {
		found, next, _ := strings.Cut(w, " → ")
		x.warn(Finding{Check: "coexistence", Found: found, Next: next})
	}
	for _, u := range r.Unread {
		x.warn(Finding{Check: "coexistence", Found: "not looked at: " + u, Next: "look with nft -t list ruleset, iptables-save, tc filter show and ip link"})
	}
	if len(r.Warnings)+len(r.Unread) == 0 {
		x.ok(Finding{Check: "coexistence", Found: "nothing lets packets pass by our rules"})
	}
}

// maxNamed is how many things a finding names one by one.
const maxNamed = 5

// remains is one kind of what fail2ban's actions make in the kernel.
type remains struct {
	program string
	args    []string
	what    string
	find    func(out string) []string
	lift    string // how one is taken out, but for its name
}

// firstOf finds what a regex captures at first.
func firstOf(expr string) func(string) []string {
	re := regexp.MustCompile(expr)
	return func(out string) (names []string) {
		for _, m := range re.FindAllStringSubmatch(out, -1) {
			names = append(names, m[1])
		}
		return names
	}
}

// leftovers looks for what fail2ban's actions made in the kernel. Once fail2ban has gone, nobody lifts these
// bans.
func (x *exam) leftovers(ctx context.Context) {
	_, tables := x.m.find("iptables-save")
	found := false
	// Not "list tables": for that nft reads all elements of all sets first, which takes minutes where they are large.
	chains := []string{"-t", "list", "chains"}
	for _, a := range []remains{
		{"nft", chains, "nft tables", firstOf(`(?m)^table (\w+ f2b-[\w-]+)`), "nft delete table "},
		{
			"nft",
			chains,
			"nft chains", func(out string) []string { return nftChains(out, tables) },
			"delete the rules that jump to it, which nft -t -a list ruleset shows, then: nft flush chain, and nft delete chain ",
		},
		{
			"iptables-save", nil, "iptables chains", firstOf(`(?m)^:(f2b-\S+)`),
			"delete the rules that jump to it, which iptables -S shows, then: iptables -F, and iptables -X ",
		},
		{
			"ip6tables-save", nil, "ip6tables chains", firstOf(`(?m)^:(f2b-\S+)`),
			"delete the rules that jump to it, which ip6tables -S shows, then: ip6tables -F, and ip6tables -X ",
		},
		{"ipset", []string{"list", "-n"}, "ipsets", firstOf(`(?m)^(f2b-\S+)`), "delete the rules that name it, which iptables -S shows, then: ipset destroy "},
	} {
		out, err := x.m.run(ctx, a.program, a.args...)
		if err != nil && !errors.Is(err, errNoProgram) && x.root {
			x.warn(Finding{Check: "leftovers", About: a.program, Found: err.Error(), Next: "look with " + strings.Join(append([]string{a.program}, a.args...), " ")})
			continue
		}
		names := a.find(out)
		slices.Sort(names)
		if names = slices.Compact(names); len(names) == 0 {
			continue
		}
		found = true
		f := Finding{Check: "leftovers", About: a.what, Found: fmt.Sprintf("fail2ban has %d here: %s", len(names), listed(names))}
		if x.fail2ban {
			f.Found += ", as long as it runs"
			x.ok(f)
			continue
		}
		f.Found, f.Next = f.Found+"; it does not run, and nobody lifts their bans", a.lift+names[0]
		x.bad(f)
	}
	if !found && x.root {
		x.ok(Finding{Check: "leftovers", Found: "fail2ban has left nothing in the kernel"})
	}
}

// nftChains finds fail2ban's chains in tables that are not its own, as nft shows them. Those of iptables are
// left out where that is there to show them.
func nftChains(out string, iptables bool) (names []string) {
	table := ""
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		switch {
		case len(words) > 2 && words[0] == "table":
			table = words[1] + " " + words[2]
			if strings.HasPrefix(words[2], "f2b-") || iptables && (words[1] == "ip" || words[1] == "ip6") {
				table = ""
			}
		case len(words) > 1 && words[0] == "chain" && strings.HasPrefix(words[1], "f2b-") && table != "":
			names = append(names, table+" "+words[1])
		}
	}
	return names
}

// listed joins names, the first of them if they are many.
func listed(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}
