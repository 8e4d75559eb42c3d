package config

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// batchScript reads names of folders and prints, for each, what fail2ban's client would send.
const batchScript = `
import json, logging, signal, sys
logging.disable(logging.CRITICAL)
from fail2ban.client.configurator import Configurator
def late(*_):
    raise TimeoutError("too long")
signal.signal(signal.SIGALRM, late)
out = []
for folder in sys.stdin.read().splitlines():
    signal.alarm(3)
    try:
        c = Configurator()
        c.setBaseDir(folder)
        c.readEarly()
        early = c.getEarlyOptions()
        c.readAll()
        ok = c.getOptions(None, early)
        c.convertToProtocol(allow_no_files=True)
        out.append({"ok": bool(ok), "stream": c.getConfigStream()})
    except Exception as e:
        out.append({"ok": False, "why": repr(e)})
    signal.alarm(0)
json.dump(out, sys.stdout)
`

type batchResult struct {
	OK     bool    `json:"ok"`
	Why    string  `json:"why"`
	Stream [][]any `json:"stream"`
}

// batch asks fail2ban's client for the streams of many folders.
func batch(t *testing.T, dirs []string) []batchResult {
	t.Helper()
	var results []batchResult
	oracle.JSON(t, batchScript, []byte(strings.Join(dirs, "\n")), &results)
	if len(results) != len(dirs) {
		t.Fatalf("%d results for %d folders", len(results), len(dirs))
	}
	return results
}

// treeMaker makes configuration trees that use everything that the dialect has, mostly rightly.
type treeMaker struct {
	*rand.Rand
	// above is the index in plainKeys that references must lie above, so that few go in circles.
	above int
}

func (m *treeMaker) pick(s ...string) string { return s[m.IntN(len(s))] }

func (m *treeMaker) chance(percent int) bool { return m.IntN(100) < percent }

// Keys that any section may set, and refer to.
var plainKeys = []string{"red", "blue", "Green", "tall-one", "dotted.key"}

// key is one that may be referred to here.
func (m *treeMaker) key() string {
	if m.above+1 >= len(plainKeys) {
		return "base"
	}
	return plainKeys[m.above+1+m.IntN(len(plainKeys)-m.above-1)]
}

// piece is a part of a value; safe ones mean the same everywhere.
func (m *treeMaker) piece(in string) string {
	switch m.IntN(24) {
	case 0, 1:
		return "%(" + m.key() + ")s"
	case 2:
		return "%(default/" + strings.ToLower(m.key()) + ")s"
	case 3:
		return "%(known/" + strings.ToLower(m.key()) + ")s"
	case 4:
		if m.chance(3) {
			return m.pick("%", "%x", "%(nowhere)s", "%(", "%(red)", "%(other/nowhere)s", "%(nowhere/red)s", "%(Other/red)s", "%(DEFAULT/red)s")
		}
		return m.pick("%%", "100%%", "%%(x)s", "%(__name__)s", "%(__NAME__)s", "#no", "a;b", ":", "=", "ü")
	case 5:
		return "%(other/" + strings.ToLower(m.key()) + ")s"
	case 6, 7, 8:
		if in != "jail" {
			return "<" + m.key() + ">"
		}
	case 9:
		if in != "jail" {
			return m.pick("<known/"+m.key()+">", "<default/"+m.key()+">", "<other/"+m.key()+">", "<Init/"+m.key()+">",
				"<nowhere>", "<ip>", "<HOST>", "<two-<base>>", "<<base>-<base>>", "< >", "<>", "<a b>", "<matches>", "<logtype>",
				"<maxretry>", "<name>", "<filter>", "<backend>", "<known/failregex>", "<red?family=inet6>", "<base?family=inet6>")
		}
	case 10:
		return m.pick("'", "\"", "\\", "\t", "$x", "(", ")", "\n\n", "\n  ; gone\n", "\n# gone\n")
	}
	return m.pick("alpha", "beta", "gamma", "x y", "1", "0")
}

func (m *treeMaker) value(in string) string {
	var b strings.Builder
	for range m.IntN(4) {
		b.WriteString(m.piece(in))
		b.WriteString(m.pick("", " ", "\n", ""))
	}
	if m.chance(5) {
		b.WriteString(m.pick(" ; comment", "\t;x", ";kept"))
	}
	return strings.ReplaceAll(b.String(), "\n", "\n"+m.pick("  ", "\t", "   "))
}

// valueOf is a value that the key may have.
func (m *treeMaker) valueOf(key, in string) string {
	m.above = slices.Index(plainKeys, key)
	return m.value(in)
}

func (m *treeMaker) option(b *strings.Builder, key, value string) {
	b.WriteString(key + m.pick(" = ", "=", ": ", " : ", "= ") + value + "\n")
	if m.chance(5) {
		b.WriteString(m.pick("\n", "# comment\n", "; comment\n", "   \n"))
	}
}

// section writes a section with some of the keys, each once.
func (m *treeMaker) section(b *strings.Builder, name, in string, percent int, keys ...string) {
	b.WriteString("[" + name + "]\n")
	for _, i := range m.Perm(len(keys)) {
		if m.chance(percent) {
			m.option(b, keys[i], m.valueOf(keys[i], in))
		}
	}
}

// spec writes a filter or action with parameters.
func (m *treeMaker) spec(name string) string {
	var b strings.Builder
	b.WriteString(name)
	for range m.IntN(3) {
		b.WriteByte('[')
		for i := range 1 + m.IntN(3) {
			if i > 0 {
				b.WriteString(m.pick(", ", ",", ",\n   "))
			}
			key := m.pick(append(plainKeys, "name", "which", "logtype", "failregex", "actionban", "actionstop")...)
			if strings.HasPrefix(name, "act") && key == "name" && m.chance(50) {
				key = "actname"
			}
			if key == "name" && m.chance(30) {
				b.WriteString("name=" + m.pick("j-one-tcp", "j-oneself", "j-one", "j", "J-ONE", "j two-udp"))
				continue
			}
			b.WriteString(key + "=" + m.pick(`"q, q"`, `'it]s'`, "bare", "seven", `"x y"`, "2", "bare", "two words", `""`, "", "1", `"<known/base>"`, `"<base>"`, "%(base)s", `"it's"`))
		}
		b.WriteByte(']')
		b.WriteString(m.pick("", "", " "))
	}
	return strings.TrimSpace(b.String())
}

func (m *treeMaker) jailFile(which string) string {
	var b strings.Builder
	if which == "base" {
		b.WriteString("[INCLUDES]\nbefore = " + m.pick("inc.conf", "inc.conf\n  missing.conf", "missing.conf", "inc.conf\n inc.conf") +
			"\nafter = " + m.pick("inc2.conf", "jail.conf", "") + "\n")
	}
	if which == "base" || m.chance(40) {
		b.WriteString("[DEFAULT]\n")
		for _, k := range append([]string{"base"}, plainKeys...) {
			if which == "base" || m.chance(30) {
				m.option(&b, k, m.pick("one", "two", "%%", "three four"))
			}
		}
		if m.chance(50) {
			m.option(&b, "usedns", m.pick("no", "yes", "warn"))
		}
		if m.chance(30) {
			m.option(&b, "action", m.spec("act"))
		}
	}
	m.section(&b, "other", "jail", 90, plainKeys...)
	for _, name := range []string{"j-one", "j two"} {
		b.WriteString("[" + name + "]\n")
		if which == "base" || m.chance(20) {
			m.option(&b, "enabled", m.pick("true", "true", "TRUE", "1", "on"))
		}
		if m.chance(70) {
			m.option(&b, "filter", m.pick(m.spec("f"), m.spec("f"), m.spec("g"), ""))
		}
		if m.chance(60) {
			m.option(&b, "action", m.pick(m.spec("act"), m.spec("act2"), m.spec("act")+"\n  "+m.spec("act2"), "py.py[a=1, actname=\"ü\"]"))
		}
		for _, o := range []string{
			"backend = auto", "backend = systemd", "backend = polling", "maxretry = 3", "maxretry = 1_0", "findtime = 10m", "bantime = 1d 12h",
			"bantime.increment = " + m.pick("true", "y", "0"), "ignoreip = 10.0.0.1, ::1\n  h  i,,j", "ignorecommand =", "ignoreself = false",
			"logpath = /etc/hosts\n  /etc/hostname tail", "logpath = /etc/host*", "logencoding = auto", "maxlines = 5", "prefregex =", "journalmatch = a=b + 'c d'\n e",
			"maxmatches = " + m.pick("+1", "٤", "-2", " 0"), "bantime.factor = " + m.pick("1", "%(base)s", ""), "logtimezone = UTC+01", "ignorecache = key=\"<ip>\"",
		} {
			if m.chance(15) && !strings.Contains(b.String()[strings.LastIndex(b.String(), "\n[")+1:], o[:strings.IndexByte(o, ' ')]+" =") {
				b.WriteString(o + "\n")
			}
		}
		for _, k := range append([]string{"failregex", "ignoreregex", "datepattern"}, plainKeys...) {
			if m.chance(20) {
				m.option(&b, k, m.valueOf(k, "jail")+m.pick("", "%(known/"+strings.ToLower(m.key())+")s"))
			}
		}
	}
	return b.String()
}

func (m *treeMaker) defFile(in string, base bool) string {
	var b strings.Builder
	if base && m.chance(40) {
		b.WriteString("[INCLUDES]\nbefore = common.conf\n")
		if m.chance(50) {
			b.WriteString("after = common2.conf\n")
		}
	}
	if base || m.chance(30) {
		b.WriteString("[DEFAULT]\n")
		for _, k := range append([]string{"base", "which", "logtype"}, plainKeys...) {
			if k != "which" && k != "logtype" && base || m.chance(40) {
				m.option(&b, k, m.pick("dd", "ee", "<"+k+"s>", "ff gg"))
			}
		}
	}
	ops := []string{"failregex", "ignoreregex", "prefregex", "datepattern", "logtype"}
	if in == "action" {
		ops = []string{"actionstart", "actionstop", "actionban", "actionunban", "actioncheck", "norestored", "actionstart_on_demand", "bantime", "timeout"}
	}
	m.section(&b, "Definition", in, 60, append(ops, append([]string{"which", "two-a", "two-b"}, plainKeys...)...)...)
	if m.chance(70) {
		b.WriteString("[Init]\n")
		for _, k := range append([]string{"which", "timeout", ops[0]}, plainKeys...) {
			if m.chance(30) {
				m.option(&b, k, m.pick("init", "a", "b", "c", "<base>", "i j", "%(base)s"))
			}
		}
	}
	if m.chance(50) && (in == "action" || m.chance(30)) {
		name := m.pick("Init?family=inet6", "Init?family=inet6", "Init?family=inet4", "Definition?family=inet6", "other?x=y")
		if in == "filter" && name[0] == 'D' {
			name = "Init?any" // what fail2ban makes of such options depends on what it has met before
		}
		b.WriteString("[" + name + "]\n")
		for _, k := range append([]string{ops[2]}, plainKeys...) {
			if m.chance(30) {
				m.option(&b, k, m.pick("six", "<base>", "<nowhere>"))
			}
		}
	}
	if base || m.chance(40) {
		m.section(&b, "other", in, 95, plainKeys...)
	}
	return b.String()
}

func (m *treeMaker) tree() map[string]string {
	files := map[string]string{
		"fail2ban.conf":         "[Definition]\nlogtarget = STDERR\n",
		"jail.conf":             m.jailFile("base"),
		"inc.conf":              m.jailFile("inc"),
		"filter.d/f.conf":       m.defFile("filter", true),
		"filter.d/g.conf":       m.defFile("filter", true),
		"filter.d/common.conf":  m.defFile("filter", false),
		"action.d/act.conf":     m.defFile("action", true),
		"action.d/act2.conf":    m.defFile("action", true),
		"action.d/common.local": m.defFile("action", false),
		"action.d/common.conf":  "",
		"action.d/py.py":        "",
	}
	for _, f := range []string{"jail.local", "jail.d/a.conf", "jail.d/a.local", "jail.d/b.local", "inc.local", "inc2.conf"} {
		if m.chance(25) {
			files[f] = m.jailFile("over")
		}
	}
	for _, f := range []string{"filter.d/f.local", "filter.d/f.d/x.conf", "filter.d/common.local", "action.d/act.local"} {
		if m.chance(25) {
			files[f] = m.defFile(strings.Split(f, ".")[0], false)
		}
	}
	return files
}

// randomTrees is how many trees a run of the tests makes; each has two jails. The seeds are fixed.
const randomTrees = 150

// Whatever a tree is made of, our commands are fail2ban's. Where fail2ban refuses a whole
// configuration, we have an error to show. There are three exceptions, all kinder: a value that
// contains itself hurts only where it is used, so does a broken one that a parameter replaces, and
// two actions of one name, which fail2ban's server would refuse, cost one jail.
func TestStreamOfRandomTreesEqualsFail2bans(t *testing.T) {
	base := t.TempDir()
	var dirs []string
	for seed := range uint64(randomTrees) {
		m := &treeMaker{Rand: rand.New(rand.NewPCG(seed, 1))}
		dir := filepath.Join(base, strconv.FormatUint(seed, 10))
		writeFiles(t, dir, m.tree())
		dirs = append(dirs, dir)
	}
	usable := 0
	for i, theirs := range batch(t, dirs) {
		ours, err := Load(Options{Dir: dirs[i], Release: Release10, Version: "1.0.2"})
		if err != nil {
			t.Fatal(err)
		}
		if !theirs.OK {
			if len(ours.Errors()) == 0 && !strings.Contains(theirs.Why, "self referencing") {
				t.Errorf("seed %d: fail2ban refuses this, we do not: %s", i, theirs.Why)
			}
			continue
		}
		usable++
		if slices.ContainsFunc(ours.Problems, func(p Problem) bool { return strings.HasPrefix(p.Msg, "two actions") }) {
			continue
		}
		for _, d := range diff(comparableStream(t, ours.Stream()), comparableStream(t, theirs.Stream)) {
			t.Errorf("seed %d: %s", i, d)
		}
	}
	if usable < randomTrees/2 {
		t.Errorf("fail2ban takes only %d of %d trees: the test has become blind", usable, randomTrees)
	}
}
