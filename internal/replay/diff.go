package replay

import (
	"cmp"
	"slices"
	"time"
)

// Change is an ID that two configurations treat differently.
type Change struct {
	Jail string `json:"jail"`
	ID   string `json:"id"`
	// Kind is "banned" for one that only the second configuration bans, "spared" for one that only the first
	// does, "earlier" and "later" for the time of its first ban, "longer" and "shorter" for how long it would
	// have been banned in all.
	Kind   string     `json:"kind"`
	Before *time.Time `json:"before,omitempty"` // of its first ban
	After  *time.Time `json:"after,omitempty"`
	// BeforeTotal and AfterTotal are the seconds that it is banned in all; negative for ever.
	BeforeTotal int64 `json:"before_total"`
	AfterTotal  int64 `json:"after_total"`
}

// total is what a jail does to an ID.
type total struct {
	first   time.Time
	seconds int64
}

// Diff compares what two configurations would have done with the same logs. Bans beyond the limit of the
// runs are not compared.
func Diff(before, after *Result) []Change {
	var changes []Change
	a, b := totals(before), totals(after)
	for key, x := range a {
		y, both := b[key]
		c := Change{Jail: key[0], ID: key[1], Before: &x.first, BeforeTotal: x.seconds}
		if !both {
			c.Kind = "spared"
			changes = append(changes, c)
			continue
		}
		c.After, c.AfterTotal = &y.first, y.seconds
		switch {
		case y.first.Before(x.first):
			c.Kind = "earlier"
		case y.first.After(x.first):
			c.Kind = "later"
		case longer(y.seconds, x.seconds):
			c.Kind = "longer"
		case longer(x.seconds, y.seconds):
			c.Kind = "shorter"
		default:
			continue
		}
		changes = append(changes, c)
	}
	for key, y := range b {
		if _, both := a[key]; !both {
			changes = append(changes, Change{Jail: key[0], ID: key[1], Kind: "banned", After: &y.first, AfterTotal: y.seconds})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Jail, b.Jail), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return changes
}

// longer reports whether a is the longer of two times, one that never ends being the longest.
func longer(a, b int64) bool {
	if a < 0 || b < 0 {
		return a < 0 && b >= 0
	}
	return a > b
}

func totals(r *Result) map[[2]string]total {
	all := map[[2]string]total{}
	for _, j := range r.Jails {
		for _, b := range j.Bans {
			key := [2]string{j.Name, b.ID}
			t, known := all[key]
			if !known {
				t.first = b.Time
			}
			switch {
			case b.Duration < 0 || t.seconds < 0:
				t.seconds = -1
			default:
				t.seconds += b.Duration
			}
			all[key] = t
		}
	}
	return all
}
