package source

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// entryOf writes an entry in journalctl's format; the fields are name and value in turn.
func entryOf(fields ...string) string {
	var b strings.Builder
	b.WriteString("__CURSOR=c1\n__REALTIME_TIMESTAMP=1772359205000005\n__MONOTONIC_TIMESTAMP=5000000\n")
	for i := 0; i < len(fields); i += 2 {
		if strings.Contains(fields[i+1], "\n") {
			b.WriteString(fields[i] + "\n")
			b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(fields[i+1]))))
			b.WriteString(fields[i+1] + "\n")
			continue
		}
		b.WriteString(fields[i] + "=" + fields[i+1] + "\n")
	}
	return b.String() + "\n"
}

// journalCases are the fields of an entry, all texts.
func journalCases() [][]string {
	return [][]string{
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "sshd", "_PID", "101", "MESSAGE", "hello"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "sshd", "SYSLOG_PID", "7", "_PID", "101", "MESSAGE", "hello"},
		{"_HOSTNAME", "host", "_COMM", "nginx", "_PID", "101", "MESSAGE", "hello"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "cron", "MESSAGE", "no pid"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "kernel", "MESSAGE", "in the kernel"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "kernel", "_SOURCE_MONOTONIC_TIMESTAMP", "123456789012", "MESSAGE", "its own clock"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "kernel", "_PID", "3", "MESSAGE", "a kernel with a pid"},
		{"_HOSTNAME", "host", "_PID", "3", "MESSAGE", "a pid of nobody"},
		{"MESSAGE", "nothing else"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "a", "MESSAGE", ""},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "a"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "a", "MESSAGE", " blanks around "},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "a", "MESSAGE", "two\nlines\n"},
		{"_HOSTNAME", "host", "SYSLOG_IDENTIFIER", "a b[1]: x", "MESSAGE", "an identifier that looks like more"},
		{"_HOSTNAME", "höst", "SYSLOG_IDENTIFIER", "ä", "_PID", "1", "MESSAGE", "ünicode €"},
	}
}

// TestJournalLinesAreFail2bans: the text that filters see.
func TestJournalLinesAreFail2bans(t *testing.T) {
	cases, err := json.Marshal(journalCases())
	if err != nil {
		t.Fatal(err)
	}
	// Only the function that makes the text is asked, so that no journal and no binding to it is needed.
	script := `
import datetime, json, sys, types
for name in ("systemd", "systemd.journal"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["systemd"].journal = sys.modules["systemd.journal"]
sys.modules["systemd.journal"].__version__ = "234"
class Reader: pass
sys.modules["systemd.journal"].Reader = Reader
from fail2ban.server.filtersystemd import FilterSystemd
class Of:
    jailName = "x"
    def getLogEncoding(self): return "UTF-8"
    def getJrnEntTime(self, entry): return ("", 0)
out = []
for fields in json.load(sys.stdin):
    entry = {"__MONOTONIC_TIMESTAMP": (datetime.timedelta(microseconds=5000000), None)}
    for k, v in zip(fields[::2], fields[1::2]):
        if k == "_SOURCE_MONOTONIC_TIMESTAMP": v = datetime.timedelta(microseconds=int(v))
        entry[k] = v
    out.append(FilterSystemd.formatJournalEntry(Of(), entry)[0][2])
json.dump(out, sys.stdout)
`
	var want []string
	oracle.JSON(t, script, cases, &want)
	for i, fields := range journalCases() {
		e, cursor, err := newJournalReader(strings.NewReader(entryOf(fields...)), 1000).next()
		if err != nil || e.Text != want[i] || cursor != "c1" {
			t.Errorf("%q: %q, %q, %v; want %q", fields, e.Text, cursor, err, want[i])
		}
	}
}

func TestJournalEntryTimes(t *testing.T) {
	r := newJournalReader(strings.NewReader(
		entryOf("MESSAGE", "the journal's")+entryOf("_SOURCE_REALTIME_TIMESTAMP", "1772359204999000", "MESSAGE", "its sender's")+
			entryOf("MESSAGE", "one", "MESSAGE", "two")), 1000)
	var got []string
	for {
		e, _, err := r.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		got = append(got, fmt.Sprintf("%s %s", e.Time.UTC().Format(time.RFC3339Nano), e.Text))
	}
	want := "[2026-03-01T10:00:05.000005Z the journal's 2026-03-01T10:00:04.999Z its sender's 2026-03-01T10:00:05.000005Z one two]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestDamagedJournalTextIsAnError and no entry, so that nothing behind it is taken for something else.
func TestDamagedJournalTextIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"an end in an entry":      "__CURSOR=c\nMESSAGE=x\n",
		"an end in a name":        "__CUR",
		"an end in a value":       "__CURSOR=c",
		"no time":                 "__CURSOR=c\nMESSAGE=x\n\n",
		"no cursor":               "__REALTIME_TIMESTAMP=1\nMESSAGE=x\n\n",
		"a time that is none":     "__CURSOR=c\n__REALTIME_TIMESTAMP=x\n\n",
		"a name without an end":   strings.Repeat("A", 1000),
		"a length without bytes":  "MESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00ab",
		"a huge length":           "MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffab",
		"no newline behind bytes": "MESSAGE\n\x01\x00\x00\x00\x00\x00\x00\x00abc",
	} {
		if e, _, err := newJournalReader(strings.NewReader(text), 1000).next(); err == nil || errors.Is(err, io.EOF) && err == io.EOF { //nolint:errorlint // the very value means an honest end
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	for _, fields := range journalCases() {
		f.Add([]byte(entryOf(fields...)))
	}
	f.Add([]byte("MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffab"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newJournalReader(strings.NewReader(string(data)), 100)
		for range len(data) + 1 {
			e, cursor, err := r.next()
			if err != nil {
				return
			}
			if cursor == "" || e.Time.IsZero() || len(e.Text) > 3*(4*256+100) || strings.ContainsRune(e.Text, '\n') {
				t.Fatalf("%q: %+v", cursor, e)
			}
		}
		t.Fatal("there are more entries than bytes")
	})
}
