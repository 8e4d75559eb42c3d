// Package f2b speaks as fail2ban does: its socket protocol, in which a command is a list of words and an
// answer a value or an exception, both as pickles.
//
// The server knows no command: it cuts messages, bounds them, decodes a closed set of values, and asks a
// Handler. A hostile peer gets an error, never memory or a call.
package f2b
