// Package pyre compiles Python's dialect of regular expressions, as fail2ban's filters are written
// in it, and searches lines with it.
//
// The way of a pattern: a parser that accepts and refuses exactly what Python 3.11's re does, with
// its wording, builds a tree in which flags, classes and ignore-case are already resolved to sets of
// characters (parse*.go, tree.go, set.go, fold.go). From the tree come the literals that any matching
// text must hold (literals.go) and the pattern of an engine (emit.go).
//
// The engine today is regexp2, a backtracker of the .NET family. Nothing is left to its own idea of
// a class, an anchor or a group number: every construct is spelled out so that it means what Python
// means. Each pattern is emitted twice, for pure ASCII texts, where word boundaries and classes are
// cheap, and for all others.
//
// Another engine slots in behind Regexp: Compile builds it from the tree beside the two programs,
// SearchAt picks it by Tier, and fills Match with byte offsets. Callers see neither.
//
// The package is pure: it reads no clock and starts nothing itself. regexp2's time limit runs a
// clock of its own, a goroutine that ends a second after the last search.
package pyre
