package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/setup"
)

// configuration counts what is wrong with it. agentctl check tells all of that.
func (x *exam) configuration(l *setup.Loader, o agent.Options) {
	f := Finding{Check: "configuration", About: x.report.Config, Next: "agentctl check -c " + x.o.Config}
	var errs, warnings []control.Shared
	for _, p := range control.Share(o.Problems) {
		if p.Severity == config.Error.String() {
			errs = append(errs, p)
		} else {
			warnings = append(warnings, p)
		}
	}
	enabled := len(o.Jails) + len(o.Broken)
	if len(errs) > 0 {
		f.Jails = o.Broken
		f.Found = fmt.Sprintf("%d of %d enabled jails cannot run; errors: %d, the first is %s", len(o.Broken), enabled, len(errs), setup.ProblemText(errs[0]))
		x.bad(f)
	}
	f.Jails = nil
	if len(warnings) > 0 {
		f.Found = fmt.Sprintf("warnings: %d, the first is %s", len(warnings), setup.ProblemText(warnings[0]))
		x.warn(f)
	}
	switch {
	case enabled == 0:
		f.Found, f.Next = l.NoJails(), "enable a jail"
		x.bad(f)
	case len(errs) == 0:
		f.Found, f.Next = fmt.Sprintf("enabled jails: %d, all can run", enabled), ""
		x.ok(f)
	}
}

// ipv6 looks whether somebody relies on IPv6 being left out.
func (x *exam) ipv6(context.Context) {
	f := Finding{Check: "ipv6"}
	off, err := x.m.proc("sys/net/ipv6/conf/all/disable_ipv6")
	var global []string
	for _, a := range x.m.Own() {
		if a.Is6() && a.IsGlobalUnicast() {
			global = append(global, a.String())
		}
	}
	switch {
	case err != nil || strings.TrimSpace(string(off)) == "1":
		f.Found = "off in the kernel"
		x.ok(f)
	case x.config != nil && x.config.Global.AllowIPv6 != "auto" && !config.ParseBool(x.config.Global.AllowIPv6):
		f.About, f.Found = x.config.Global.Origin("allowipv6").File, "allowipv6 is off, and IPv6 addresses are banned all the same"
		f.Next = "nothing has to be done; to be without IPv6, switch it off in the kernel"
		x.warn(f)
	case len(global) == 0:
		f.Found = "on, and the machine has no address to be reached by"
		x.ok(f)
	default:
		f.Found = "on, and banned like IPv4; the machine is reached at " + listed(global)
		x.ok(f)
	}
}

// clientOf is who gives us our commands from elsewhere.
type clientOf struct {
	addr     netip.Addr
	failures map[string]int // by jail, in the ends of its logs
}

// maxAncestors is how far up we look for the session that we run in.
const maxAncestors = 64

// sessionClient finds the address from which somebody is logged in to give this command. sudo hides the
// variables that tell it, so the processes that started us are looked at.
func (m Machine) sessionClient() netip.Addr {
	pid := "self"
	for range maxAncestors {
		env, _ := m.proc(pid + "/environ") // that of a foreign process is not for everybody
		for v := range bytes.SplitSeq(env, []byte{0}) {
			text, is := strings.CutPrefix(string(v), "SSH_CONNECTION=")
			if !is {
				continue
			}
			first, _, _ := strings.Cut(text, " ")
			if a, err := netip.ParseAddr(first); err == nil {
				return a.Unmap().WithZone("")
			}
		}
		stat, err := m.proc(pid + "/stat")
		if err != nil {
			break
		}
		// The name of the program may hold blanks and brackets; it ends with the last one.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			break
		}
		if n, err := strconv.Atoi(fields[1]); err != nil || n < 1 {
			break
		}
		pid = fields[1]
	}
	return netip.Addr{}
}

// lockout looks who of us would be banned. It comes after filters, which counts what the client did.
func (x *exam) lockout(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime) // host names are looked up
	defer cancel()
	x.everybody()
	file := filepath.Join(x.o.Config, "jail.local")
	own := true
	for _, j := range x.past {
		for _, a := range x.m.Own() {
			if j.Ignored(ctx, ident.FromAddr(a)) {
				continue
			}
			own = false
			x.warn(Finding{
				Check: "lockout", Jails: []string{j.Policy.Jail}, Found: "the machine's own addresses are not ignored",
				Next: "ignoreself = true in " + file,
			})
			break
		}
	}
	if own && len(x.past) > 0 {
		x.ok(Finding{Check: "lockout", Found: "the machine's own addresses are ignored by all jails"})
	}
	client := x.client.addr
	if !client.IsValid() {
		return
	}
	safe := true
	for _, j := range x.past {
		if j.Ignored(ctx, ident.FromAddr(client)) {
			continue
		}
		safe = false
		f := Finding{Check: "lockout", About: client.String(), Jails: []string{j.Policy.Jail}, Next: fmt.Sprintf("add %v to ignoreip in %s", client, file)}
		if n := x.client.failures[j.Policy.Jail]; n > 0 {
			f.Found = fmt.Sprintf("this is whom you are logged in from, and the ends of the logs hold %d failures of it: you would lock yourself out", n)
			x.bad(f)
			continue
		}
		f.Found = "this is whom you are logged in from, and it is not ignored: mistakes would lock you out"
		x.warn(f)
	}
	if safe && len(x.past) > 0 {
		x.ok(Finding{Check: "lockout", About: client.String(), Found: "you are logged in from here, and no jail bans it"})
	}
}

// everybody looks for an ignore list that spares the whole world.
func (x *exam) everybody() {
	if x.config == nil {
		return
	}
	for _, j := range x.config.Jails {
		for _, entry := range j.IgnoreIP {
			id := ident.Parse(entry)
			if !id.IsAddr() || id.Prefix().Bits() > 0 {
				continue
			}
			x.bad(Finding{
				Check: "lockout", About: entry, Jails: []string{j.Name}, Found: "ignoreip holds every address: nobody is ever banned",
				Next: fmt.Sprintf("take it out, at %v", j.Origin("ignoreip")),
			})
		}
	}
}
