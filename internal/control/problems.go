package control

import "slices"

// Shared is a problem and the jails that it concerns: what stands in [DEFAULT] concerns many.
type Shared struct {
	Problem
	Jails []string `json:"jails,omitempty"` // none if the problem is nobody's own
}

// Share puts together the problems that differ in nothing but their jail, in the order of the first of
// each.
func Share(problems []Problem) []Shared {
	var all []Shared
	at := map[Problem]int{}
	for _, p := range problems {
		key := p
		key.Jail = ""
		if i, ok := at[key]; ok && p.Jail != "" && len(all[i].Jails) > 0 {
			if !slices.Contains(all[i].Jails, p.Jail) {
				all[i].Jails = append(all[i].Jails, p.Jail)
			}
			continue
		}
		s := Shared{Problem: key}
		if p.Jail != "" {
			s.Jails = []string{p.Jail}
			at[key] = len(all)
		}
		all = append(all, s)
	}
	return all
}
