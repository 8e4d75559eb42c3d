package config

import (
	"time"
)

// Jail is an enabled jail whose configuration is sound.
type Jail struct {
	Name string
	// Backend is what reads the logs, as it was written: "auto", "polling", "pyinotify", or
	// "systemd" with options in brackets. BackendSpec is the same in parts.
	Backend     string
	BackendSpec Spec
	LogPaths    []LogPath
	LogEncoding string // "auto" if not set
	LogTimezone string // "" if not set
	// Filter is the name in filter.d, "" for none; FilterSpec is with its parameters.
	Filter       string
	FilterSpec   Spec
	PrefRegex    string
	FailRegex    []string
	IgnoreRegex  []string
	DatePattern  string // several patterns are several lines; "" for the default ones
	MaxLines     int    // at least 1
	JournalMatch [][]string
	UseDNS       string // "yes", "warn", "no" or "raw"

	MaxRetry   int           // at least 1
	FindTime   time.Duration // above 0
	BanTime    time.Duration // negative: permanent
	MaxMatches int           // lines kept of an offender; 0 for none
	Increment  Increment

	IgnoreIP      []string // addresses, networks, host names, "file:PATH"
	IgnoreSelf    bool
	IgnoreCommand string
	IgnoreCache   string // as it was written: key="…", max-count=…, max-time=…

	Actions []Action

	origins map[string]Origin
}

// LogPath is one entry of logpath.
type LogPath struct {
	Pattern string // a path that may hold *, ? and […]
	Tail    bool   // begin at the end of the file instead of its beginning
	Origin  Origin
}

// Increment is how ban times grow for an offender who comes back.
type Increment struct {
	Enabled      bool
	Factor       string        // an expression; "" for 1
	Formula      string        // an expression; "" for the default one
	Multipliers  string        // numbers between blanks; "" for none
	MaxTime      time.Duration // 0 for no limit
	RndTime      time.Duration // up to this much is added at random; 0 for nothing
	OverallJails bool          // count the bans of all jails
}

// Defaults of a jail where nobody sets the option: those of fail2ban's server.
const (
	defaultMaxRetry   = 3
	defaultFindTime   = 600 * time.Second
	defaultBanTime    = 600 * time.Second
	defaultMaxMatches = 5
)

// Origin says where the option that a key names was set: in the jail, its defaults, or its filter.
// Zero if nowhere.
func (j *Jail) Origin(key string) Origin { return j.origins[key] }

// Journal reports whether the jail reads the journal instead of log files.
func (j *Jail) Journal() bool { return isSystemd(j.Backend) }

// Action is one action of a jail.
type Action struct {
	Name string // unique in its jail
	File string // the name in action.d, for a Python action with its extension
	// Files are the configuration files that the action came from, in the order in which they were
	// read; none for a Python action.
	Files []string
	// Python is set for an action written in Python: Path is its file, Params are its arguments.
	Python bool
	Path   string
	// Options are the operations (actionban, …) and switches with their tags filled in, as far as
	// that is possible before a ban; in the order of fail2ban.
	Options []Param
	// Params are the parameters of the spec, then name and actname where it lacks them, then what
	// [Init] adds, as they were written. A tag in an operation that was left for later may name any of
	// them. Names with a "?" are for one family of addresses.
	Params []Param
	// Spec is what the jail wrote.
	Spec Spec
	// Origin is where the jail names the action.
	Origin  Origin
	origins map[string]Origin
}

// Param is the value of a parameter, or of an [Init] option.
func (a *Action) Param(name string) (value string, ok bool) { return param(a.Params, name) }

// Option is an operation or switch of the action; switches are "True" or "False".
func (a *Action) Option(name string) (value string, ok bool) { return param(a.Options, name) }

// OptionOrigin says where an operation was written; zero if nowhere.
func (a *Action) OptionOrigin(name string) Origin { return a.origins[name] }
