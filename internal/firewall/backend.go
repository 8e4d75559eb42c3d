package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Backend is the kernel's side of the firewall. The Keeper calls it from one goroutine at a time. Calls
// block for as long as the kernel does, and may be repeated: what is there already, or gone already, is
// fine.
type Backend interface {
	// About says what the backend is and how it stands. It does not block, and it may be called before
	// anything else.
	About() About
	// Survey is the first call, and is repeated after any doubt. It takes over what an earlier process of
	// ours has left, removes nothing that protects, and says what of the layout stands.
	Survey(l Layout) (Standing, error)
	// Prepare makes the sets of l that do not stand, empty. Rules stay as they are: no packet is looked
	// up in new sets yet.
	Prepare(l Layout) error
	// Apply takes elements in and removes them, in sets that stand. Wholly or not at all where the kernel
	// can; otherwise additions come before removals, and after an error any part may have been done.
	// ErrLost says that a set is gone.
	Apply(changes []Change) error
	// Commit puts exactly the rules of l in force, in such a way that no packet meets neither the old
	// rules nor the new ones, and then removes what is ours and not in l.
	Commit(l Layout) error
	// Inspect looks cheaply whether anybody has changed what Commit left, and counts where that costs
	// little; it lists up to limit elements besides if limit is above 0, and all of them if it is below.
	// ErrLost says that something is not as it was left.
	Inspect(limit int) (View, error)
	// Probe looks single elements of a set up and answers in the order of prefixes, which belong in it.
	Probe(s Set, prefixes []netip.Prefix) ([]Held, error)
	// Close gives the kernel's side up: it stays as it is with keep, and is removed without. It is the
	// last call.
	Close(keep bool) error
}

// Tester is a Backend that can tell whether elements are there for less than what is left of them costs.
type Tester interface {
	// Test is Probe, but nothing but Present is told.
	Test(s Set, prefixes []netip.Prefix) ([]Held, error)
}

// About says what a backend is.
type About struct {
	Name string
	// Notes tell an operator what is not as it could be, one short sentence each.
	Notes []string
	// CheckEvery is how often Inspect(0) is worth its price.
	CheckEvery time.Duration
}

// View is what the kernel holds.
type View struct {
	// Counts are the elements per set; nil if that is not told this time. Elements that have expired may
	// be among them for a while.
	Counts   map[Set]int
	Elements []Element // in no particular order
	// Memory is about how much of the kernel's memory all of it takes, in bytes; 0 if that is not known.
	Memory int64
}

// Reasons for a Backend's error that a caller may want to tell apart, by errors.Is.
var (
	// ErrLost: the kernel's side was removed or changed by somebody else, and has to be made anew.
	ErrLost = errors.New("the firewall's table was changed by another program")
	// ErrPermission: this process may not change the firewall.
	ErrPermission = errors.New("no permission to change the firewall")
	// ErrOwned: another process holds our table.
	ErrOwned = errors.New("the firewall's table belongs to another process")
	// ErrUnsupported: the kernel cannot do it.
	ErrUnsupported = errors.New("the kernel does not support this firewall")
	// ErrFull: the kernel has no room for more elements.
	ErrFull = errors.New("the kernel has no room for more elements")
)

// Error is a Backend's error with what to do about it.
type Error struct {
	Op   string // what was tried: "add elements"
	Err  error  // wraps one of the reasons above where one applies
	Hint string // the next step for an operator, or empty
}

// Error gives one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Op, e.Err, e.Hint)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// hopeless tells whether an error is of the kind that waiting seldom cures.
func hopeless(err error) bool {
	return errors.Is(err, ErrPermission) || errors.Is(err, ErrOwned) || errors.Is(err, ErrUnsupported)
}
