package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/source"
)

// files takes the log files over and looks whether they can be read.
func (b *builder) files(j *agent.Jail) {
	for _, p := range b.c.LogPaths {
		j.Files = append(j.Files, agent.Files{Pattern: p.Pattern, Tail: p.Tail})
		b.checkLog(p)
	}
	if len(j.Files) == 0 && !b.c.Journal() {
		b.wrong("logpath", "name the log with logpath = /var/log/…", errors.New("the jail has no log to read"))
	}
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
		default:
			if f, err := os.Open(path); err != nil {
				b.warn(p.Origin, "cannot read it: "+err.Error(), "let agentd read it, as by running it as root; it is tried again")
			} else {
				f.Close()
			}
		}
	}
}
