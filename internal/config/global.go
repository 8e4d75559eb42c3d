package config

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Global are the options of fail2ban.conf. Texts are as they were written; what was not set has
// fail2ban's own default.
type Global struct {
	LogLevel     string
	LogTarget    string
	SyslogSocket string
	Socket       string
	PIDFile      string
	AllowIPv6    string        // "auto", or a switch
	DBFile       string        // "None" for no database
	DBPurgeAge   time.Duration // how long ended bans are remembered
	DBMaxMatches int           // lines kept per ban
	StackSize    int           // KiB, of a thread; 0 for the system's own
	origins      map[string]Origin
}

// Origin says where an option of fail2ban.conf was set; zero if nowhere.
func (g Global) Origin(key string) Origin { return g.origins[key] }

// Defaults of fail2ban.conf that are no empty text.
const (
	defaultPurgeAge     = 24 * time.Hour
	defaultDBMaxMatches = 10
)

// global reads fail2ban.conf. What is wrong in it is reported and replaced by its default.
func (l *loader) global() {
	g := &l.config.Global
	*g = Global{
		LogLevel: "INFO", LogTarget: "/var/log/fail2ban.log", SyslogSocket: "auto",
		Socket: "/var/run/fail2ban/fail2ban.sock", PIDFile: "/var/run/fail2ban/fail2ban.pid",
		AllowIPv6: "auto", DBFile: "/var/lib/fail2ban/fail2ban.sqlite3",
		DBPurgeAge: defaultPurgeAge, DBMaxMatches: defaultDBMaxMatches, origins: map[string]Origin{},
	}
	set, found := l.files.load("fail2ban")
	if !found {
		l.report(Origin{File: l.opts.Dir}.Problem(Warning, "", "there is no fail2ban.conf; its defaults are used", ""))
		set = newFileSet()
	}
	r := globalReader{loader: l, ev: evaluator{set: set, doubt: func(at Origin, why *Problem) {
		l.report(at.Problem(Error, "", "not clear: "+why.Error(), ""))
	}}}
	for _, o := range []struct {
		key    string
		target *string
		send   bool
	}{
		{"syslogsocket", &g.SyslogSocket, true},
		{"loglevel", &g.LogLevel, true},
		{"logtarget", &g.LogTarget, true},
		{"allowipv6", &g.AllowIPv6, true},
		{"dbfile", &g.DBFile, true},
		{"socket", &g.Socket, false},
		{"pidfile", &g.PIDFile, false},
	} {
		r.text(o.key, o.target, o.send)
	}
	r.logLevel()
	r.maxMatches()
	r.purgeAge()
	r.stackSize()
}

// logLevels are the names that fail2ban takes; it takes numbers, too.
var logLevels = []string{"CRITICAL", "FATAL", "ERROR", "MSG", "WARNING", "WARN", "NOTICE", "INFO", "DEBUG", "TRACEDEBUG", "HEAVYDEBUG"}

// logLevel warns of a level that fail2ban would refuse to start with.
func (r *globalReader) logLevel() {
	at, set := r.config.Global.origins["loglevel"]
	if _, err := parseInt(r.config.Global.LogLevel); !set || err == nil || slices.Contains(logLevels, strings.ToUpper(r.config.Global.LogLevel)) {
		return
	}
	at.Value = r.config.Global.LogLevel
	r.report(at.Problem(Warning, "", "there is no such level", "use CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG"))
}

// globalReader reads the options one by one and sends what the server wants to hear.
type globalReader struct {
	*loader
	ev evaluator
}

func (r *globalReader) get(section, key string) (value string, at Origin, ok bool) {
	v, err := r.ev.get(section, key)
	if errors.Is(err, errUnset) {
		return "", Origin{}, false
	}
	at = r.ev.origin(section, key)
	if err != nil {
		f := asFault(err)
		r.report(f.at.Problem(Error, "", f.msg, f.hint))
		return "", at, false
	}
	r.config.Global.origins[key] = at
	return v, at, true
}

func (r *globalReader) text(key string, target *string, send bool) {
	if v, _, ok := r.get(definitionSection, key); ok {
		*target = v
	}
	if send {
		r.emit("set", key, *target)
	}
}

// integer reads a whole number above or equal to zero. sent is what fail2ban's client sends for it.
func (r *globalReader) integer(section, key string, target *int) (sent any, ok bool) {
	v, at, ok := r.get(section, key)
	if !ok {
		return nil, false
	}
	if n, err := parseInt(v); err == nil && n >= 0 {
		*target = n
	} else {
		at.Value = v
		r.report(at.Problem(Error, "", "a whole number is wanted; the default is used", intHint(v)))
	}
	return typed(intKind, v), true
}

func (r *globalReader) maxMatches() {
	sent, ok := r.integer(definitionSection, "dbmaxmatches", &r.config.Global.DBMaxMatches)
	if ok || !r.ev.set.has(definitionSection) {
		r.emit("set", "dbmaxmatches", sent)
	}
}

func (r *globalReader) purgeAge() {
	v, at, ok := r.get(definitionSection, "dbpurgeage")
	if !ok {
		r.emit("set", "dbpurgeage", "1d")
		return
	}
	r.emit("set", "dbpurgeage", v)
	d, err := ParseTime(v)
	if err != nil {
		at.Value = v
		r.report(at.Problem(Error, "", "no time: "+err.Error()+"; the default is used", timeHint(v)))
		return
	}
	r.config.Global.DBPurgeAge = d
}

func (r *globalReader) stackSize() {
	if sent, ok := r.integer("Thread", "stacksize", &r.config.Global.StackSize); ok {
		r.config.stream = append([][]any{{"set", "thread", map[string]any{"stacksize": sent}}}, r.config.stream...)
	}
}
