// Package replay runs logs through the filters and the counting of a configuration in the time of the
// logs, and tells who would have been banned. Nothing is enforced and nothing is kept.
//
// The engine is the daemon's: filter.Session for the lines, jail.Book for the counting. What differs is the
// clock, which is the latest date among the lines that concern a jail. It runs with the failures, so that
// findtime, bantime, escalation and unbans happen in the log's time, and the same log gives the same result,
// whenever it is read; what the daemon leaves to chance (bantime.rndtime) is nothing here. Failures that come
// out of order by more than a jail's findtime are left out, as the daemon leaves out old lines when it catches
// up. Several logs are put in the order of their times, a failure of each at a time, which is how auth.log.1
// and auth.log become one.
//
// A log is read as it stands, with what those who would have been banned went on doing: these failures are
// counted as they would be, and told apart (JailResult.Kept).
package replay
