package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/doctor"
)

// TestDoctor tells what is wrong first, each with its next step, exits with 1 if something is bad, and says
// the same to programs.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "none\u202e.log")
	jail := fmt.Sprintf("[door]\nenabled = true\nbackend = polling\nfilter = sshd\nlogpath = %s\naction = nftables\n", log)
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(jail), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "healthy")
	code, out, talk := agentctl(t, "doctor", "-c", dir, "-s", s)
	bad := `none\u202e.log [door]: there is no such file: the jail sees nothing` + "\n                     → check logpath"
	if code != 1 || talk != "" || !strings.HasPrefix(out, "bad ") || !strings.Contains(out, bad) || !strings.Contains(out, "\nwarn  ") || !strings.Contains(out, "\nok    ") {
		t.Errorf("exit %d, %s\n%s", code, talk, out)
	}
	code, out, _ = agentctl(t, "--json", "doctor", "-c", dir, "-s", s)
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range r.Findings {
		found = found || f.Level == doctor.Bad && f.Check == "logs" && f.About == log && len(f.Jails) == 1 && f.Jails[0] == "door"
	}
	if code != 1 || r.OK || r.Bad == 0 || !found || r.Config != dir {
		t.Errorf("exit %d, %s", code, out)
	}
}
