package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestWhoComesBackIsBannedForLong by recidive, fail2ban's and ours: from the daemon's log where that is a file, and
// from inside where it goes elsewhere; once for each ban, and never for its own.
func TestWhoComesBackIsBannedForLong(t *testing.T) {
	debian := oracle.Fail2ban(t)
	for _, filter := range []string{"ours", "fail2ban's", "fail2ban's for the journal"} {
		for _, target := range []string{"DIR/f2b.log", "stderr"} {
			t.Run(filter+" "+filepath.Base(target), func(t *testing.T) {
				if filter == "fail2ban's for the journal" && target != "stderr" {
					t.Skip("that is no file")
				}
				files := map[string]string{
					"app.log": "", "filter.d/app.conf": soundFilter, "fail2ban.conf": "[Definition]\nsocket = DIR/f2b.sock\n",
					"jail.conf": "[DEFAULT]\nenabled = true\nbackend = polling\nignoreself = false\naction = nftables[type=allports]\nmaxretry = 3\n" +
						"[app]\nlogpath = DIR/app.log\nfilter = app\n[recidive]\nfilter = recidive\nlogpath = DIR/f2b.log\nbantime = 1w\nfindtime = 1d\n",
				}
				if filter != "ours" {
					for _, name := range []string{"recidive.conf", "common.conf"} {
						text, err := os.ReadFile(filepath.Join(debian, "etc/fail2ban/filter.d", name))
						if err != nil {
							t.Fatal(err)
						}
						files["filter.d/"+name] = string(text)
					}
				}
				if filter == "fail2ban's for the journal" {
					files["jail.conf"] = strings.Replace(files["jail.conf"], "filter = recidive\nlogpath = DIR/f2b.log", "filter = recidive\nbackend = systemd", 1)
				}
				dir := tree(t, files)
				sock := filepath.Join(dir, "a.sock")
				start(t, binary(t, "agentd"), "-c", dir, "--firewall", "memory", "-s", sock, "--db", filepath.Join(dir, "db"), "--log-target", strings.ReplaceAll(target, "DIR", dir))
				c := control.NewClient(sock)
				waitFor(t, 15*time.Second, "the daemon answers", func() bool { return c.Ping(t.Context()) == nil })
				failed := func() int {
					s, err := c.Jail(t.Context(), "recidive")
					if err != nil {
						t.Fatal(err)
					}
					return s.TotalFailed
				}
				for n := range 3 {
					if _, err := c.Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"192.0.2.1"}}); err != nil {
						t.Fatal(err)
					}
					waitFor(t, 15*time.Second, "recidive counts the ban", func() bool { return failed() == n+1 })
					if _, err := c.Unban(t.Context(), control.UnbanRequest{Jail: "app", IDs: []string{"192.0.2.1"}}); err != nil {
						t.Fatal(err)
					}
				}
				waitFor(t, 15*time.Second, "recidive bans", func() bool {
					b, err := c.Banned(t.Context(), "192.0.2.1", 0)
					return err == nil && b.Total == 1 && b.Bans[0].Jail == "recidive" && b.Bans[0].Duration == 7*24*3600
				})
				// Another ban comes after recidive's own in whatever it reads: had it counted that, it would be more.
				if _, err := c.Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"192.0.2.2"}}); err != nil {
					t.Fatal(err)
				}
				waitFor(t, 15*time.Second, "recidive counts the last ban", func() bool { return failed() >= 4 })
				if n := failed(); n != 4 {
					t.Errorf("recidive counts %d bans of 4", n)
				}
			})
		}
	}
}
