package doctor

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/action"
)

// maxScript is how much of one command of an action is looked at.
const maxScript = 64 << 10

// actions looks for the programs that actions run, and for jails whose bans nobody carries out.
func (x *exam) actions(context.Context) {
	missing := false
	for _, j := range x.jails {
		if len(j.Scopes)+len(j.Scripts) == 0 {
			x.warn(Finding{
				Check: "actions", Jails: []string{j.Name()}, Found: "it has no action: its bans are counted and keep nobody out",
				Next: "give it one, as banaction = nftables and action = %(action_)s",
			})
		}
		for _, d := range j.Scripts {
			for _, name := range needed(d) {
				if _, ok := x.m.find(name); ok {
					continue
				}
				missing = true
				x.bad(Finding{
					Check: "actions", About: name, Jails: []string{j.Name()},
					Found: fmt.Sprintf("action %s needs this program, and it is not there", d.Name), Next: "install it, or choose another action",
				})
			}
		}
	}
	if x.config != nil {
		for _, j := range x.config.Jails {
			for _, name := range programs(j.IgnoreCommand) {
				if _, ok := x.m.find(name); !ok {
					missing = true
					x.bad(Finding{
						Check: "actions", About: name, Jails: []string{j.Name}, Found: "ignorecommand needs this program, and it is not there",
						Next: "install it, or take ignorecommand out",
					})
				}
			}
		}
	}
	if !missing && len(x.jails) > 0 {
		x.ok(Finding{Check: "actions", Found: "the programs of all actions are there"})
	}
}

// operations are the options of an action that are commands.
const operations = ` actionstart actionstop actioncheck actionban actionunban actionflush actionrepair actionprolong actionreban actionreload `

// needed names the programs that an action runs, as far as its commands tell.
func needed(d action.Definition) []string {
	if d.Python != "" {
		return []string{"python3"}
	}
	var names []string
	for _, o := range d.Options {
		if !isOneOf(o.Name, operations) {
			continue
		}
		for _, name := range programs(filled(o.Value, d.Params)) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// tag is one of a command of an action.
var tag = regexp.MustCompile(`<[\w.?=/-]+>`)

// filled puts parameters of an action in place of the tags that name them. Others are of the ban, and stay.
func filled(text string, params []action.Param) string {
	const depth = 5 // parameters may hold tags, too
	for range depth {
		before := text
		text = tag.ReplaceAllStringFunc(text, func(t string) string {
			for _, p := range slices.Backward(params) {
				if p.Name == t[1:len(t)-1] {
					return p.Value
				}
			}
			return t
		})
		if text = text[:min(len(text), maxScript)]; text == before {
			break
		}
	}
	return text
}

// plainProgram is the name or path of a program, without anything that the shell would replace.
var plainProgram = regexp.MustCompile(`^/?[A-Za-z0-9_][A-Za-z0-9_.+/-]*$`)

// notPrograms are words at the beginning of a command that are the shell's own: those of POSIX, and local.
const notPrograms = ` . : [ alias bg break cd command continue echo eval exec exit export false fc fg getopts hash jobs kill local
newgrp printf pwd read readonly return set shift test times trap true type ulimit umask unalias unset wait `

// openers are words after which another command begins.
const openers = ` ! { if then elif else while until do time exec command eval `

// closers are words that end something, or begin what is no command.
const closers = ` } fi done esac `

func isOneOf(word, list string) bool { return slices.Contains(strings.Fields(list), word) }

// programs names the programs that a shell command begins with, each once. What quotes hold is not looked
// into, nor what only a run can tell.
func programs(script string) []string {
	var names []string
	functions := map[string]bool{}
	for _, words := range commandsOf(script) {
		if len(words) > 1 && words[1] == "()" {
			functions[words[0]] = true
		}
	}
	for _, words := range commandsOf(script) {
		for len(words) > 0 && (isOneOf(words[0], openers) || assignment.MatchString(words[0])) {
			words = words[1:]
		}
		if len(words) == 0 {
			continue
		}
		name := words[0]
		if !plainProgram.MatchString(name) || isOneOf(name, notPrograms+closers) || functions[name] || slices.Contains(names, name) {
			continue
		}
		if strings.Contains(name, "/") && !strings.HasPrefix(name, "/") {
			continue // from the folder that the daemon happens to run in
		}
		names = append(names, name)
	}
	return names
}

// assignment is a variable that is set, before a command or alone.
var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
