package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// fail2banDatabase has fail2ban write a database with bans of a jail that is here and of one that is not.
func fail2banDatabase(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "fail2ban.sqlite3")
	oracle.Python(t, fmt.Sprintf(`
import time
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.ticket import BanTicket
from fail2ban.server.filter import FileContainer
from fail2ban.server.ipdns import IPAddr
class Jail:
    def __init__(self, name): self.name, self.actions = name, self
    def getBanTime(self): return 600
db = Fail2BanDb(%q)
a, b = Jail("app"), Jail("gone")
db.addJail(a); db.addJail(b)
def ban(jail, fid, ago, length, count=1):
    t = BanTicket(IPAddr(fid), time.time() - ago, ["a line of " + fid])
    t.setBanTime(length); t.setBanCount(count)
    db.addBan(jail, t)
ban(a, "192.0.2.1", 60, 3600); ban(a, "192.0.2.2", 60, -1, 3); ban(a, "198.51.100.0/24", 60, 7200)
ban(a, "2001:db8::5", 60, 7200, 2); ban(a, "bob@example.org", 60, 7200); ban(a, "192.0.2.3", 5000, 600, 4); ban(a, "10.0.0.1", 60, 3600)
ban(b, "192.0.2.4", 60, 3600)
f = FileContainer(%q, "utf-8")
f.open()
f.readline(); f.readline()
db.addLog(a, f)
f.close()
db.updateLog(a, f)
db.close()
`, path, filepath.Join(dir, "app.log")), nil)
	return path
}

// TestWhatFail2banBannedIsTakenOver by a daemon that runs, and by the database of one that does not: bans at once,
// counts, and the place in the log, so that no line is read twice. A second time changes nothing.
func TestWhatFail2banBannedIsTakenOver(t *testing.T) {
	for _, runs := range []bool{true, false} {
		t.Run(fmt.Sprintf("a daemon runs %v", runs), func(t *testing.T) {
			line := time.Now().Format("2006-01-02 15:04:05") + " app: failure from 192.0.2.77\n"
			dir := tree(t, map[string]string{
				"app.log": line + line, "filter.d/app.conf": soundFilter,
				"fail2ban.conf": "[Definition]\nsocket = DIR/f2b.sock\nlogtarget = STDERR\ndbfile = DIR/fail2ban.sqlite3\n",
				"jail.conf":     "[app]\nenabled = true\nbackend = polling\nlogpath = DIR/app.log\nfilter = app\nmaxretry = 2\nbantime = 1w\nfindtime = 1d\nignoreip = 10.0.0.0/8\nignoreself = false\naction = nftables[type=allports]\n",
			})
			fail2banDatabase(t, dir)
			sock, db := filepath.Join(dir, "a.sock"), filepath.Join(dir, "db")
			daemon := func() *exec.Cmd {
				cmd := start(t, binary(t, "agentd"), "-c", dir, "--firewall", "memory", "-s", sock, "--db", db)
				waitFor(t, 15*time.Second, "the daemon answers", func() bool { return control.NewClient(sock).Ping(t.Context()) == nil })
				return cmd
			}
			ask := func(into string, args ...string) (all map[string]control.ImportedJail) {
				t.Helper()
				args = append([]string{"import", "-c", dir, "-s", sock, "--json"}, args...)
				if !runs {
					args = append(args, "--db", db)
				}
				out, err := exec.Command(binary(t, "agentctl"), args...).Output()
				var r struct {
					Into  string                 `json:"into"`
					Jails []control.ImportedJail `json:"jails"`
				}
				if err != nil || json.Unmarshal(out, &r) != nil || r.Into != into {
					t.Fatalf("%v, %s", err, out)
				}
				all = map[string]control.ImportedJail{}
				for _, j := range r.Jails {
					all[j.Jail] = j
				}
				return all
			}
			into := db
			var running *exec.Cmd
			if runs {
				into, running = "agentd", daemon()
				waitFor(t, 15*time.Second, "the log is read", func() bool {
					s, err := control.NewClient(sock).Jail(t.Context(), "app")
					return err == nil && s.TotalFailed == 2
				})
			}
			first := control.ImportedJail{Jail: "app", Runs: true, Bans: 5, Over: 1, Ignored: 1, Histories: 6}
			if !runs { // nobody knows whom the jail ignores; and the log has not been read
				first.Bans, first.Ignored, first.Histories, first.Positions = 6, 0, 7, 1
			}
			for _, args := range [][]string{{"--dry-run"}, {}} {
				got := ask(into, args...)
				if got["app"] != first || got["gone"] != (control.ImportedJail{Jail: "gone", Bans: 1, Histories: 1}) {
					t.Errorf("%q: %+v", args, got)
				}
			}
			again := ask(into)
			if j := again["app"]; j.Bans != 0 || j.Known != first.Bans || j.Histories != 0 || j.Positions != 0 || again["gone"].Known != 1 {
				t.Errorf("a second time: %+v", again)
			}
			if runs {
				if err := running.Process.Kill(); err != nil { // nothing that was answered for is lost
					t.Fatal(err)
				}
				_ = running.Wait()
			}
			daemon()
			banned, err := control.NewClient(sock).Banned(t.Context(), "", 0)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, b := range banned.Bans {
				ids = append(ids, b.ID)
				if b.ID == "192.0.2.2" && (b.Count != 3 || b.Until == nil) { // a permanent ban is held to what the jail says
					t.Errorf("%+v", b)
				}
			}
			want := 5
			if runs {
				want++ // of 192.0.2.77, which the daemon banned before
			}
			if len(ids) != want || !strings.Contains(strings.Join(ids, " "), "bob@example.org") || strings.Contains(strings.Join(ids, " "), "10.0.0.1") {
				t.Errorf("banned are %q", ids)
			}
			s, err := control.NewClient(sock).Jail(t.Context(), "app")
			if err != nil || !runs && s.TotalFailed != 0 {
				t.Errorf("lines that fail2ban had read were counted: %+v, %v", s.JailSummary, err)
			}
		})
	}
}
