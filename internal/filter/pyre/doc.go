// Package pyre compiles Python's dialect of regular expressions, as fail2ban's filters are written
// in it, and searches lines with it.
//
// The way of a pattern: a parser that accepts and refuses exactly what Python 3.11's re does, with
// its wording, builds a tree in which flags, classes and ignore-case are already resolved to sets of
// characters (parse*.go, tree.go, set.go, fold.go). From the tree come the literals that any matching
// text must hold (literals.go) and a program (program.go) that a small machine runs (machine.go).
//
// The machine makes Python's choices: the first alternative that leads to a match wins. It counts
// steps, so what a search finds does not depend on the machine's speed, and a search that takes many
// begins again and remembers where it failed, so that no line makes it exponential.
//
// regexp2, a backtracker of the .NET family, runs the few patterns that the machine does not take, and is
// what the tests compare it with (Limits.Reference). Nothing is left to its own idea of a class, an
// anchor or a group number: every construct is spelled out so that it means what Python means (emit.go).
//
// The package is pure: it reads no clock and starts nothing itself. regexp2's time limit runs a
// clock of its own, a goroutine that ends a second after the last search.
package pyre
