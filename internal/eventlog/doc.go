// Package eventlog writes the file of events that a SIEM or a log shipper follows: one JSON object per
// line for each ban, its end, and whatever else an operator may want to count or be woken for.
//
// Whoever has something to tell calls File.Add, which never waits for the disk: lines are kept in
// memory, a bounded number of bytes of them, and File.Run brings them to the file. A disk that is full
// makes them wait; those that find no room are counted, and a line of kind "lost" says so in their
// place. A rotated file is left and a new one begun, by its inode; no line is ever torn in two.
//
// The names of the fields are fixed: a change of their meaning raises Schema.
package eventlog
