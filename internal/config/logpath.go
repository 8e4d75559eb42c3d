package config

import (
	"fmt"
	"strings"
)

// resolvedPath is an entry of logpath with the files that it finds now.
type resolvedPath struct {
	LogPath
	found []string
}

func (p resolvedPath) mode() string {
	if p.Tail {
		return "tail"
	}
	return "head"
}

// readLogPaths splits logpath into its entries and looks for their files.
func (a *assembly) readLogPaths() error {
	if isSystemd(a.backend) {
		return nil
	}
	at := a.ev.origin(a.sec.name, "logpath")
	exists := false
	for _, line := range lines(a.values["logpath"]) {
		at.Value = line
		p := resolvedPath{LogPath: LogPath{Pattern: line, Origin: at}}
		if i := strings.LastIndexByte(line, ' '); i >= 0 {
			p.Pattern = line[:i]
			switch mode := line[i+1:]; mode {
			case "tail":
				p.Tail = true
			case "head":
			default:
				return faultf(at, "fail2ban reads no path that holds a blank; use ? in its place",
					"behind the last blank stands head or tail, not %s", oneLine(mode))
			}
		}
		found, err := a.opts.Glob(p.Pattern)
		if err != nil {
			return faultf(at, "", "the log files cannot be looked for: %v", err)
		}
		p.found = found
		exists = exists || len(found) > 0
		a.paths = append(a.paths, p)
	}
	if exists || len(a.paths) == 0 {
		return nil
	}
	return a.noLogs(at)
}

// noLogs decides what becomes of a jail none of whose log files exists. fail2ban 1.1 reads the
// journal instead if it may, or leaves the jail out if that is asked for; else it refuses the whole
// configuration, where this jail waits for the files.
func (a *assembly) noLogs(at Origin) error {
	if a.opts.Release != Release10 {
		journal, set := a.values["systemd_if_nologs"]
		if strings.HasPrefix(a.backend, "auto") && (!set || ParseBool(journal)) && a.hasJournalMatch() {
			a.backend, a.paths = "systemd", nil
			a.problems = append(a.problems, at.Problem(Warning, a.sec.name, "there is no such log file: the jail reads the journal",
				"set backend = systemd to say so"))
			return nil
		}
		if ParseBool(a.values["skip_if_nologs"]) {
			a.problems = append(a.problems, at.Problem(Warning, a.sec.name, "there is no such log file: the jail is left out", ""))
			a.emit("config-error", fmt.Sprintf("Jail '%s' skipped, because of missing log files.", a.sec.name))
			return errSkipped
		}
	}
	return nil // who makes the jail ready looks at each file, and tells
}

func (a *assembly) hasJournalMatch() bool {
	for _, c := range a.commands {
		if c.name == "journalmatch" && c.value != "" {
			return true
		}
	}
	return false
}
