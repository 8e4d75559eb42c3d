package eventlog

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func line(r Record) string { return string(appendLine(nil, &r, "web1")) }

// at is a time with more digits than are written, in a zone that is not.
func at() time.Time {
	return time.Date(2026, 11, 23, 10, 4, 5, 678_900_000, time.FixedZone("CET", 3600))
}

func TestALineHasTheFieldsOfItsKindInOneOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Record
		want string
	}{
		{
			"a ban",
			Record{
				Time: at(), Kind: Ban, Jail: "sshd", ID: "192.0.2.1", Family: "inet4", Since: at(), Until: at().Add(time.Hour),
				Duration: time.Hour, Failures: 5, Count: 2, Origin: "local", Log: "/var/log/auth.log", Regex: 3,
			},
			`{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"ban","jail":"sshd","id":"192.0.2.1","family":"inet4",` +
				`"since":"2026-11-23T09:04:05.678Z","until":"2026-11-23T10:04:05.678Z","duration":3600,"failures":5,"count":2,"origin":"local","log":"/var/log/auth.log","regex":3}`,
		},
		{
			"a permanent ban has no end, and the duration -1",
			Record{Time: at(), Kind: Ban, Jail: "sshd", ID: "x", Since: at(), Duration: -5 * time.Hour},
			`{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"ban","jail":"sshd","id":"x","since":"2026-11-23T09:04:05.678Z","duration":-1}`,
		},
		{
			"a trouble",
			Record{Time: at(), Kind: Trouble, Part: "action", Jail: "sshd", Action: "sendmail", Operation: "actionban", Error: "exit 1"},
			`{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"error","jail":"sshd","part":"action","action":"sendmail","operation":"actionban","error":"exit 1"}`,
		},
		{
			"a configuration",
			Record{Time: at(), Kind: Configuration, Reason: "reload", Jails: []string{"sshd", "web"}, Problems: 3},
			`{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"configuration","reason":"reload","jails":["sshd","web"],"problems":3}`,
		},
		{
			"the daemon's start",
			Record{Time: at(), Kind: Start, Version: "v1", PID: 7, Config: "/etc/fail2ban"},
			`{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"start","version":"v1","pid":7,"config":"/etc/fail2ban"}`,
		},
		{"lost events", Record{Time: at(), Kind: Lost, Count: 12}, `{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"lost","count":12}`},
		{
			"text that forges lines and fields, or speaks to a terminal",
			Record{Time: at(), Kind: Ban, ID: "a\"}\n{\"kind\":\"x\\\x1b[2J\u009b2J\u2028\x7f\xff é"},
			`{"schema":1,"time":"2026-11-23T09:04:05.678Z","host":"web1","kind":"ban","id":"a\"}\u000a{\"kind\":\"x\\\u001b[2J\u009b2J\u2028\u007f` + "\uFFFD é" + `"}`,
		},
	} {
		if got := line(c.r); got != c.want+"\n" {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestALongTextIsCutBetweenItsLetters(t *testing.T) {
	for pad := range 4 {
		text := strings.Repeat("x", longestText-pad) + "ééé"
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(line(Record{Kind: Trouble, Error: text})), &got); err != nil {
			t.Fatal(err)
		}
		kept, cut := strings.CutSuffix(got.Error, "…")
		if !cut || !strings.HasPrefix(text, kept) || len(kept) < longestText-3 || len(kept) > longestText {
			t.Errorf("%d bytes were kept of %d", len(kept), len(text))
		}
	}
}

// FuzzARecordIsOneLineOfJSON, whatever its texts are, and says what was said.
func FuzzARecordIsOneLineOfJSON(f *testing.F) {
	f.Add("sshd", "192.0.2.1", "no space left on device", int64(3600), 5)
	f.Add("\x1b]0;owned\a", "a\xff\"\\\n\u2028\u0085", strings.Repeat("é", longestText), int64(-1), -5)
	f.Fuzz(func(t *testing.T, jail, id, problem string, seconds int64, n int) {
		r := Record{
			Time: at(), Kind: Trouble, Jail: jail, ID: id, Error: problem, Jails: []string{jail, problem},
			Duration: time.Duration(seconds), Failures: n,
		}
		text := line(r)
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "}\n") || !utf8.ValidString(text) {
			t.Fatalf("%q is not one line", text)
		}
		for _, c := range strings.TrimSuffix(text, "\n") {
			if c < ' ' || c >= 0x7f && c < 0xa0 {
				t.Fatalf("%q holds a control character", text)
			}
		}
		var got struct {
			Jail, ID, Error string
			Jails           []string
			Failures        int
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, x := range []struct{ got, want string }{{got.Jail, jail}, {got.ID, id}, {got.Error, problem}, {got.Jails[0], jail}, {got.Jails[1], problem}} {
			// Each byte that is no UTF-8 is one replacement character, as in a range over a string.
			if len(x.want) <= longestText && x.got != string([]rune(x.want)) {
				t.Fatalf("%q instead of %q", x.got, x.want)
			}
		}
		if got.Failures != n {
			t.Fatalf("%d failures instead of %d", got.Failures, n)
		}
	})
}

// TestTheDocumentationNamesEveryFieldAndKind, in the order of the fields, and none that there is not.
func TestTheDocumentationNamesEveryFieldAndKind(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Events for a SIEM\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, fields, foundFields := strings.Cut(section, "\n| field | what |\n|---|---|\n")
	fields, kinds, foundKinds := strings.Cut(fields, "\n| kind | what has happened |\n|---|---|\n")
	if !found || !foundFields || !foundKinds {
		t.Fatal("there is no section on events with its two tables")
	}
	names := func(table string) (all []string) {
		for row := range strings.Lines(table) {
			if cells := strings.Split(row, "|"); len(cells) > 2 {
				for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(cells[1], -1) {
					all = append(all, m[1])
				}
			}
		}
		return all
	}
	full := line(Record{
		Time: at(), Kind: Ban, Jail: "x", ID: "x", Family: "x", Since: at(), Until: at(), Duration: time.Hour, Failures: 1, Count: 1,
		Origin: "x", Log: "x", Regex: 1, Reason: "x", Part: "x", Action: "x", Operation: "x", Error: "x", Version: "x", PID: 1,
		Config: "x", Jails: []string{"x"}, Problems: 1,
	})
	var written []string
	for _, m := range regexp.MustCompile(`"([a-z]+)":`).FindAllStringSubmatch(full, -1) {
		written = append(written, m[1])
	}
	if n := reflect.TypeFor[Record]().NumField(); len(written) != n+2 { // besides: schema, host
		t.Errorf("%d fields are written of a record that has %d", len(written), n)
	}
	if got := names(fields); !slices.Equal(got, written) {
		t.Errorf("documented are\n%q, written are\n%q", got, written)
	}
	all := []string{string(Ban), string(Unban), string(Prolong), string(Restore), string(Configuration), string(Trouble), string(Repair), string(Start), string(Stop), string(Lost)}
	if got := names(kinds); !slices.Equal(got, all) {
		t.Errorf("documented kinds are\n%q, there are\n%q", got, all)
	}
}
