// Package date finds the date in a log line and says what time it means, as fail2ban does: with the
// same directives, the same default templates in the same order, the same memory of which template
// matched last, and the same guesses where a date has no year, no day or no zone.
//
// Compile reads a datepattern into Templates, which are immutable and shared. A Detector is the
// memory of one log: it learns where the date stands, so that a date-like text in a message does not
// take the part of the real one.
//
//	line ──> Detector.Find: choose a template (choose.go) ──> groups ──> time (convert.go)
//	              │ template.go, directive.go and epoch.go made its regex; before that is run,
//	              │ traits.go sees which templates cannot match, and quick.go reads the
//	              │ commonest forms by hand, equal to the regex or not at all
//	              └ what group 1 of the regex spans is cut from the line by the caller
//
// Where the releases of fail2ban differ, this is 1.1: its default templates allow more forms of the
// compact ISO date, {DEFAULT} may follow other patterns, and a group of one's own around {EPOCH} says
// what is cut.
//
// The package is pure: now is an argument.
package date
