package hooks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// saveTime is how long iptables-legacy-save may take, maxSave how much of what it writes is read.
	saveTime = 3 * time.Second
	maxSave  = 4 << 20
)

// legacyTables are those of iptables-legacy, with the chains at which each sees packets and their priorities.
var legacyTables = [...]struct {
	table    string
	chains   []string
	priority []int
}{
	{"raw", []string{"prerouting", "output"}, []int{-300, -300}},
	{"mangle", []string{"prerouting", "input", "forward", "output", "postrouting"}, []int{-150, -150, -150, -150, -150}},
	{"nat", []string{"prerouting", "input", "output", "postrouting"}, []int{-100, 100, -100, 100}},
	{"filter", []string{"input", "forward", "output"}, []int{0, 0, 0}},
	{"security", []string{"input", "forward", "output"}, []int{50, 50, 50}},
}

// readLegacy adds what iptables-legacy has. What cannot be seen is noted as unread.
func readLegacy(ctx context.Context, proc string, f *facts) {
	for _, v := range []struct{ family, file, save string }{
		{"ip", "ip_tables_names", "iptables"}, {"ip6", "ip6_tables_names", "ip6tables"},
	} {
		tables, err := tableNames(filepath.Join(proc, "net", v.file))
		if err != nil {
			f.unread = append(f.unread, "the tables of "+v.save+"-legacy: "+err.Error())
		}
		if len(tables) == 0 {
			continue
		}
		saved, err := save(ctx, v.save)
		if err != nil {
			f.unread = append(f.unread, "the rules of "+v.save+"-legacy: "+err.Error())
		}
		f.addLegacy(v.family, tables, saved)
	}
}

// tableNames reads a list of the kernel.
func tableNames(path string) ([]string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, 64<<10))
	return strings.Fields(string(b)), err
}

// save asks the tool for the rules.
func save(ctx context.Context, tool string) (map[string]ruleset, error) {
	path := ""
	for _, name := range []string{tool + "-legacy-save", tool + "-save"} {
		if path = find(name); path != "" {
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("%s-legacy-save is not installed", tool)
	}
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", path, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", path, err)
	}
	limited := &io.LimitedReader{R: out, N: maxSave}
	tables, err := parseSave(limited)
	if limited.N == 0 {
		err = errors.Join(err, errTooMuch)
		cancel()
		_ = cmd.Wait()
		return tables, err
	}
	if failure := cmd.Wait(); failure != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", path, failure))
	}
	return tables, err
}

// find gives the path of a program, empty if there is none. The folders of a service's PATH are tried, too.
func find(name string) string {
	for dir := range strings.SplitSeq(os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin", ":") {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// parseSave reads what iptables-save writes: tables, their chains, their rules.
func parseSave(r io.Reader) (map[string]ruleset, error) {
	tables := map[string]ruleset{}
	var rules ruleset
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		line := lines.Text()
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#") && strings.Contains(line, "nf_tables"):
			return nil, nil // these are no legacy ones, and were seen as nftables'
		case strings.HasPrefix(line, "*") && len(words) == 1:
			rules = ruleset{}
			tables[line[1:]] = rules
		case rules == nil || len(words) == 0:
		case strings.HasPrefix(line, ":"):
			rules[words[0][1:]] = nil
		case words[0] == "-A" && len(words) > 1:
			rules[words[1]] = append(rules[words[1]], parseRule(words[2:], rules))
		}
	}
	if err := lines.Err(); err != nil {
		return tables, fmt.Errorf("read the rules: %w", err)
	}
	return tables, nil
}

// parseRule reads a rule. All chains are declared before the first of them.
func parseRule(words []string, chains ruleset) (x rule) {
	for i, w := range words[:max(len(words)-1, 0)] {
		next := words[i+1]
		switch w {
		case "-i":
			x.loopback = next == "lo" && (i == 0 || words[i-1] != "!")
		case "-j":
			_, known := chains[next]
			if x.jump = known; known || next == "ACCEPT" || next == "RETURN" {
				x.target = next
			}
		case "-g":
			x.target, x.goes = next, true
		}
	}
	return x
}

// addLegacy adds the tables of one family.
func (f *facts) addLegacy(family string, tables []string, saved map[string]ruleset) {
	for _, l := range legacyTables {
		if !slices.Contains(tables, l.table) {
			continue
		}
		rules := saved[l.table]
		var names []string
		for name := range rules {
			names = append(names, name)
		}
		for i, where := range l.chains {
			f.chains = append(f.chains, chain{
				family: family, table: l.table, name: strings.ToUpper(where), where: where, priority: l.priority[i],
				legacy: true, by: madeBy(l.table, names),
			})
		}
		f.lists = append(f.lists, rules.lists("iptables-legacy", family, l.table)...)
	}
}
