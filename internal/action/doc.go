// Package action runs fail2ban's action scripts as fail2ban runs them: a jail's actionban for each ban,
// actionunban for each end of one, and around them start, stop, check, repair, flush and reload.
//
// A Definition is what the configuration says of one action of one jail. New makes a Runner of it, which
// starts nothing; Run is the one goroutine that owns the action's state and executes its commands one after
// the other. Ban, Unban, Prolong and the like never wait: they leave a wish in a bounded mailbox, where
// wishes for one ID meet: a ban that ends before its turn came is never carried out. Runners of different
// actions work side by side.
//
// The text of a command comes about in two steps. First the tags that name options of the action are
// replaced, recursively, with the variants for the family of addresses first (text_static.go). Then those
// that name values of the ban (text_dynamic.go). These come from a log, that is from anybody: a value with
// a character that means something to a shell never becomes part of the script, it travels as an argument,
// and the script gets a variable. What is not replaced stays, so that a script may use "<" for itself.
//
// The machine (machine.go) keeps what fail2ban keeps: which families are started, which hold bans, which
// command was executed for the other family already; when to check, to repair and to try again. What
// fail2ban would log goes to Options.Record as an Event; the words are the logger's.
//
// A command is executed by /bin/sh in a session of its own (execute.go). It has a time limit, after which
// its whole process group ends. What it prints is read while it runs and kept only in part, and a daemon that
// it leaves behind with our pipes open is not waited for.
//
// Actions written in Python run in an interpreter beside us (python.go).
package action
