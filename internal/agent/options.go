package agent

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/text/encoding"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/internal/store"
)

// Options is a configuration that has been read, checked and turned into values. A jail with a
// problem is not in it; the problem is.
type Options struct {
	Jails    []Jail
	Problems []control.Problem // what is wrong with the configuration; shown until the next reload

	// Broken names jails that are enabled but cannot run as written. At a start they do not run; at a
	// reload one that runs already goes on as it was.
	Broken []string
}

// Jail is one jail, ready to run.
type Jail struct {
	Policy jail.Policy

	// Filter says what a line means. FilterID is equal for filters made from equal options: a reload
	// that leaves it alone keeps the filter's memory and the readers of its files.
	Filter   *filter.Filter
	FilterID string

	Files    []Files
	Journal  *source.JournalOptions // read the journal, besides any files; Start and Since are the agent's
	OwnLog   bool                   // be told of the daemon's own bans, besides any files; see OwnLogPath
	Poll     bool                   // look at files by polling, not by inotify
	Encoding encoding.Encoding      // of the files; nil is UTF-8

	UseDNS filter.UseDNS
	Ignore Ignore

	// Scopes are what a ban of this jail closes, one entry per firewall action that is taken over, all
	// with the jail's Owner. Without any, bans are counted and kept but nothing enforces them.
	Scopes []firewall.Scope
	// Scripts are the actions that are run as scripts, in the order of the configuration. Their names are
	// unique in the jail.
	Scripts []action.Definition
	Actions []control.Action // for status: what the configuration asks for and who does it
}

// Name is the jail's name.
func (j Jail) Name() string { return j.Policy.Jail }

// Owner is the name that the bans of a jail have in the firewall.
func Owner(jailName string) string { return "jail:" + jailName }

// Files is one entry of logpath.
type Files struct {
	Pattern string // a path, or a pattern with *, ? and [...]; it gains files while we run
	Tail    bool   // a file met for the first time is read from its end
}

// Ignore is what a jail never bans.
type Ignore struct {
	Entries []string     // addresses, networks, host names, raw IDs, file:PATH
	Self    bool         // the machine's own addresses
	Command string       // a shell command; exit status 0 means ignore
	Cache   *IgnoreCache // remembers decisions; nil remembers none
}

// IgnoreCache bounds how long and how many ignore decisions are remembered.
type IgnoreCache struct {
	Key      string        // a text with tags, as "<ip>"; equal results share a decision
	MaxCount int           // decisions
	MaxTime  time.Duration // age of a decision
}

// Store keeps what must outlive the process. Implemented by store.DB.
type Store interface {
	// Load reads everything. It is called once, before the first Commit.
	Load() (store.Snapshot, error)
	// Commit writes the batch in one transaction: all of it is durable when Commit returns nil, and
	// none of it is visible after an error. It may block for as long as the disk does.
	Commit(store.Batch) error
}

// Outbox is told of what is decided and says what of it is to be reported to others. The methods are called by
// one goroutine and must not wait. Rows are written in the transaction of what led to them.
type Outbox interface {
	// Stage gives the rows that follow from decisions.
	Stage(decisions []jail.Decision) []store.OutboxRow
	// Stored is told that rows are on the disk.
	Stored(rows []store.OutboxRow)
}

// Lists are addresses that concern all jails alike. Their methods do not wait, and are called by several
// goroutines.
type Lists interface {
	// Allowed reports whether an ID is never to be banned, and the name of the list that says so. A network
	// is allowed if some of it is.
	Allowed(id ident.ID) (by string, ok bool)
	// Suspect names the list by which an address is to be banned at its first failure; empty if there is none.
	Suspect(a netip.Addr) (by string)
}

// Firewall brings the kernel's sets in line with what is wished. Implemented by firewall.Keeper.
type Firewall interface {
	// Run works until ctx ends. An error means that nothing is enforced any more.
	Run(ctx context.Context) error
	// SetScopes replaces all scopes; what an owner has wished holds in its new ones. The wishes of an
	// owner without a scope enforce nothing. It does not block.
	SetScopes(scopes []firewall.Scope)
	// Submit hands over wishes; the newest per owner and prefix counts. It does not block.
	Submit(wishes []firewall.Wish)
	// Sync waits until the kernel has acknowledged all that was submitted before.
	Sync(ctx context.Context) error
	// Status tells how the firewall stands.
	Status() firewall.Status
	// Contents lists what the kernel holds, at most limit elements.
	Contents(ctx context.Context, limit int) ([]firewall.Element, error)
	// SetAllow says what nothing may block. It does not block.
	SetAllow(allow cidr.Ranges)
	// Find gives a page of what is blocked.
	Find(ctx context.Context, q firewall.Query) (firewall.Page, error)
	// Verify compares the kernel with what is wished.
	Verify(ctx context.Context, progress func(done, total int)) (firewall.Verification, error)
	// Close gives the firewall up after Run has ended: it stays as it is if keep is set, and is
	// cleared otherwise.
	Close(keep bool) error
}
