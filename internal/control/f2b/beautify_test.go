package f2b_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestAnswersAreShownAsByFail2ban: what the server answers, through fail2ban's own client and through ours.
func TestAnswersAreShownAsByFail2ban(t *testing.T) {
	list := func(items ...any) pickle.List { return items }
	pair := func(a, b any) pickle.Tuple { return pickle.Tuple{a, b} }
	exception := func(module, class string, args ...any) pickle.Exception {
		return pickle.Exception{Module: module, Class: class, Args: args}
	}
	status := func(matches ...any) pickle.List {
		first := pair("File list", list("/a.log", "/b.log"))
		if len(matches) > 0 {
			first = pair("Journal matches", pickle.List(matches))
		}
		return list(
			pair("Filter", list(pair("Currently failed", 1), pair("Total failed", 4), first)),
			pair("Actions", list(pair("Currently banned", 1), pair("Total banned", 1), pair("Banned IP list", list("192.0.2.1", "2001:db8::9")))),
		)
	}
	cases := []struct {
		words string
		value any
	}{
		{"ping", "pong"},
		{"version", "1.0.2"},
		{"echo a b", list("a", "b")},
		{"sleep 1", nil},
		{"server-status", "Server ready"},
		{"status", list(pair("Number of jail", 2), pair("Jail list", "j1, j2"))},
		{"status", list(pair("Number of jail", 0), pair("Jail list", ""))},
		{"status j1", status()},
		{"status j1", status("_A=b _C=d + _E=f")},
		{"status j1", list(
			pair("Filter", list(pair("Currently failed", 0), pair("Total failed", 0), pair("File list", list()))),
			pair("Actions", list(pair("Currently banned", 0), pair("Total banned", 0), pair("Banned IP list", list()))),
		)},
		{"banned", list(pickle.Dict{{Key: "j1", Value: list("192.0.2.1")}}, pickle.Dict{{Key: "j2", Value: list()}})},
		{"banned 192.0.2.1", list(list("j1"), list())},
		{"unban 192.0.2.1", 1},
		{"unban --all", 0},
		{"add j1", "j1"},
		{"add j1 polling", "j1"},
		{"start j1", nil},
		{"stop j1", nil},
		{"stop --all", nil},
		{"stop", nil},
		{"reload", "OK"},
		{"flushlogs", "rolled over"},
		{"get loglevel", "INFO"},
		{"set loglevel info", "INFO"},
		{"get logtarget", "/var/log/fail2ban.log"},
		{"get syslogsocket", "auto"},
		{"get dbfile", "/var/lib/x.sqlite3"},
		{"get dbfile", nil},
		{"get dbpurgeage", 86400},
		{"get dbmaxmatches", 10},
		{"get thread", pickle.Dict{{Key: "stacksize", Value: 0}}},
		{"get j1 logpath", list("/a.log", "/b.log")},
		{"get j1 logpath", list()},
		{"set j1 addlogpath /a.log", list("/a.log")},
		{"set j1 dellogpath /a.log", list()},
		{"get j1 logencoding", "UTF-8"},
		{"set j1 logencoding auto", "auto"},
		{"get j1 journalmatch", list(list("_A=b", "_C=d"), list("_E=f"))},
		{"get j1 journalmatch", list()},
		{"set j1 addjournalmatch _A=b", list(list("_A=b"))},
		{"get j1 ignoreself", true},
		{"get j1 ignoreip", list("192.0.2.0/24", "::1")},
		{"get j1 ignoreip", list()},
		{"set j1 addignoreip 192.0.2.1", list("192.0.2.1")},
		{"get j1 ignorecommand", ""},
		{"get j1 ignorecommand", "/bin/x <ip>"},
		{"get j1 ignorecache", nil},
		{"get j1 ignorecache", list("<ip>", 10, 300)},
		{"get j1 failregex", list("^a <HOST>$", "^b 'x' <HOST>$")},
		{"get j1 failregex", list()},
		{"set j1 addfailregex ^a", list("^a")},
		{"set j1 delfailregex 0", list()},
		{"get j1 ignoreregex", list("x")},
		{"set j1 delignoreregex 0", list()},
		{"get j1 prefregex", ""},
		{"get j1 prefregex", "^x"},
		{"get j1 usedns", "warn"},
		{"get j1 findtime", 600},
		{"set j1 findtime 10m", 600},
		{"get j1 bantime", -1},
		{"get j1 maxretry", 5},
		{"get j1 maxlines", 1},
		{"get j1 maxmatches", 5},
		{"get j1 logtimezone", nil},
		{"get j1 bantime.increment", false},
		{"get j1 bantime.factor", "1"},
		{"get j1 datepattern", nil},
		{"get j1 datepattern", pair(nil, "Default Detectors")},
		{"get j1 datepattern", pair("%Y", "Year")},
		{"get j1 datepattern", pair("EPOCH", "Epoch")},
		{"get j1 actions", list("a", "b")},
		{"get j1 actions", list()},
		{"get j1 actionproperties a", list("x", "y")},
		{"get j1 actionproperties a", list()},
		{"get j1 actionmethods a", list("ban")},
		{"get j1 actionmethods a", list()},
		{"get j1 action a actionban", "echo 'x'"},
		{"get j1 action a norestored", true},
		{"set j1 addaction a", "a"},
		{"set j1 delaction a", nil},
		{"get j1 banned", list("192.0.2.1")},
		{"get j1 banned 192.0.2.1", 1},
		{"get j1 banned 192.0.2.1 192.0.2.2", list(1, 0)},
		{"get j1 banip", list("192.0.2.1", "192.0.2.2")},
		{"get j1 banip", list()},
		{"get j1 banip ;", list("192.0.2.1", "192.0.2.2")},
		{"get j1 banip --with-time", list("192.0.2.1 \t2026-01-01 00:00:00 + 600 = 2026-01-01 00:10:00", "x \ty")},
		{"set j1 banip 192.0.2.1", 1},
		{"set j1 unbanip 192.0.2.1", 0},
		{"set j1 attempt 192.0.2.1", 1},
		{"set j1 idle on", true},
		{"status nope", exception("fail2ban.exceptions", "UnknownJailException", "nope")},
		{"status it's", exception("fail2ban.exceptions", "UnknownJailException", "it's")},
		{"add j1", exception("fail2ban.exceptions", "DuplicateJailException", "j1")},
		{"get", exception("builtins", "IndexError", "list index out of range")},
		{"foo", exception("builtins", "Exception", "Invalid command")},
		{"x", exception("builtins", "ValueError", "a 'b'")},
		{"x", exception("builtins", "KeyError", "key")},
		{"x", exception("builtins", "FileNotFoundError", 2, "No such file or directory", "/x")},
		{"x", exception("builtins", "Exception")},
		{"x", exception("builtins", "Exception", "a", 1)},
		{"x", exception("fail2ban.server.failregex", "RegexException", "Unable to compile regular expression '('")},
	}
	var in [][2]string
	for _, c := range cases {
		data, err := pickle.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, [2]string{c.words, base64.StdEncoding.EncodeToString(data)})
	}
	stdin, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	oracle.JSON(t, `
import base64, json, pickle, sys
from fail2ban.client.beautifier import Beautifier
out = []
for words, data in json.load(sys.stdin):
    v = pickle.loads(base64.b64decode(data))
    b = Beautifier(words.split(" "))
    out.append(str(b.beautifyError(v) if isinstance(v, Exception) else b.beautify(v)))
json.dump(out, sys.stdout)
`, stdin, &want)
	for i, c := range cases {
		words := strings.Split(c.words, " ")
		got := f2b.Beautify(words, c.value)
		if e, ok := c.value.(pickle.Exception); ok {
			got = f2b.BeautifyError(e)
		}
		if got != want[i] {
			t.Errorf("%s:\n%s\nwant\n%s", c.words, got, want[i])
		}
	}
}
