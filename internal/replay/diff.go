package replay

import (
	"cmp"
	"slices"
	"time"
)

// Comparison is how two configurations differ in whom they ban.
type Comparison struct {
	// Changed counts the IDs that are treated differently, by kind and in all jails.
	Changed map[string]int `json:"changed"`
	// Uncompared are the bans of IDs that were too many to be remembered.
	Uncompared int `json:"uncompared,omitempty"`
	// Changes are the differences, by jail, kind and ID; not all, if they were limited.
	Changes []Change `json:"changes"`
}

// Differs reports whether there is any difference.
func (c *Comparison) Differs() bool { return len(c.Changed) > 0 }

// Change is an ID that two configurations treat differently.
type Change struct {
	Jail string `json:"jail"`
	ID   string `json:"id"`
	// Kind is "banned" for one that only the second configuration bans, "spared" for one that only the first
	// does, "earlier" and "later" for the time of its first ban, and where that is the same, "longer" and
	// "shorter" for how long it is banned in all.
	Kind   string     `json:"kind"`
	Before *time.Time `json:"before,omitempty"` // its first ban in the first configuration
	After  *time.Time `json:"after,omitempty"`  // and in the second
	// BeforeBans and AfterBans are how many bans it gets, BeforeTotal and AfterTotal the seconds that these
	// last together; negative for ever.
	BeforeBans  int   `json:"before_bans"`
	AfterBans   int   `json:"after_bans"`
	BeforeTotal int64 `json:"before_total"`
	AfterTotal  int64 `json:"after_total"`
}

// Compare tells what another configuration would have done differently with the same logs. Both runs must
// have been made with Options.Compare. Limit is the number of changes that are told one by one; negative is
// all.
func Compare(before, after *Result, limit int) *Comparison {
	c := &Comparison{Changed: map[string]int{}, Uncompared: before.others + after.others, Changes: []Change{}}
	for key, x := range before.totals {
		y := after.totals[key]
		kind := compared(x, y)
		if kind == "" {
			continue
		}
		change := Change{Jail: key.Jail, ID: key.ID.String(), Kind: kind, Before: &x.first, BeforeBans: x.bans, BeforeTotal: x.seconds}
		if y != nil {
			change.After, change.AfterBans, change.AfterTotal = &y.first, y.bans, y.seconds
		}
		c.Changes = append(c.Changes, change)
	}
	for key, y := range after.totals {
		if before.totals[key] == nil {
			c.Changes = append(c.Changes, Change{
				Jail: key.Jail, ID: key.ID.String(), Kind: "banned", After: &y.first, AfterBans: y.bans, AfterTotal: y.seconds,
			})
		}
	}
	for _, x := range c.Changes {
		c.Changed[x.Kind]++
	}
	slices.SortFunc(c.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Jail, b.Jail), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	if limit >= 0 && len(c.Changes) > limit {
		c.Changes = slices.Clone(c.Changes[:limit])
	}
	return c
}

// compared says what became of an ID that the first configuration bans; empty for the same.
func compared(x, y *total) string {
	switch {
	case y == nil:
		return "spared"
	case y.first.Before(x.first):
		return "earlier"
	case y.first.After(x.first):
		return "later"
	case longer(y.seconds, x.seconds):
		return "longer"
	case longer(x.seconds, y.seconds):
		return "shorter"
	}
	return ""
}

// longer reports whether a is the longer of two times, one that never ends being the longest.
func longer(a, b int64) bool {
	if a < 0 || b < 0 {
		return a < 0 && b >= 0
	}
	return a > b
}
