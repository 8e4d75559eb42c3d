package firewall

import (
	"slices"
	"time"
)

// Status tells how the firewall stands.
type Status struct {
	Backend  string
	Elements int // that the kernel has acknowledged; those that have expired leave within a minute
	Desired  int // elements that are wished
	Pending  int // changes and wishes that wait for the kernel
	Rebuilds int // how often everything was made anew because somebody else had changed it
	Retries  int // how often the kernel was asked again after an error
	Notes    []string
	Err      error // why the kernel does not hold what it should; nil if it does
	Sets     []SetStatus
	Last     Batch
	Memory   int64 // of the kernel, in bytes; 0 if it does not say
}

// Batch tells of the last time when elements were changed.
type Batch struct {
	Changes int           // elements
	Took    time.Duration // until the kernel had acknowledged them
	At      time.Time
}

// SetStatus tells how one of the kernel's sets stands.
type SetStatus struct {
	Name    string
	Count   int // acknowledged elements
	Desired int
}

// Status tells how the firewall stands. It does not wait for the kernel.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	st := k.status
	k.mu.Unlock()
	st.Pending += k.mailbox.size()
	st.Notes, st.Sets = slices.Clone(st.Notes), slices.Clone(st.Sets)
	return st
}

// publish makes the Keeper's state visible in Status.
func (k *Keeper) publish() {
	about := k.backend.About()
	st := Status{
		Backend: about.Name, Notes: about.Notes, Err: k.err, Rebuilds: k.rebuilds, Retries: k.retries,
		Elements: k.table.Elements(), Desired: k.table.Desired(), Pending: k.table.Pending(),
		Last: k.last, Memory: k.memory,
	}
	counts := k.table.Counts()
	l := k.table.Layout()
	for _, s := range l.Sets {
		st.Sets = append(st.Sets, SetStatus{s.String(), counts[s], l.Sizes[s]})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = st
}

// tell tells of a trouble, or of its end.
func (k *Keeper) tell(err error) {
	k.troubled = err != nil
	k.trouble(err)
}
