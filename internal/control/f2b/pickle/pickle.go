// Package pickle reads and writes the part of Python's pickle format that fail2ban's client and server
// exchange: plain values, and exceptions as names with arguments.
//
// A pickle is a program for a small stack machine, and a general reader executes what it says. This one
// does not: it knows a closed set of types, looks up no name, calls nothing, and bounds what a hostile
// peer can make of a short text. Everything else is refused.
package pickle

import "errors"

// What Unmarshal gives and Marshal takes, besides nil, bool, int64, float64, string and []byte. Marshal
// takes int, too.
type (
	// List is a Python list.
	List []any
	// Tuple is a Python tuple.
	Tuple []any
	// Set is a Python set or frozenset, in the order in which it was written.
	Set []any
	// Dict is a Python dict, in its order.
	Dict []Item
	// Item is an entry of a dict.
	Item struct{ Key, Value any }
	// Exception is a Python exception: its class and what it was made with. Marshal writes any class;
	// Unmarshal knows those that fail2ban's server sends.
	Exception struct {
		Module, Class string
		Args          []any
	}
)

// The bounds of Unmarshal. Honest requests are far below: the configuration of all of Debian's jails is
// some 10,000 values.
const (
	// MaxBytes is the longest pickle that is read, 1 MiB.
	MaxBytes = 1 << 20
	// MaxValues is how many values a pickle may hold, those counted again that it refers to again: each
	// takes less than 100 bytes besides its text.
	MaxValues = 200_000
	// maxDepth is how deep values may lie in each other.
	maxDepth = 32
)

// Limits bound what is read of a peer who is trusted more, as a client trusts its server.
type Limits struct {
	Bytes  int // of the pickle
	Values int // see MaxValues
}

// ErrRefused is the error of everything that Unmarshal does not read: damaged, too large, or something
// that would have to be executed. It is wrapped with what was found.
var ErrRefused = errors.New("pickle refused")

// classKnown reports whether a class is one of the exceptions that fail2ban's server answers with.
func classKnown(module, class string) bool {
	switch module {
	case "builtins", "exceptions":
		switch class {
		case "Exception", "ValueError", "IndexError", "KeyError", "TypeError", "AttributeError", "FileNotFoundError",
			"RuntimeError", "LookupError", "OSError", "IOError", "PermissionError", "FileExistsError", "NotADirectoryError",
			"IsADirectoryError", "UnicodeDecodeError", "UnicodeEncodeError", "NotImplementedError", "ImportError",
			"ModuleNotFoundError", "SyntaxError", "NameError", "ArithmeticError", "OverflowError", "ZeroDivisionError", "AssertionError":
			return true
		}
	case "fail2ban.exceptions":
		return class == "UnknownJailException" || class == "DuplicateJailException"
	case "fail2ban.server.failregex":
		return class == "RegexException"
	}
	return false
}
