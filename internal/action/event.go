package action

import (
	"bytes"
	"syscall"
	"time"
)

// Kind says what an Event is.
type Kind uint8

const (
	// Executed is a command that was executed, or could not be. Result says how it went.
	Executed Kind = iota
	// Failed is an operation that failed for good. Of a ban, the ban stands nevertheless.
	Failed
	// CheckFailed is an actioncheck that failed after something else did. With an Operation (actionunban,
	// actionflush) that is not possible now and nothing is repaired; without, a repair follows.
	CheckFailed
	// NotRestored is a repair without success.
	NotRestored
	// Flushing precedes an actionflush.
	Flushing
	// FlushFailed follows Failed where a flush did: a check follows.
	FlushFailed
	// Rebanned precedes a ban that is repeated, since a repair may have lost it.
	Rebanned
	// Refused is a command that was not executed: no kernel would take it.
	Refused
	// Dropped is a wish that was dropped, since too many waited. Ticket and Operation say which.
	Dropped
	// Restarted is an action in Python whose interpreter had ended, and was started anew.
	Restarted
)

var kindNames = [...]string{
	Executed: "executed", Failed: "failed", CheckFailed: "check-failed", NotRestored: "not-restored",
	Flushing: "flushing", FlushFailed: "flush-failed", Rebanned: "rebanned", Refused: "refused", Dropped: "dropped",
	Restarted: "restarted",
}

// String gives the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Event is something that an operator may want to know of. Fields that the Kind does not name are zero.
type Event struct {
	Kind         Kind
	Jail, Action string
	Operation    string  // actionban, …
	Ticket       *Ticket // of operations on a ban
	Family       string  // of other operations: inet4, inet6, None, or empty for all
	Result       *Result // of Executed
	Err          error
}

// Result is how the execution of a command went.
type Result struct {
	// Number tells the commands of an action apart: 1 is its first.
	Number  uint64
	Command Command
	Stdout  Output
	Stderr  Output
	// Exit is the exit status, -1 if the command did not come to one. 0 alone is success.
	Exit int
	// Signal is what ended the command, 0 if it ended by itself.
	Signal   syscall.Signal
	Limit    time.Duration // its time limit
	TimedOut bool          // it took longer, and was ended
	Stopped  bool          // it was ended because the action had to
	Took     time.Duration
	Err      error // why it could not be executed, or ended
}

// OK tells whether the command succeeded.
func (r *Result) OK() bool { return r.Err == nil && !r.TimedOut && !r.Stopped && r.Exit == 0 }

// Output is what a command printed. The text may be anything.
type Output struct {
	Text []byte // the first MaxOutput bytes
	More int64  // number of bytes after these
}

// Lines divides the text as fail2ban does for its log. A line is still any text.
func (o Output) Lines() []string {
	var lines []string
	text := bytes.ReplaceAll(bytes.ReplaceAll(o.Text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for line := range bytes.Lines(text) {
		lines = append(lines, string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return lines
}
