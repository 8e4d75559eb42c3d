package firewall

import (
	"slices"
)

// Status tells how the firewall stands.
type Status struct {
	Backend  string
	Elements int // that the kernel has acknowledged; those that have expired leave within a minute
	Pending  int // changes and wishes that wait for the kernel
	Rebuilds int // how often everything was made anew because somebody else had changed it
	Retries  int // how often the kernel was asked again after an error
	Notes    []string
	Err      error // why the kernel does not hold what it should; nil if it does
	Sets     []SetStatus
}

// SetStatus tells how one of the kernel's sets stands.
type SetStatus struct {
	Name  string
	Count int // acknowledged elements
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
		Elements: k.table.Elements(), Pending: k.table.Pending(),
	}
	counts := k.table.Counts()
	for _, s := range k.table.Layout().Sets {
		st.Sets = append(st.Sets, SetStatus{s.String(), counts[s]})
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
