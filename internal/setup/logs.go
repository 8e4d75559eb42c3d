package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/source"
)

// errNoLog is for a jail that nobody has told which log is its own.
var errNoLog = errors.New("the jail has no log to read")

// files takes the log files over and looks whether they can be read.
func (b *builder) files(j *agent.Jail) {
	if j.OwnLog = b.readsOwnLog(); j.OwnLog {
		return // from inside; a file that fail2ban has left gets no more lines, nor does the journal get ours
	}
	if b.c.Journal() {
		b.journal(j)
	}
	for _, p := range b.c.LogPaths {
		j.Files = append(j.Files, agent.Files{Pattern: p.Pattern, Tail: p.Tail})
		b.checkLog(p)
	}
	if len(j.Files) == 0 && !b.c.Journal() {
		b.wrong("logpath", "name the log with logpath = /var/log/…", errNoLog)
	}
}

// readsOwnLog reports whether the jail reads fail2ban's log, as recidive does, and our log does not go to a file
// that it watches.
func (b *builder) readsOwnLog() bool {
	about := b.c.Filter == "recidive"
	for _, p := range b.c.LogPaths {
		if b.ownLog != "" && (p.Pattern == b.ownLog || source.HasMeta(p.Pattern) && source.Matches(p.Pattern, b.ownLog)) {
			return false
		}
		about = about || p.Pattern == b.fail2banLog && b.fail2banLog != ""
	}
	return about
}

// journal takes over what the jail reads of the journal.
func (b *builder) journal(j *agent.Jail) {
	o := &source.JournalOptions{Matches: b.c.JournalMatch}
	for _, p := range b.c.BackendSpec.Params {
		switch p.Name {
		case "journalpath":
			o.Directory = p.Value
		case "journalfiles":
			o.Files = strings.FieldsFunc(p.Value, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		case "namespace":
			o.Namespace = p.Value
		case "journalflags":
			n, err := strconv.ParseInt(p.Value, 0, 32)
			if err != nil {
				b.wrong("backend", "4 reads the system's entries, 8 those of the user", fmt.Errorf("journalflags %q is no number", p.Value))
			}
			o.Flags = int(n)
		case "rotated": // journalctl reads rotated files always, and a cursor says where to go on
		default:
			b.warn(b.c.Origin("backend"), "the journal has no option "+p.Name, "use journalpath, journalfiles, journalflags, namespace or rotated")
		}
	}
	for _, words := range b.c.JournalMatch {
		for _, w := range words {
			if w != "+" && !strings.Contains(w, "=") {
				b.wrong("journalmatch", "write FIELD=value, as _SYSTEMD_UNIT=ssh.service", fmt.Errorf("%q is no match for the journal", w))
			}
		}
	}
	if len(o.Matches) == 0 && b.c.Origin("journalmatch").Value == "" {
		b.warn(b.c.Origin("backend"), "the jail has no journalmatch: it reads all of the journal", "set journalmatch = _SYSTEMD_UNIT=…")
	}
	if _, err := exec.LookPath("journalctl"); err != nil {
		b.warn(b.c.Origin("backend"), "journalctl is not found: the journal cannot be read", "install systemd, or name a log file with logpath")
	}
	j.Journal = o
}

// checkLog warns of a log that cannot be read now. The jail runs: the log is waited for.
func (b *builder) checkLog(p config.LogPath) {
	found := []string{p.Pattern}
	if source.HasMeta(p.Pattern) {
		var err error
		if found, err = source.Match(p.Pattern); err != nil {
			b.warn(p.Origin, "cannot look for it: "+err.Error(), "check the permissions of the folders")
		}
		if len(found) == 0 {
			b.warn(p.Origin, "no file matches yet", "check the pattern; files that appear are read")
		}
	}
	for _, path := range found {
		st, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			b.warn(p.Origin, "there is no file "+path+" yet", "check the path; the file is read as soon as it is there")
		case err != nil:
			b.warn(p.Origin, "cannot look at it: "+err.Error(), "check its permissions; it is tried again")
		case st.IsDir():
			b.wrong("logpath", "name a file, or the files in it as "+strings.TrimSuffix(path, "/")+"/*.log", fmt.Errorf("%s is a folder", path))
		case !st.Mode().IsRegular(): // to open a pipe would wait for who writes into it
			b.warn(p.Origin, path+" is no file", "name a file, or read the journal with backend = systemd")
		default:
			if f, err := os.Open(path); err != nil {
				b.warn(p.Origin, "cannot read it: "+err.Error(), "let agentd read it, as by running it as root; it is tried again")
			} else {
				f.Close()
			}
		}
	}
}
