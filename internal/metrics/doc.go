// Package metrics tells the daemon's numbers to Prometheus, in its text format, over HTTP.
//
// A scrape asks the agent once, in a time that does not depend on how many are banned, and writes what
// it says: write.go has the names, encode.go the format. No number is kept here. Values of labels that
// come from elsewhere, such as paths, are bounded and cannot forge a line; two that differ stay
// different. There is no address, name or line of an attacker in any of them.
package metrics
