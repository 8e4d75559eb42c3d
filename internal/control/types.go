package control

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNoJail says that there is no such jail.
	ErrNoJail = errors.New("there is no such jail")
	// ErrInvalid says that the request makes no sense as it stands.
	ErrInvalid = errors.New("bad request")
)

// Service is what the daemon does for those who ask over the socket. Every method is safe for
// concurrent use and ends with its context. An error is for the peer to read, one line, with the next
// step; ErrNoJail and ErrInvalid tell the server which status to answer with.
type Service interface {
	// Status tells how the daemon and its jails stand.
	Status(ctx context.Context) (Status, error)
	// Jail tells about one jail; ErrNoJail if there is none of that name.
	Jail(ctx context.Context, name string) (JailStatus, error)
	// Banned lists the bans in force, at most limit of them (0: all), of one ID or, if id is empty, of
	// all; then without their lines and data.
	Banned(ctx context.Context, id string, limit int) (Banned, error)
	// Ban bans the IDs in a jail. It returns once the firewall and the disk have them, or says in the
	// result which of the two is still owing.
	Ban(ctx context.Context, r BanRequest) (ChangeResult, error)
	// Unban lifts bans, with what is remembered of the IDs.
	Unban(ctx context.Context, r UnbanRequest) (ChangeResult, error)
	// Reload reads the configuration again. With Problems and Applied false, the old one is in force.
	Reload(ctx context.Context) (ReloadResult, error)
	// Why tells all that is known of an ID.
	Why(ctx context.Context, id string) (Why, error)
	// Import takes over bans of another program. What is held already stays.
	Import(ctx context.Context, r ImportRequest) (ImportResult, error)
	// Stop begins the end and returns. With keep, the firewall keeps its bans until the next start.
	Stop(ctx context.Context, keep bool) error
	// Firewall tells how the firewall stands, with at most limit elements of the kernel's.
	Firewall(ctx context.Context, limit int) (Firewall, error)
	// Blocked gives a page of what is blocked, by bans and by feeds.
	Blocked(ctx context.Context, q BlockedQuery) (Blocked, error)
	// Verify compares the kernel with what is wished, and tells progress how far it is.
	Verify(ctx context.Context, progress func(done, total int)) (Verification, error)
	// Events sends events to each until ctx ends or each returns an error. Events that a slow peer
	// could not take are replaced by one of kind "dropped".
	Events(ctx context.Context, each func(Event) error) error
}

// Problem is one thing wrong with the configuration.
type Problem struct {
	Severity string `json:"severity"` // "error" or "warning"
	Jail     string `json:"jail,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Section  string `json:"section,omitempty"`
	Key      string `json:"key,omitempty"`
	Value    string `json:"value,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"` // what to do about it
}

// Status is the state of the daemon.
type Status struct {
	Version  string        `json:"version"`
	PID      int           `json:"pid"`
	Started  time.Time     `json:"started"`
	Health   string        `json:"health"` // "ok" or "degraded"
	Reasons  []string      `json:"reasons,omitempty"`
	Config   string        `json:"config"` // directory, or "(stock)"
	Firewall FirewallState `json:"firewall"`
	Database string        `json:"database"`
	Jails    []JailSummary `json:"jails"` // sorted by name
	Problems []Problem     `json:"problems,omitempty"`
}

// FirewallState is how enforcement stands.
type FirewallState struct {
	Backend  string   `json:"backend"`
	Elements int      `json:"elements"`          // in the kernel
	Desired  int      `json:"desired"`           // wished
	Pending  int      `json:"pending"`           // wished, not acknowledged by the kernel yet
	Error    string   `json:"error,omitempty"`   // why the last try failed
	Notes    []string `json:"notes,omitempty"`   // as: the table is owned by the daemon
	Rebuilt  int      `json:"rebuilt,omitempty"` // how often the table was made anew since the start
}

// JailSummary is a jail in one line.
type JailSummary struct {
	Name            string `json:"name"`
	CurrentlyFailed int    `json:"currently_failed"`
	TotalFailed     int    `json:"total_failed"` // since the start
	CurrentlyBanned int    `json:"currently_banned"`
	TotalBanned     int    `json:"total_banned"` // since the start
}

// JailStatus is a jail in full.
type JailStatus struct {
	JailSummary
	MaxRetry int         `json:"maxretry"`
	FindTime int64       `json:"findtime"` // seconds
	BanTime  int64       `json:"bantime"`  // seconds; negative: permanent
	Files    []File      `json:"files"`
	Lines    int64       `json:"lines"`          // looked at since the start, in all files
	Matched  int64       `json:"matched"`        // of these
	Ignored  int64       `json:"ignored"`        // of these, by ignoreregex or as no failure in themselves
	GaveUp   int64       `json:"gave_up"`        // searches stopped at the limit of a regex
	Slow     []SlowRegex `json:"slow,omitempty"` // the regexes that were, the worst first
	Actions  []Action    `json:"actions"`
	Bans     []Ban       `json:"bans"`
	Tallies  []Tally     `json:"tallies,omitempty"` // those who failed and are not banned, newest first; at most 1000
}

// SlowRegex is a regex of which searches were stopped at their limit: no line may take longer. Such a search
// bans nobody.
type SlowRegex struct {
	Option string `json:"option"` // failregex, prefregex or ignoreregex
	Number int    `json:"number"` // its number there, from 1
	Count  int64  `json:"count"`
	Regex  string `json:"regex"`
}

// File is a log file that a jail watches.
type File struct {
	Path   string `json:"path"`
	State  string `json:"state"` // "reading", "missing", "denied", …
	Error  string `json:"error,omitempty"`
	Offset int64  `json:"offset"` // bytes read
	Size   int64  `json:"size"`
	Lines  int64  `json:"lines"`
}

// Action is what the configuration wants done on a ban, and who does it.
type Action struct {
	Name   string `json:"name"`
	Native bool   `json:"native"` // by our own firewall
	Note   string `json:"note,omitempty"`
	// Script tells how an action stands that is run as a script.
	Script *Script `json:"script,omitempty"`
}

// Script is how an action stands that is run as a script. Counts are since the start of the jail.
type Script struct {
	Started  []string   `json:"started,omitempty"` // the families of addresses whose actionstart was run; "" is all
	Waiting  int        `json:"waiting"`           // bans and the like that have not had their turn
	Running  string     `json:"running,omitempty"` // the operation that is under way, as "actionban"
	Since    *time.Time `json:"since,omitempty"`   // and since when
	Executed uint64     `json:"executed"`          // commands
	Failed   uint64     `json:"failed"`            // of these
	TimedOut uint64     `json:"timed_out"`         // of these
	Canceled uint64     `json:"canceled"`          // bans that were over before they had their turn
	Dropped  uint64     `json:"dropped"`           // wishes that were dropped, since too many waited
	Error    string     `json:"error,omitempty"`   // the last one
	ErrorAt  *time.Time `json:"error_at,omitempty"`
}

// Ban is one ban in force.
type Ban struct {
	Jail      string            `json:"jail"`
	ID        string            `json:"id"`
	Since     time.Time         `json:"since"`
	Until     *time.Time        `json:"until"`    // null: permanent
	Duration  int64             `json:"duration"` // seconds; negative: permanent
	Count     int               `json:"count"`    // which ban of this ID in this jail it is
	Failures  int               `json:"failures"`
	Origin    string            `json:"origin"` // "local", "manual", "restored", "imported"
	LastLines []string          `json:"last_lines,omitempty"`
	Data      map[string]string `json:"data,omitempty"`
}

// Tally is what has been counted against an ID that is not banned.
type Tally struct {
	ID       string    `json:"id"`
	Weighted int       `json:"weighted"` // what is compared with maxretry
	Failures int       `json:"failures"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// WhyFeed is a feed that lists an ID, or a network that holds it.
type WhyFeed struct {
	Feed  string `json:"feed"`
	Entry string `json:"entry"` // as the firewall has it
}

// Banned answers a question for bans.
type Banned struct {
	// Feeds are entries of feeds that hold the ID. agentctl adds them.
	Feeds []BlockedEntry `json:"feeds,omitempty"`
	Total int            `json:"total"` // in force, whatever the limit cut
	Bans  []Ban          `json:"bans"`
}

// BanRequest asks for bans by hand.
type BanRequest struct {
	Jail    string   `json:"jail"`
	IDs     []string `json:"ids"`
	Seconds *int64   `json:"seconds,omitempty"` // negative: permanent; absent: as the jail would
	Force   bool     `json:"force,omitempty"`   // even what the jail ignores
}

// UnbanRequest asks to lift bans.
type UnbanRequest struct {
	Jail string   `json:"jail,omitempty"` // empty: every jail
	IDs  []string `json:"ids,omitempty"`
	All  bool     `json:"all,omitempty"`
}

// Change is what happened to one ID.
type Change struct {
	Jail  string `json:"jail,omitempty"`
	ID    string `json:"id"`
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"` // why not
}

// ChangeResult is what a ban or unban did.
type ChangeResult struct {
	Changes []Change `json:"changes"`
	Owing   []string `json:"owing,omitempty"` // as: "store: no space left on device"; it is tried again
}

// ReloadResult is what a reload did.
type ReloadResult struct {
	Applied  bool      `json:"applied"`
	Jails    []string  `json:"jails"` // running now
	Problems []Problem `json:"problems,omitempty"`
}

// Why is all that is known of an ID: why it is banned, or how near it is to that.
type Why struct {
	ID        string       `json:"id"`
	Bans      []WhyBan     `json:"bans"`                // of the ID, or of a network that holds it
	Tallies   []WhyTally   `json:"tallies,omitempty"`   // in jails that do not ban it
	Histories []WhyHistory `json:"histories,omitempty"` // bans that are over, where jails remember
	Ignored   []WhyIgnored `json:"ignored,omitempty"`   // jails that never ban it
	Feeds     []WhyFeed    `json:"feeds,omitempty"`     // that list it
	Kernel    []Element    `json:"kernel,omitempty"`    // what the kernel holds of it
	// Unsure says why the kernel could not be asked.
	Unsure string   `json:"unsure,omitempty"`
	Jails  []string `json:"jails"` // that run, sorted
}

// WhyBan is a ban with its reasons.
type WhyBan struct {
	Ban
	Lines   []WhyLine `json:"lines"`
	BanTime int64     `json:"jail_bantime"` // seconds; what the jail bans for the first time; negative: for ever
	// Escalates says that the jail bans for longer who comes back.
	Escalates bool     `json:"escalates"`
	MaxRetry  int      `json:"maxretry"`
	FindTime  int64    `json:"findtime"` // seconds
	Logs      []string `json:"logs"`     // that the jail reads
	Actions   []Action `json:"actions"`
}

// WhyLine is a line that a ban is for, and the regex that found it, where it can be told from the line alone.
type WhyLine struct {
	Text  string `json:"text"`
	Regex int    `json:"regex,omitempty"` // its number among the failregexes, from 1; 0 is unknown
	Found string `json:"found,omitempty"` // the regex
}

// WhyTally is a count that is not enough yet.
type WhyTally struct {
	Jail string `json:"jail"`
	Tally
	MaxRetry int       `json:"maxretry"`
	Forgets  time.Time `json:"forgets"` // when it is forgotten unless there is another failure
}

// WhyHistory is what a jail remembers of bans.
type WhyHistory struct {
	Jail     string    `json:"jail"`
	Count    int       `json:"count"`
	Last     time.Time `json:"last"`
	Duration int64     `json:"duration"` // seconds; negative: for ever
}

// WhyIgnored is a jail that never bans an ID.
type WhyIgnored struct {
	Jail string `json:"jail"`
	By   string `json:"by"` // the rule
}

// ImportRequest asks to take over bans and places in logs. A large one is sent in parts.
type ImportRequest struct {
	Bans      []ImportBan      `json:"bans,omitempty"`
	Positions []ImportPosition `json:"positions,omitempty"`
	DryRun    bool             `json:"dry_run,omitempty"` // only tell what would be done
}

// ImportBan is a ban, and with it that its ID was banned so often.
type ImportBan struct {
	Jail     string            `json:"jail"`
	ID       string            `json:"id"`
	Start    time.Time         `json:"start"`    // of the failure that it is counted from
	Duration int64             `json:"duration"` // seconds; -1: permanent, -2: unknown, as long as the jail bans
	Count    int               `json:"count"`
	Failures int               `json:"failures"`
	Lines    []string          `json:"lines,omitempty"`
	Data     map[string]string `json:"data,omitempty"`
}

// ImportPosition is how far a jail has read a log.
type ImportPosition struct {
	Jail   string `json:"jail"`
	Path   string `json:"path"`
	Offset int64  `json:"offset"` // bytes
	First  string `json:"first"`  // SHA-1 of the first line with its newline, in hexadecimal
}

// ImportResult is what an import did, or would do, by jail.
type ImportResult struct {
	Jails []ImportedJail `json:"jails"` // sorted by name
}

// ImportedJail is what an import did for a jail.
type ImportedJail struct {
	Jail      string `json:"jail"`
	Runs      bool   `json:"runs"`      // the jail is there; what is taken of others is kept for the day that they are
	Bans      int    `json:"bans"`      // taken
	Known     int    `json:"known"`     // bans that are held already
	Over      int    `json:"over"`      // bans that have ended
	Ignored   int    `json:"ignored"`   // bans of those whom the jail ignores
	Histories int    `json:"histories"` // how often IDs were banned, taken
	Positions int    `json:"positions"` // places in logs, taken
}

// Fail2banRequest is a request of fail2ban's protocol, without what ends it there.
type Fail2banRequest struct {
	Request []byte `json:"request"`
}

// Fail2banAnswer is the answer to one.
type Fail2banAnswer struct {
	Answer []byte `json:"answer"`
}

// Firewall is what the kernel holds.
type Firewall struct {
	FirewallState
	Memory    int64     `json:"memory,omitempty"` // about how much of the kernel's, in bytes; absent if not known
	LastBatch *Batch    `json:"last_batch,omitempty"`
	Sets      []Set     `json:"sets"`
	Hooks     []Hook    `json:"hooks"`              // who handles packets on this machine, in the order of a packet's way
	Warnings  []string  `json:"warnings,omitempty"` // what could pass by our rules
	Contents  []Element `json:"contents"`
	Truncated bool      `json:"truncated,omitempty"`
}

// Batch is a change of elements.
type Batch struct {
	Changes int       `json:"changes"` // elements
	Seconds float64   `json:"seconds"` // until the kernel had acknowledged them
	At      time.Time `json:"at"`
}

// Hook is a place at which somebody handles packets.
type Hook struct {
	Where    string `json:"where"` // "ingress", "prerouting", "input", ...
	Family   string `json:"family,omitempty"`
	Priority int    `json:"priority"` // lower ones come first
	Device   string `json:"device,omitempty"`
	By       string `json:"by"`
	Effect   string `json:"effect"` // what it means for us
	Ours     bool   `json:"ours,omitempty"`
}

// BlockedQuery asks for a page of what is blocked.
type BlockedQuery struct {
	Owner  string // as "jail:sshd"; all jails or feeds with "jail:" or "feed:"; empty for everybody's
	Within string // a network that entries are to be inside of; empty for all
	Holds  string // an address or network that entries are to hold; empty for all
	After  string // Blocked.Next of the page before; empty for the first
	Limit  int    // 1 to 10,000; 0 is 100
	Hits   bool   // ask the kernel how often each was met
}

// Blocked is a page of what is blocked, in the order of addresses.
type Blocked struct {
	Entries []BlockedEntry `json:"entries"`
	Next    string         `json:"next,omitempty"` // absent on the last page
	Total   *int           `json:"total"`          // without regard to pages; null if it was not counted
}

// BlockedEntry is an address or network that is blocked.
type BlockedEntry struct {
	Prefix string         `json:"prefix"`
	Owners []BlockedOwner `json:"owners"`
	Sets   []string       `json:"sets"` // of the kernel
	Hits   *Hits          `json:"hits,omitempty"`
}

// BlockedOwner is who wants an entry.
type BlockedOwner struct {
	Owner string     `json:"owner"`
	Until *time.Time `json:"until"` // null: for ever, or for as long as a feed lists it
}

// Hits is what the kernel has counted for an entry. Only bans are counted, and only with hits = yes.
type Hits struct {
	Present bool   `json:"present"` // the kernel holds it
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Verification is the kernel compared with what is wished.
type Verification struct {
	Right    bool     `json:"right"`
	Wanted   int      `json:"wanted"`
	Held     int      `json:"held"` // -1: the kernel does not count
	Missing  int      `json:"missing"`
	Strays   int      `json:"strays"` // -1: not known
	Examples []string `json:"examples,omitempty"`
	Rules    string   `json:"rules,omitempty"` // what is wrong with them
	Seconds  float64  `json:"seconds"`
}

// Set is one set in the kernel.
type Set struct {
	Name    string `json:"name"`
	Count   int    `json:"count"`   // that the kernel has acknowledged
	Desired int    `json:"desired"` // wished
}

// Element is one entry of a set in the kernel.
type Element struct {
	Set     string `json:"set"`
	Prefix  string `json:"prefix"`
	Expires *int64 `json:"expires"` // seconds from now; null: never
}

// EventKinds are the kinds of events but "dropped", which nobody asks for.
func EventKinds() []string {
	return []string{"found", "ignored", "ban", "already", "prolong", "restore", "unban", "expired", "evicted"}
}

// Event is something that happened. Kind is one of "found", "ignored", "ban", "already", "prolong",
// "restore", "unban", "expired" (a failure so old that its ban would be over), "evicted" and
// "dropped" (Count events lost to a slow peer).
type Event struct {
	Time     time.Time  `json:"time"`
	Kind     string     `json:"kind"`
	Jail     string     `json:"jail,omitempty"`
	ID       string     `json:"id,omitempty"`
	LogTime  *time.Time `json:"log_time,omitempty"` // of the line that is the reason
	Until    *time.Time `json:"until,omitempty"`
	Duration int64      `json:"duration,omitempty"` // seconds; negative: permanent
	Failures int        `json:"failures,omitempty"`
	Count    int        `json:"count,omitempty"`
	By       string     `json:"by,omitempty"` // the rule that ignored it
}
