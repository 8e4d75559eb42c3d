package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// scenario is a life of a server, lived by fail2ban's and by ours at the same time.
type scenario struct {
	t            *testing.T
	theirs, ours side
	server       *exec.Cmd // fail2ban's
	daemon       *exec.Cmd // ours
	rand         *rand.Rand
	lines        int
	failures     map[string]int // expected in all, by jail
}

var scenarioTree = map[string]string{
	"a.log": "", "b.log": "", "c.log": "", "d.log": "",
	"fail2ban.conf":       "[Definition]\nloglevel = INFO\nlogtarget = DIR/f2b.log\nsocket = DIR/f2b.sock\npidfile = DIR/f2b.pid\ndbfile = DIR/f2b.sqlite\ndbpurgeage = 1d\n",
	"filter.d/login.conf": "[Definition]\nfailregex = ^ login: failure of <F-USER>\\S+</F-USER> from <ADDR>$\nignoreregex = of nobody from\n",
	"filter.d/conn.conf": "[Definition]\nprefregex = ^ conn\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-CONTENT>.+</F-CONTENT>$\n" +
		"failregex = ^<F-NOFAIL>connect</F-NOFAIL> from <ADDR>$\n            ^<F-MLFFORGET>refused</F-MLFFORGET>$\n",
	"action.d/none.conf": "[Definition]\nactionban = true\nactionunban = true\n",
	"jail.conf": "[DEFAULT]\nbackend = polling\nusedns = no\nenabled = true\naction = none\nignoreself = false\nfindtime = 600\n" +
		"[login]\nfilter = login\nlogpath = DIR/a.log\n          DIR/b.log\nmaxretry = 3\nbantime = 20m\nignoreip = 198.51.100.0/24 2001:db8:ffff::/48\n" +
		"[grow]\nfilter = login\nlogpath = DIR/c.log\nmaxretry = 4\nbantime = 4\nbantime.increment = true\n" +
		"[conn]\nfilter = conn\nlogpath = DIR/d.log\nmaxretry = 2\nbantime = 6\n",
}

// write adds lines to a log of both, dated so long ago.
func (s *scenario) write(log string, ago time.Duration, lines ...string) {
	s.t.Helper()
	var text strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&text, "%s %s\n", time.Now().Add(-ago).Format("2006-01-02 15:04:05"), l)
	}
	s.lines += len(lines)
	for _, x := range []side{s.theirs, s.ours} {
		f, err := os.OpenFile(filepath.Join(x.dir, log), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := f.WriteString(text.String()); err != nil {
			s.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// noise are lines that concern nobody, with those given among them in their order.
func (s *scenario) noise(n int, among ...string) []string {
	all := make([]string, 0, n+len(among))
	for range n {
		all = append(all, fmt.Sprintf("login: session %d opened for user%d from 203.0.113.%d", s.rand.IntN(1e6), s.rand.IntN(50), s.rand.IntN(255)))
	}
	places := make([]int, len(among))
	for i := range places {
		places[i] = s.rand.IntN(n + 1)
	}
	slices.Sort(places)
	for i, line := range slices.Backward(among) {
		all = slices.Insert(all, places[i], line)
	}
	return all
}

// failing are so many failures of each address.
func (s *scenario) failing(jail string, each int, ips ...string) (lines []string) {
	for i := range each {
		for _, ip := range ips {
			lines = append(lines, fmt.Sprintf("login: failure of user%d from %s", i, ip))
		}
	}
	s.failures[jail] += len(lines)
	return lines
}

func addresses(from, n int) (ips []string) {
	for i := range n {
		if i%5 == 4 {
			ips = append(ips, fmt.Sprintf("2001:db8::%x", from+i))
			continue
		}
		ips = append(ips, fmt.Sprintf("192.0.2.%d", from+i))
	}
	return ips
}

var failedFigure = regexp.MustCompile(`Total failed:\t(\d+)`)

// settle waits until both have counted all failures of a jail, and ban as many.
func (s *scenario) settle(jail string, banned int) {
	s.t.Helper()
	for _, x := range []side{s.theirs, s.ours} {
		last := ""
		for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			last = x.ask(s.t, [][]string{{"status", jail}})[0].Text
			if m := failedFigure.FindStringSubmatch(last); m != nil {
				n, _ := strconv.Atoi(m[1])
				if n >= s.failures[jail] && strings.Contains(last, fmt.Sprintf("Currently banned:\t%d\n", banned)) {
					break
				}
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("%s should have %d failures and %d bans: %s", jail, s.failures[jail], banned, last)
			}
		}
	}
}

// begin starts both servers, or starts them again. What they count begins at zero.
func (s *scenario) begin() {
	s.t.Helper()
	s.failures = map[string]int{}
	s.server = oracle.Program(s.t, "fail2ban-server", "-f", "-c", s.theirs.dir, "start")
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.daemon = exec.Command(binary(s.t, "agentd"), "-c", s.ours.dir, "--firewall", "memory", "-s", filepath.Join(s.ours.dir, "a.sock"), "--db", filepath.Join(s.ours.dir, "db"))
	var said lockedBuffer
	s.daemon.Stdout, s.daemon.Stderr = &said, &said
	if err := s.daemon.Start(); err != nil {
		s.t.Fatal(err)
	}
	server, daemon := s.server, s.daemon
	s.t.Cleanup(func() { _, _ = server.Process.Kill(), daemon.Process.Kill() })
	for _, x := range []side{s.theirs, s.ours} {
		waitFor(s.t, 30*time.Second, "the server answers", func() bool {
			if _, err := os.Stat(x.socket); err != nil {
				return false
			}
			return strings.Contains(x.ask(s.t, [][]string{{"status"}})[0].Text, "conn, grow, login")
		})
	}
}

// end stops both.
func (s *scenario) end() {
	s.t.Helper()
	for _, x := range []side{s.theirs, s.ours} {
		x.ask(s.t, [][]string{{"stop"}})
	}
	for _, c := range []*exec.Cmd{s.server, s.daemon} {
		if err := c.Wait(); err != nil {
			s.t.Errorf("%s: %v", c.Path, err)
		}
	}
}

// client runs fail2ban's own client for both.
func (s *scenario) client(args ...string) {
	s.t.Helper()
	for _, x := range []side{s.theirs, s.ours} {
		if out, err := oracle.Program(s.t, "fail2ban-client", append([]string{"-c", x.dir}, args...)...).CombinedOutput(); err != nil {
			s.t.Fatalf("%q: %v, %s", args, err, out)
		}
	}
}

var (
	logLine = regexp.MustCompile(`^\S+ \S+ fail2ban\.(\w+)\s+\[\d+\]: (\w+)\s+\[(\w+)\] (.*)$`)
	anyID   = regexp.MustCompile(`192\.0\.2\.\d+|198\.51\.100\.\d+|2001:db8:[0-9a-f:]+|203\.0\.113\.\d+`)
)

// story is what a log says, by jail, ID and speaker. fail2ban 1.0 says Unban where 1.1 says Repeal Ban.
func story(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		m := logLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil || m[1] != "filter" && m[1] != "actions" && m[1] != "observer" {
			continue
		}
		id := anyID.FindString(m[4])
		if id == "" {
			continue
		}
		if strings.HasPrefix(m[4], "Attempt ") {
			m[4], _, _ = strings.Cut(m[4], " - ") // its time is that of the command
		}
		key := m[3] + " " + id + " " + m[1]
		all[key] = append(all[key], m[2]+" "+strings.Replace(m[4], "Repeal Ban", "Unban", 1))
	}
	return all
}

// TestOneLifeIsLoggedAsByFail2ban: 5,000 lines, old ones first, rotation of both kinds, a reload, a restart, bans by
// hand, bans that end and grow. Both say the same of every address, in the same order.
func TestOneLifeIsLoggedAsByFail2ban(t *testing.T) {
	oracle.Fail2ban(t)
	s := &scenario{t: t, rand: rand.New(rand.NewPCG(5, 8)), failures: map[string]int{}}
	s.theirs.dir, s.ours.dir = tree(t, scenarioTree), tree(t, scenarioTree)
	s.theirs.socket, s.ours.socket = filepath.Join(s.theirs.dir, "f2b.sock"), filepath.Join(s.ours.dir, "f2b.sock")

	// What was written before the start: too old, then old enough to count.
	s.write("a.log", 3*time.Hour, s.noise(500, s.failing("login", 3, addresses(1, 5)...)...)...)
	s.write("a.log", 5*time.Minute, s.noise(500, s.failing("login", 3, addresses(10, 10)...)...)...)
	s.begin()
	s.failures["login"] = 30
	s.settle("login", 10)

	// While they run.
	s.write("a.log", 0, s.noise(800, append(s.failing("login", 5, addresses(30, 20)...), "login: failure of x from 198.51.100.7", "login: failure of nobody from 192.0.2.250", "login: failure of x from 2001:db8:ffff::1")...)...)
	s.write("b.log", 0, s.noise(300, s.failing("login", 2, addresses(60, 20)...)...)...)
	s.write("c.log", 0, s.noise(300, s.failing("grow", 4, addresses(1, 5)...)...)...)
	s.write("d.log", 0, "conn[1]: connect from 192.0.2.200", "conn[1]: refused", "conn[2]: connect from 192.0.2.200", "conn[3]: connect from 192.0.2.201", "conn[2]: refused", "conn[4]: refused")
	s.failures["conn"] += 2
	s.settle("login", 30)
	s.settle("grow", 5)

	// Rotation: renamed, and copied and cut. What comes after is counted on.
	for _, x := range []side{s.theirs, s.ours} {
		if err := os.Rename(filepath.Join(x.dir, "a.log"), filepath.Join(x.dir, "a.log.1")); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(x.dir, "b.log"), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.write("a.log", 0, s.noise(500, s.failing("login", 3, addresses(90, 10)...)...)...)
	s.write("b.log", 0, s.noise(300, s.failing("login", 1, addresses(60, 20)...)...)...)
	s.settle("login", 60)

	// By hand.
	for _, x := range []side{s.theirs, s.ours} {
		x.ask(t, [][]string{
			{"set", "login", "banip", "203.0.113.1", "203.0.113.2"},
			{"set", "login", "unbanip", "203.0.113.1", "192.0.2.30"},
			{"unban", "192.0.2.31"},
			{"set", "login", "attempt", "203.0.113.9", "one", "two", "three"},
		})
	}
	s.failures["login"]++ // fail2ban counts an attempt once, however many lines it has
	s.settle("login", 60)

	// Bans end, and those who come back are banned for longer, and sooner.
	s.settle("grow", 0)
	s.settle("conn", 0)
	s.write("c.log", 0, s.noise(700, s.failing("grow", 2, addresses(1, 5)...)...)...)
	s.settle("grow", 5)

	// A reload that changes something.
	for _, x := range []side{s.theirs, s.ours} {
		path := filepath.Join(x.dir, "jail.local")
		if err := os.WriteFile(path, []byte("[login]\nmaxretry = 2\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.client("reload")
	s.write("a.log", 0, s.noise(500, s.failing("login", 2, addresses(120, 10)...)...)...)
	s.settle("login", 70)

	// A restart: bans come back, and the logs go on where they were.
	s.end()
	s.write("a.log", 0, s.noise(300, s.failing("login", 2, addresses(140, 5)...)...)...)
	s.begin()
	s.failures["login"] = 10
	s.settle("login", 75)
	s.end()

	if s.lines < 5000 {
		t.Errorf("only %d lines", s.lines)
	}
	theirs, ours := story(t, filepath.Join(s.theirs.dir, "f2b.log")), story(t, filepath.Join(s.ours.dir, "f2b.log"))
	said := 0
	for key, want := range theirs {
		said += len(want)
		if !slices.Equal(ours[key], want) {
			t.Errorf("%s:\n ours: %q\ntheirs: %q", key, ours[key], want)
		}
	}
	for key, got := range ours {
		if theirs[key] == nil {
			t.Errorf("%s: %q, fail2ban says nothing", key, got)
		}
	}
	t.Logf("%d lines of log, %d said of %d", s.lines, said, len(theirs))
}
