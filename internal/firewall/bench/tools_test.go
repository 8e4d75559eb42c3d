package bench

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// tool demands a program and skips without it.
func (r *rig) tool(name string) string {
	r.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		r.Skipf("no %s here: apt-get install %s", name, map[string]string{"nft": "nftables"}[name]+strings.TrimPrefix(name, "nft"))
	}
	return path
}

// usage is what a program used.
type usage struct {
	took, cpu float64 // seconds
	peak      float64 // bytes
}

// command runs a program, fed by a writer.
func (r *rig) command(feed func(w io.Writer), name string, args ...string) (u usage) {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), name, args...)
	if feed != nil {
		path := filepath.Join(r.TempDir(), "in")
		file, err := os.Create(path)
		if err != nil {
			r.Fatal(err)
		}
		w := bufio.NewWriterSize(file, 1<<20)
		feed(w)
		if err := w.Flush(); err != nil {
			r.Fatal(err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			r.Fatal(err)
		}
		defer file.Close()
		cmd.Stdin = file
	}
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("%s %s: %v: %.500s", name, args, err, out)
	}
	u.took = seconds(begin)
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = float64(used.Maxrss) * 1024
		u.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	return u
}

// measureScript: one ban after the other as a script of an action does it.
func measureScript(r *rig) {
	r.tool("nft")
	r.command(func(w io.Writer) {
		fmt.Fprint(w, "add table inet bench\nadd set inet bench s { type ipv4_addr; flags timeout; }\n")
	}, "nft", "-f", "-")
	var took []float64
	for i := range r.sizes.Tool {
		took = append(took, r.command(nil, "sh", "-c", fmt.Sprintf("nft add element inet bench s { %s timeout 1h }", banned(i).Addr())).took)
	}
	r.of("script.median", median(took))
}

// prefixes calls f with the large feed's elements, without what overlaps.
func (r *rig) prefixes(f func(netip.Prefix)) {
	for p := range r.large().Ranges().Prefixes() {
		f(p)
	}
}

// measureNftFile: the large feed by nft, in the only kind of set that it has for networks.
func measureNftFile(r *rig) {
	r.tool("nft")
	used := r.command(func(w io.Writer) {
		fmt.Fprint(w, "add table inet bench\nadd set inet bench s { type ipv4_addr; flags interval; }\n")
		separator := "add element inet bench s { "
		r.prefixes(func(p netip.Prefix) {
			fmt.Fprint(w, separator, p)
			separator = ",\n"
		})
		fmt.Fprint(w, " }\n")
	}, "nft", "-f", "-")
	r.of("nft.feed.time", used.took)
	r.of("nft.feed.cpu", used.cpu)
	r.of("nft.feed.peak", used.peak/megabyte)
}

// measureIpsetRestore: the large feed by ipset, and a change of a feed as its users do it: a new set that
// takes the other's place.
func measureIpsetRestore(r *rig) {
	r.tool("ipset")
	load := func(set string, each func(func(netip.Prefix)), after string) usage {
		return r.command(func(w io.Writer) {
			fmt.Fprintf(w, "create %s hash:net hashsize 524288 maxelem 4000000\n", set)
			each(func(p netip.Prefix) { fmt.Fprintf(w, "add %s %s\n", set, p) })
			fmt.Fprint(w, after)
		}, "ipset", "restore")
	}
	before := kernelMemory(r)
	used := load("large", r.prefixes, "")
	r.of("ipset.feed.kernel", (kernelMemory(r)-before)/megabyte)
	r.of("ipset.feed.time", used.took)
	r.of("ipset.feed.cpu", used.cpu)
	r.of("ipset.feed.peak", used.peak/megabyte)
	r.command(nil, "ipset", "destroy", "large")

	version := func(v int) func(func(netip.Prefix)) {
		return func(f func(netip.Prefix)) {
			for p := range r.version(v).Ranges().Prefixes() {
				f(p)
			}
		}
	}
	load("feed", version(0), "")
	r.of("ipset.delta", load("next", version(1), "swap feed next\ndestroy next\n").took)
}

// measureFail2ban: the real one, with its nftables action and one command for all bans; it has made a ban
// when its action has ended.
func measureFail2ban(r *rig) {
	r.tool("nft")
	theirs := filepath.Join(oracle.Fail2ban(r), "etc/fail2ban")
	dir := r.TempDir()
	for _, name := range []string{"action.d", "fail2ban.conf", "paths-debian.conf", "paths-common.conf"} {
		if err := os.Symlink(filepath.Join(theirs, name), filepath.Join(dir, name)); err != nil {
			r.Fatal(err)
		}
	}
	log := filepath.Join(dir, "watched.log")
	for name, text := range map[string]string{
		"watched.log": "",
		"fail2ban.local": "[DEFAULT]\nlogtarget = " + filepath.Join(dir, "log") + "\nsocket = " + filepath.Join(dir, "sock") +
			"\npidfile = " + filepath.Join(dir, "pid") + "\ndbfile = " + filepath.Join(dir, "db") + "\n",
		"filter.d/bench.conf": "[Definition]\nfailregex = ^ nothing <HOST>$\n",
		"jail.conf": "[bench]\nenabled = true\nfilter = bench\nbackend = polling\nlogpath = " + log +
			"\nbantime = 1h\naction = nftables[type=multiport, name=bench, port=22, protocol=tcp]\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			r.Fatal(err)
		}
	}
	server := oracle.Program(r, "fail2ban-server", "-c", dir, "-f", "start")
	said, err := server.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		r.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "Server ready\n" {
		r.Fatalf("the server says %q, %v", line, err)
	}
	args := []string{"-c", dir, "set", "bench", "banip"}
	for i := range r.sizes.Fail2ban {
		args = append(args, banned(i).Addr().String())
	}
	begin := time.Now()
	if out, err := oracle.Program(r, "fail2ban-client", args...).CombinedOutput(); err != nil {
		r.Fatalf("banip: %v: %s", err, out)
	}
	last := banned(r.sizes.Fail2ban - 1).Addr().String()
	for seconds(begin) < 120 {
		out, err := exec.CommandContext(r.Context(), "nft", "list", "table", "inet", "f2b-table").Output()
		if err == nil && strings.Count(string(out), "100.64.")+strings.Count(string(out), "100.65.") >= r.sizes.Fail2ban && strings.Contains(string(out), last) {
			r.of("fail2ban.ban", seconds(begin)/float64(r.sizes.Fail2ban))
			return
		}
		time.Sleep(20 * time.Millisecond) // asking costs the machine, too
	}
	b, _ := os.ReadFile(filepath.Join(dir, "log"))
	r.Fatalf("fail2ban has not made its bans:\n%.4000s", b)
}
