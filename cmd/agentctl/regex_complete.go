package main

import (
	"strings"

	"github.com/palisade-agent/palisade/internal/setup"
)

// values are a few that the option's value may be.
func (x regexOption) values() []string {
	switch {
	case x.named("--out"):
		return []string{"id", "ip", "msg", "row", "host", "user", "matches"}
	case strings.Contains(x.argument, "|"):
		return strings.Split(x.argument, "|")
	}
	return nil
}

// completeRegex offers what may follow the words of agentctl regex: options, the values of those that have a
// few, and filters in the place of the regex.
func completeRegex(before []string, current string, offer func(word, brief string)) error {
	table := regexOptionTable()
	if n := len(before); n > 0 && strings.HasPrefix(before[n-1], "-") && before[n-1] != "-" {
		for _, x := range table {
			if x.argument == "" || !x.named(before[n-1]) {
				continue
			}
			for _, v := range x.values() {
				offer(v, "")
			}
			return nil
		}
	}
	if strings.HasPrefix(current, "-") {
		for _, x := range table {
			for _, name := range x.long {
				offer(name, x.brief)
			}
		}
		return nil
	}
	o, err := parseRegex(before)
	if err != nil || len(o.words) != 1 {
		return nil //nolint:nilerr // what is typed is wrong, and nothing completes it
	}
	names, err := setup.New(o.config, o.named).FilterNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		offer(name, "filter")
	}
	return nil
}
