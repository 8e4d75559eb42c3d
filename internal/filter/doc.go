// Package filter says what a line of a log means: nothing, or a failure of somebody at some time.
//
// A Filter is what a jail's filter options compile to: prefregex, failregex, ignoreregex, maxlines,
// datepattern and their relatives of fail2ban, with fail2ban's results. It is immutable and shared.
// A Session is the memory that goes with one stream of lines: the date last seen, the lines kept for
// maxlines, the connections that several lines speak of (<F-MLFID>), the date templates that fit. It
// has one owner.
//
// A line takes these steps: find its date and cut it out (package date); hold the time against the
// clock; search prefregex, then the failregexes in order, in what is left (package pyre); drop what
// an ignoreregex matches; join what earlier lines of the same connection said; make the ID. The steps
// that reach out of the program are the caller's: names are handed out as Match.Host to be resolved,
// warnings as Notices to be logged, and the time is an argument.
//
// Before any of that, a scan for literal texts (Filter.Wants, Group) drops the lines that cannot
// match, which in most logs are nearly all.
//
// The package is pure.
package filter
