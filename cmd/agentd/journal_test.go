package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestTheJournalLosesAndRepeatsNothing: the same lines in a file and in a journal, with entries of others between,
// and the daemon killed again and again while they come, one file of the journal vacuumed away after it was read.
// Both count the same for every address, and ban the same.
func TestTheJournalLosesAndRepeatsNothing(t *testing.T) {
	journal := oracle.NewJournal(t)
	dir := tree(t, map[string]string{
		"app.log": "", "fail2ban.conf": "[Definition]\nsocket = DIR/f2b.sock\nlogtarget = DIR/f2b.log\n",
		"filter.d/app.conf": "[Definition]\nfailregex = ^ ?(?:host )?app\\[\\d+\\]: failure from <HOST>$\n[Init]\njournalmatch = _SYSTEMD_UNIT=app.service + _SYSTEMD_UNIT=other.service\n",
		"jail.conf": "[DEFAULT]\nenabled = true\nignoreself = false\nfilter = app\nfindtime = 1d\nbantime = 1d\naction = nftables[type=allports]\n" +
			"[filecount]\nbackend = polling\nlogpath = DIR/app.log\nmaxretry = 100000\n[fileban]\nbackend = polling\nlogpath = DIR/app.log\nmaxretry = 5\n" +
			"[journalcount]\nbackend = systemd[journalpath=" + journal.Dir + "]\nmaxretry = 100000\n[journalban]\nbackend = systemd[journalpath=" + journal.Dir + "]\nmaxretry = 5\n",
	})
	sock := filepath.Join(dir, "a.sock")
	c := control.NewClient(sock)
	launch := func() *exec.Cmd {
		cmd := exec.Command(binary(t, "agentd"), "-c", dir, "--firewall", "memory", "-s", sock, "--db", filepath.Join(dir, "db"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		waitFor(t, 30*time.Second, "the daemon answers", func() bool { return c.Ping(t.Context()) == nil })
		return cmd
	}
	r := rand.New(rand.NewPCG(4, 9))
	written := map[string]int{}
	write := func(file string) {
		var text strings.Builder
		var entries []oracle.JournalEntry
		for range 150 {
			ip := fmt.Sprintf("192.0.2.%d", r.IntN(40))
			if r.IntN(6) == 0 {
				ip = fmt.Sprintf("2001:db8::%x", 1+r.IntN(20))
			}
			at, message, unit := time.Now(), "failure from "+ip, []string{"app.service", "other.service"}[r.IntN(2)]
			switch r.IntN(3) {
			case 0:
				message = "all is well with " + ip
			case 1:
				entries = append(entries, oracle.JournalEntry{Time: at, Identifier: "app", Unit: "foreign.service", Message: message}) // for nobody
			}
			if strings.HasPrefix(message, "failure") {
				written[ip]++
			}
			entries = append(entries, oracle.JournalEntry{Time: at, Identifier: "app", Unit: unit, Message: message})
			fmt.Fprintf(&text, "%s app[101]: %s\n", at.Format("2006-01-02 15:04:05"), message)
		}
		journal.Write(file, entries...)
		f, err := os.OpenFile(filepath.Join(dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text.String()); err != nil {
			t.Fatal(err)
		}
	}
	counted := func(jail string) map[string]int {
		s, err := c.Jail(t.Context(), jail)
		if err != nil {
			return nil
		}
		got := map[string]int{}
		for _, x := range s.Tallies {
			got[x.ID] = x.Failures
		}
		return got
	}
	same := func(a, b map[string]int) bool {
		if len(a) != len(b) {
			return false
		}
		for k, n := range a {
			if b[k] != n {
				return false
			}
		}
		return true
	}
	write("system@1.journal")
	daemon := launch()
	for round := range 6 {
		file := "system.journal"
		if round < 3 {
			file = "system@2.journal"
		}
		write(file)
		if round%2 == 1 { // a ban by hand is answered when it is on the disk, with all that came before
			waitFor(t, 30*time.Second, "all is read", func() bool {
				return same(counted("journalcount"), written) && same(counted("filecount"), written)
			})
			if _, err := c.Ban(t.Context(), control.BanRequest{Jail: "fileban", IDs: []string{fmt.Sprintf("198.51.100.%d", round)}}); err != nil {
				t.Fatal(err)
			}
		}
		if round == 3 { // what has been read and saved may go
			if err := os.Remove(filepath.Join(journal.Dir, "system@1.journal")); err != nil {
				t.Fatal(err)
			}
		}
		if err := daemon.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = daemon.Wait()
		write(file) // while nobody looks
		daemon = launch()
	}
	for _, jail := range []string{"filecount", "journalcount"} {
		for deadline := time.Now().Add(40 * time.Second); !same(counted(jail), written); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has counted %v, want %v", jail, counted(jail), written)
			}
		}
	}
	bans := func(jail string) string {
		s, err := c.Jail(t.Context(), jail)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, b := range s.Bans {
			got[b.ID] = true
		}
		var ids []string
		for ip, n := range written {
			if (n >= 5) != got[ip] {
				ids = append(ids, fmt.Sprintf("%s: %d failures, banned %v", ip, n, got[ip]))
			}
		}
		return strings.Join(ids, ", ")
	}
	for _, jail := range []string{"fileban", "journalban"} {
		waitFor(t, 20*time.Second, jail+" bans whom it should", func() bool { return bans(jail) == "" })
	}
}

// TestWithoutALogTheJournalIsRead: backend = auto, and there is no auth.log, as on Debian 12.
func TestWithoutALogTheJournalIsRead(t *testing.T) {
	oracle.NewJournal(t) // where there is no journalctl, there is no journal
	dir := tree(t, map[string]string{
		"fail2ban.conf":     "[Definition]\nsocket = DIR/f2b.sock\nlogtarget = DIR/f2b.log\n",
		"filter.d/app.conf": "[Definition]\nfailregex = ^\\S+ app\\[\\d+\\]: failure from <HOST>$\n[Init]\njournalmatch = _SYSTEMD_UNIT=app.service\n",
		"jail.conf":         "[app]\nenabled = true\nbackend = auto\nfilter = app\nlogpath = DIR/none.log\nignoreself = false\naction = nftables[type=allports]\n",
	})
	sock := filepath.Join(dir, "a.sock")
	start(t, binary(t, "agentd"), "-c", dir, "--firewall", "memory", "-s", sock, "--db", filepath.Join(dir, "db"))
	c := control.NewClient(sock)
	waitFor(t, 15*time.Second, "the daemon answers", func() bool { return c.Ping(t.Context()) == nil })
	s, err := c.Jail(t.Context(), "app")
	if err != nil || len(s.Files) != 1 || !strings.Contains(s.Files[0].Path, "journal") {
		t.Errorf("%+v, %v", s.Files, err)
	}
}
