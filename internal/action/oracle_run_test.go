package action

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// realRuns has fail2ban execute commands in earnest.
const realRuns = `
import json, logging, sys
logging.disable(logging.CRITICAL)
from fail2ban.server.server import Server
from fail2ban.server.action import CommandAction
from fail2ban.server.actions import Actions
from fail2ban.server.ticket import BanTicket
q = json.load(sys.stdin)
server = Server(daemon=False)
server.addJail("j", "polling")
jail = server._Server__jails["j"]
a = CommandAction(jail, "a")
a.actionban, a.actionunban = q["Ban"], q["Unban"]
for t in q["Tickets"]:
    b = BanTicket(t["ID"], float(t["Time"]), t["Matches"] or [])
    b.setBanTime(t["BanTime"])
    b.setBanCount(t["BanCount"])
    b.setAttempt(t["Failures"])
    if t["Captures"]: b.setData(**t["Captures"])
    if t["Restored"]: b.restored = True
    info = Actions.ActionInfo(b, jail)
    for call in (a.ban, a.unban):
        try: call(info)
        except RuntimeError: pass
json.dump(True, sys.stdout)
`

// TestScriptsWriteWhatTheyWriteUnderFail2ban: both execute the same script in earnest, which writes its values
// in every kind of quotes, what its shell makes of them, and what it was given to read.
func TestScriptsWriteWhatTheyWriteUnderFail2ban(t *testing.T) {
	dir := t.TempDir()
	script := func(out string) string {
		return `exec >> ` + out + `
for w in <matches> "<matches>" '<matches>' <F-USER> "<F-USER>" '<F-USER>' <F-ALT_USER> "$0" "$1" "$#"; do printf '[%s]' "$w"; done
printf '%s;' "<ip>" "<fid>" '<family>' "<ip-rev>" "<failures>" "<time>" "<bantime>" "<bancount>" "<restored>" "<F-NOBODY>"
cat <<END
<matches> <F-USER>
END
pwd; umask; echo "${f2bV_matches-unset}"; sh -c 'echo "${f2bV_matches-not for children}"'
[ <bancount> = 1 ] || exit 3
<br>echo end<sp>of <fid>
`
	}
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	tickets := oracleTickets()
	in, err := json.Marshal(map[string]any{"Ban": script(theirs), "Unban": "echo 'unban <matches>' \"<fid>\" >> " + theirs, "Tickets": tickets})
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("/") // where daemons work
	var done bool
	oracle.JSON(t, realRuns, in, &done)
	b := newBench(t, ops(opBan, script(ours), opUnban, "echo 'unban <matches>' \"<fid>\" >> "+ours), Options{})
	for _, tk := range tickets {
		n := b.Status().Executed
		b.Ban(tk.ticket())
		b.until("it is banned", func() bool { return b.Status().Executed > n && b.Status().Running == "" && b.Status().Waiting == 0 })
		b.Unban(tk.ticket())
	}
	b.stop()
	want, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 10_000 || !strings.Contains(string(want), "end of word") {
		t.Fatalf("fail2ban's scripts have written too little to mean something: %.2000q", want)
	}
	if string(got) != string(want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("from byte %d on:\n got %.500q\nwant %.500q", at, got[max(0, at-100):], want[max(0, at-100):])
	}
}
