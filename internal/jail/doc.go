// Package jail decides who is banned, until when.
//
// A Book holds, for every jail, the tallies of failures that are being counted, the bans that stand
// and the history of earlier bans. It is told what happens (Observe a failure, Ban, Unban, Expire)
// together with the time, and answers with decisions; it starts nothing, waits for nothing, reads no
// clock and logs nothing. One goroutine owns a Book. The same calls give the same decisions.
//
// The arithmetic is fail2ban's, because people tuned their jails by it: failures are a rate estimate
// and not a window (tally.count), a ban ends at the time of its last failure plus the ban time, a
// repeat offender is counted faster and banned longer (Increment). Where we differ, we do so on
// purpose: an escalated ban time applies from the first moment instead of seconds later; a tally, a
// ban and a history are over at their very time and not at the next sweep, so that the decisions do
// not depend on when somebody swept; a failure of a known offender weighs more but is still one
// failure, with its lines kept once, in what is shown of it.
//
// What the store must write is collected as dirty keys: TakeChanges gives the newest state of each,
// Return takes back what could not be committed. A Book that is restored from what was committed, and
// told the rest once more, comes to the same bans as one that was never interrupted.
//
// Everything is bounded: tallies, bans, histories, lines per tally and bytes of lines in all. Every
// call costs O(log n) in the number of entries it touches.
//
// The package is pure.
package jail
