package action

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// noteAction writes down what it is told.
const noteAction = `
import subprocess, sys, time, os
class Action:
    def __init__(self, jail, name, path="", mode=""):
        self.jail, self.name, self.path, self.mode = jail, name, path, mode
        if mode == "refuse": raise ValueError("not with this")
        self.norestored = mode == "new"
    def note(self, *words):
        with open(self.path, "a") as f: f.write(" ".join(str(w) for w in words) + "\n")
    def start(self):
        print("this is no answer")
        self.note("start", self.jail.name, self.name, self.jail.actions.getBanTime())
    def stop(self): self.note("stop")
    def ban(self, info):
        if self.mode == "hang": time.sleep(3600)
        if self.mode == "die": os._exit(3)
        if self.mode == "fail": raise KeyError("what")
        info.update({"extra": lambda: "more"})
        if self.mode == "child": self.note("child", repr(subprocess.run("cat; echo to nobody", shell=True).returncode))
        self.note("ban", "%(ip)s %(family)s %(failures)d %(time)s %(bantime)d %(restored)r %(extra)s" % info, repr(info["matches"]), info["F-USER"], repr(info.get("nothing")))
    def unban(self, info): self.note("unban", info["ip"], info["ip-rev"])
`

func pythonAction(t *testing.T, mode string) (d Definition, out string) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "note.py")
	if err := os.WriteFile(file, []byte(noteAction), 0o644); err != nil {
		t.Fatal(err)
	}
	out = filepath.Join(dir, "out")
	return Definition{Python: file, BanTime: time.Hour, Params: []Param{{"path", out}, {"mode", mode}}}, out
}

func TestActionsInPythonAreToldOfBans(t *testing.T) {
	d, out := pythonAction(t, "")
	b := newBench(t, d, Options{})
	b.Start()
	tk := of("192.0.2.1")
	tk.Matches, tk.Captures = []string{"'; $(x)", "\"é\n"}, map[string]string{"user": "bob"}
	b.Ban(tk)
	b.until("it is banned", func() bool { return b.Status().Executed == 2 })
	b.Unban(tk)
	b.stop()
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := "start j a 3600\nban 192.0.2.1 inet4 1 1795353917.0 60 0 more '\\'; $(x)\\n\"é\\n' bob None\nunban 192.0.2.1 1.2.0.192.\nstop\n"
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	if st := b.Status(); st.Executed != 4 || st.Failed != 0 {
		t.Errorf("%+v", st)
	}
}

// TestWhatAnActionInPythonStartsHasNoShareInThePipes: not in those by which it is told of bans.
func TestWhatAnActionInPythonStartsHasNoShareInThePipes(t *testing.T) {
	d, out := pythonAction(t, "child")
	b := newBench(t, d, Options{})
	b.Ban(of("192.0.2.1"))
	b.Ban(of("192.0.2.2"))
	b.stop()
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if st := b.Status(); st.Failed != 0 || strings.Count(string(text), "child 0\nban ") != 2 {
		t.Errorf("%+v\n%s", st, text)
	}
}

// TestActionsInPythonReadTextInAnyLocale as what it is.
func TestActionsInPythonReadTextInAnyLocale(t *testing.T) {
	t.Setenv("LC_ALL", "POSIX")
	t.Setenv("PYTHONIOENCODING", "latin-1")
	d, out := pythonAction(t, "")
	d.Params[1].Value = "é☃"
	b := newBench(t, d, Options{})
	tk := of("192.0.2.1")
	tk.Matches = []string{"ü☃"}
	b.Ban(tk)
	b.stop()
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "ü☃") && !strings.Contains(string(text), `\xfc\u2603`) {
		t.Errorf("%+v, %s", b.Status(), text)
	}
}

// TestActionsInPythonMayLeaveOutBansOfAnEarlierRun: those that say norestored, and no other.
func TestActionsInPythonMayLeaveOutBansOfAnEarlierRun(t *testing.T) {
	for mode, want := range map[string]int{"new": 1, "": 2} {
		d, out := pythonAction(t, mode)
		b := newBench(t, d, Options{})
		old := of("192.0.2.1")
		old.Restored = true
		b.Ban(old)
		b.Ban(of("192.0.2.2"))
		b.stop()
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "ban 192.0.2."); got != want {
			t.Errorf("mode %q: %d bans\n%s", mode, got, text)
		}
	}
}

// TestAReloadLoadsAnActionInPythonAnew, with what it is given then.
func TestAReloadLoadsAnActionInPythonAnew(t *testing.T) {
	d, out := pythonAction(t, "fail")
	b := newBench(t, d, Options{})
	b.Start()
	d.Jail, d.Name = "j", "a"
	d.Params = []Param{{"path", out}, {"mode", ""}}
	if err := b.Reload(d); err != nil {
		t.Fatal(err)
	}
	b.Ban(of("192.0.2.1"))
	b.Flush(nil)
	b.stop()
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); !strings.HasPrefix(got, "start j a 3600\nstop\nstart j a 3600\n") || b.Status().Failed != 0 {
		t.Errorf("%s, %+v", got, b.Status())
	}
}

// TestAnActionInPythonThatFailsHarmsNobody: not the next ban, and not longer than its time limit.
func TestAnActionInPythonThatFailsHarmsNobody(t *testing.T) {
	for mode, want := range map[string]string{"hang": "ended after 1s", "die": "ended", "fail": "what", "refuse": "not with this"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d, _ := pythonAction(t, mode)
			if d.Timeout = 20 * time.Second; mode == "hang" {
				d.Timeout = time.Second // Python has to start in it
			}
			b := newBench(t, d, Options{})
			b.Start()
			b.Ban(of("192.0.2.1"))
			b.Ban(of("192.0.2.2"))
			b.stop()
			st := b.Status()
			if st.Err == nil || !strings.Contains(st.Err.Error(), want) || len(b.kinds(Failed)) < 2 {
				t.Errorf("%+v, %+v", st, b.kinds(Failed))
			}
			if again := len(b.kinds(Restarted)); (mode == "hang" || mode == "die") != (again > 0) {
				t.Errorf("started again %d times", again)
			}
		})
	}
	b := newBench(t, Definition{Python: "/nonexistent/action.py"}, Options{Python: "/nonexistent/python3"})
	b.Start()
	b.stop()
	if f := b.kinds(Failed); len(f) != 1 || !strings.Contains(f[0].Err.Error(), "python3") {
		t.Errorf("%+v", f)
	}
}

// TestAMissingModuleIsNamed, and what to do about fail2ban's. A module that hangs while it is loaded does so
// for its time limit.
func TestAMissingModuleIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"import fail2ban.server.actions": "leave its package installed",
		"import surely.absent":           "No module named 'surely'",
		"import time; time.sleep(3600)":  errTimeout.Error(),
		"class Action":                   "SyntaxError",
		"":                               "Action",
	} {
		t.Run(text, func(t *testing.T) {
			d, _ := pythonAction(t, "")
			t.Setenv("PYTHONPATH", "")
			t.Setenv("PYTHONNOUSERSITE", "1")
			if exec.Command("python3", "-c", "import fail2ban").Run() == nil && strings.Contains(text, "fail2ban") {
				t.Skip("fail2ban is installed")
			}
			if err := os.WriteFile(d.Python, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if d.Timeout = 20 * time.Second; strings.Contains(text, "sleep") {
				d.Timeout = 300 * time.Millisecond
			}
			b := newBench(t, d, Options{})
			b.Start()
			b.stop()
			f := b.kinds(Failed)
			if len(f) == 0 || !strings.Contains(f[0].Err.Error(), want) || !strings.Contains(f[0].Err.Error(), d.Python) {
				t.Errorf("%v", f)
			}
			if st := b.Status(); st.Err == nil || !st.FailedLast || len(st.Started) != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestFail2bansMailActionRuns: the one action in Python that fail2ban has, with its own modules, against a mail
// server.
func TestFail2bansMailActionRuns(t *testing.T) {
	root := oracle.Fail2ban(t)
	t.Setenv("PYTHONPATH", filepath.Join(root, "usr/lib/python3/dist-packages"))
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	mails := make(chan string, 8)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			mails <- takeMail(c)
		}
	}()
	d := Definition{
		Python: filepath.Join(root, "etc/fail2ban/action.d/smtp.py"), BanTime: time.Minute,
		Params: []Param{{"host", server.Addr().String()}, {"sender", "us@example.org"}, {"dest", "root@example.org"}, {"matches", "matches"}},
	}
	b := newBench(t, d, Options{})
	b.Start()
	tk := Ticket{ID: ident.Parse("2001:db8::5"), Time: time.Unix(1795353917, 0), Failures: 7, Matches: []string{"a line"}, BanTime: time.Minute, BanCount: 1}
	b.Ban(tk)
	b.until("both mails are out", func() bool { return b.Status().Executed == 2 })
	b.stop()
	if st := b.Status(); st.Failed != 0 {
		t.Fatalf("%+v", st)
	}
	<-mails // of the start
	if m := <-mails; !strings.Contains(m, "2001:db8::5") || !strings.Contains(m, "a line") || !strings.Contains(m, "root@example.org") {
		t.Errorf("%q", m)
	}
}

// takeMail plays a mail server for one mail.
func takeMail(c net.Conn) string {
	defer c.Close()
	var mail strings.Builder
	r := bufio.NewReader(c)
	fmt.Fprint(c, "220 test\r\n")
	for inMail := false; ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return mail.String()
		}
		mail.WriteString(line)
		switch {
		case inMail && line == ".\r\n":
			inMail = false
			fmt.Fprint(c, "250 taken\r\n")
		case inMail:
		case strings.HasPrefix(strings.ToUpper(line), "DATA"):
			inMail = true
			fmt.Fprint(c, "354 go on\r\n")
		case strings.HasPrefix(strings.ToUpper(line), "QUIT"):
			fmt.Fprint(c, "221 bye\r\n")
			return mail.String()
		default:
			fmt.Fprint(c, "250 well\r\n")
		}
	}
}
