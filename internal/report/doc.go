// Package report tells networks of shared threat intelligence whom we have banned. A report is a complaint about
// somebody, so it is made of what was seen here and nothing else, it waits for a while in case the ban was a
// mistake, and it says nothing about those who were attacked.
//
//	decision ──> Rules (pure) ──> row in the ban's own transaction ──> Desk ──> Sender ──> Destination
//
// Rules decide what may be reported to whom. The Desk owns all rows in memory; what is durable is a row of the
// outbox, and only what is durable is sent. A row says what it became before the next is sent, so that a crash
// repeats at most the one that was under way. Destinations are in package destination.
package report
