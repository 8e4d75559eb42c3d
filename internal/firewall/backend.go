package firewall

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// Backend is the kernel's side of the firewall. The Keeper calls it from one goroutine at a time. All
// calls but Inspect change the kernel's side in one step, wholly or not at all, and may be repeated:
// what is there already, or gone already, is fine. They block for as long as the kernel does.
type Backend interface {
	// About says what the backend is and how it stands. It does not block, and it may be called before
	// anything else.
	About() About
	// Replace makes the layout, filled with elements, all that there is. There is no moment without
	// protection for what was there before and stays.
	Replace(l Layout, elements iter.Seq[Change]) error
	// Apply takes in and removes elements of the layout that stands. ErrLost says that it stands no more.
	Apply(changes []Change) error
	// Inspect looks at what the kernel holds: counts if limit is 0, up to limit elements besides if it is
	// above, all of them if it is below. ErrLost says that the layout stands no more.
	Inspect(limit int) (View, error)
	// Close gives the kernel's side up: it stays as it is with keep, and is removed without. It is the
	// last call.
	Close(keep bool) error
}

// Claimer is a Backend that can take over what an earlier process has left.
type Claimer interface {
	// Claim is the first call. It is true if exactly the layout stands and is ours now, with elements
	// that are not known; false if Replace is needed.
	Claim(l Layout) (bool, error)
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
	// Counts are the elements per set; nil if the kernel does not say. Elements that have expired may
	// be among them for a while.
	Counts   map[Set]int
	Elements []Element // in no particular order
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
