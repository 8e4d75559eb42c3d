package movein_test

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/movein"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// written has fail2ban's own class write a database: permanent bans, networks, IDs that are no addresses, bans
// that came again, one that is over, with lines and captures, and places in logs.
func written(t *testing.T) (path, log string) {
	t.Helper()
	dir := t.TempDir()
	path, log = filepath.Join(dir, "fail2ban.sqlite3"), filepath.Join(dir, "app.log")
	if err := os.WriteFile(log, []byte("first line\nsecond line\nthird\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `
import time
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.ticket import FailTicket, BanTicket
from fail2ban.server.filter import FileContainer
from fail2ban.server.ipdns import IPAddr
class Jail:
    def __init__(self, name): self.name, self.actions = name, self
    def getBanTime(self): return 600
    def __str__(self): return self.name
db = Fail2BanDb(%q)
a, b = Jail("sshd"), Jail("web")
db.addJail(a); db.addJail(b)
def ban(jail, fid, ago, length, count=1, matches=None, **data):
    t = BanTicket(IPAddr(fid), time.time() - ago, matches or [])
    t.setBanTime(length)
    t.setBanCount(count)
    t.setAttempt(7)
    if data: t.setData(**data)
    db.addBan(jail, t)
ban(a, "192.0.2.1", 60, 3600, 1, ["line one from 192.0.2.1", ["before ", "2026-01-01", " after"]], user="bob", port="22")
ban(a, "192.0.2.2", 60, -1, 3)
ban(a, "198.51.100.0/24", 60, 7200)
ban(a, "2001:db8::/64", 60, 7200)
ban(a, "2001:db8::5", 60, 7200, 2)
ban(a, "bob@example.org", 60, 7200, 1, None, ip="192.0.2.9")
ban(a, "192.0.2.3", 90000, 600, 4)
ban(b, "192.0.2.1", 60, 600)
ban(b, "192.0.2.1", 30, 1200, 2)
f = FileContainer(%q, "utf-8")
f.open()
f.readline(); f.readline()
db.addLog(a, f)
f.close()
db.updateLog(a, f)
db.close()
`
	oracle.Python(t, fmt.Sprintf(script, path, log), nil)
	return path, log
}

func byKey(d *movein.Database) map[string]control.ImportBan {
	all := map[string]control.ImportBan{}
	for _, b := range d.Bans {
		all[b.Jail+" "+b.ID] = b
	}
	return all
}

func TestWhatFail2banHasWrittenIsReadWhole(t *testing.T) {
	path, log := written(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := movein.Read(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	bans := byKey(d)
	for key, want := range map[string]struct {
		length int64
		count  int
	}{
		"sshd 192.0.2.1": {3600, 1}, "sshd 192.0.2.2": {-1, 3}, "sshd 198.51.100.0/24": {7200, 1}, "sshd 2001:db8::/64": {7200, 1},
		"sshd 2001:db8::5": {7200, 2}, "sshd bob@example.org": {7200, 1}, "sshd 192.0.2.3": {600, 4}, "web 192.0.2.1": {1200, 2},
	} {
		if b, ok := bans[key]; !ok || b.Duration != want.length || b.Count != want.count || time.Since(b.Start) < 20*time.Second || time.Since(b.Start) > 26*time.Hour {
			t.Errorf("%s: %+v", key, b)
		}
	}
	if len(bans) != 8 || d.Odd != 0 || d.Version != 4 || d.Ended(time.Now()) != 1 {
		t.Errorf("%d bans, %+v", len(bans), d)
	}
	b := bans["sshd 192.0.2.1"]
	if b.Failures != 7 || !slices.Equal(b.Lines, []string{"line one from 192.0.2.1", "before 2026-01-01 after"}) || b.Data["user"] != "bob" || b.Data["port"] != "22" {
		t.Errorf("%+v", b)
	}
	if got := bans["sshd bob@example.org"].Data["ip"]; got != "192.0.2.9" {
		t.Errorf("the address behind the ID is %q", got)
	}
	if len(d.Positions) != 1 || d.Positions[0].Path != log || d.Positions[0].Offset != int64(len("first line\nsecond line\n")) ||
		d.Positions[0].First != fmt.Sprintf("%x", sha1.Sum([]byte("first line\n"))) {
		t.Errorf("%+v", d.Positions)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Error("the database was written to")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 2 {
		t.Errorf("beside the database lie %v", entries)
	}
}

func TestWhatIsNoDatabaseOfFail2bansIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 500)), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	foreign, newer := filepath.Join(dir, "foreign"), filepath.Join(dir, "newer")
	oracle.Python(t, fmt.Sprintf(`
import sqlite3
db = sqlite3.connect(%q); db.execute("create table x(y)"); db.commit(); db.close()
db = sqlite3.connect(%q); db.execute("create table fail2banDb(version integer)"); db.execute("insert into fail2banDb values(5)"); db.commit(); db.close()
`, foreign, newer), nil)
	for path, want := range map[string]error{text: movein.ErrNotFail2ban, empty: movein.ErrNotFail2ban, foreign: movein.ErrNotFail2ban, newer: movein.ErrTooNew, dir: movein.ErrNotFail2ban, dir + "/none": os.ErrNotExist} {
		if d, err := movein.Read(t.Context(), path); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v, want %v", filepath.Base(path), d, err, want)
		}
	}
}

// TestDatabasesOfOldReleasesAreRead: those of version 2 know no lengths and no counts.
func TestDatabasesOfOldReleasesAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	oracle.Python(t, fmt.Sprintf(`
import sqlite3
db = sqlite3.connect(%q)
db.execute("create table fail2banDb(version integer)"); db.execute("insert into fail2banDb values(2)")
db.execute("create table bans(jail text, ip text, timeofban integer, data blob)")
db.execute("create table logs(jail text, path text, firstlinemd5 text, lastfilepos integer)")
for at in (1000, 2000, 3000): db.execute("insert into bans values('sshd', '192.0.2.1', ?, ?)", (1700000000+at, b'{"matches": ["x"], "failures": 3}'))
db.execute("insert into bans values('sshd', NULL, 5, NULL)")
db.execute("insert into logs values('sshd', 'systemd-journal', '2026-01-01', 1700000000.5)")
db.execute("insert into logs values('sshd', '/var/log/x', '', 17)")
db.commit()
`, path), nil)
	d, err := movein.Read(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Bans) != 1 || d.Bans[0].Duration != -2 || d.Bans[0].Count != 3 || d.Bans[0].Start.Unix() != 1700003000 || d.Odd != 2 || d.Journals != 1 {
		t.Errorf("%+v", d)
	}
}

// TestDamageIsAnError, never a panic nor nonsense: cut anywhere, bytes turned anywhere.
func TestDamageIsAnError(t *testing.T) {
	path, _ := written(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	damaged, refused := filepath.Join(t.TempDir(), "db"), 0
	for i := range 150 {
		b := slices.Clone(whole)
		if i%3 == 0 {
			b = b[:r.IntN(len(b))]
		}
		for range 1 + r.IntN(20) {
			if len(b) > 0 {
				b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			}
		}
		if err := os.WriteFile(damaged, b, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := movein.Read(t.Context(), damaged)
		if err != nil {
			refused++
			if !errors.Is(err, movein.ErrDamaged) && !errors.Is(err, movein.ErrNotFail2ban) && !errors.Is(err, movein.ErrTooNew) {
				t.Errorf("%v", err)
			}
			continue
		}
		for _, b := range d.Bans {
			if b.Jail == "" || b.ID == "" || b.Count < 1 || b.Duration < -2 {
				t.Errorf("%+v", b)
			}
		}
	}
	if refused < 50 {
		t.Errorf("only %d of 150 damaged databases were refused", refused)
	}
}
