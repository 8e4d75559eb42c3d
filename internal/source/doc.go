// Package source follows log files and delivers their lines: whole, bounded, each exactly once, with
// the position behind it.
//
// A File owns the descriptors of one path. It reads blocks, cuts them into lines and hands them to
// the caller's function, which may take its time: nothing is buffered but one block, the file itself
// is the buffer. A Position names the inode and the offset in it, so that a later Run goes on where
// the last one stopped, also when the file was renamed, copied and truncated, or replaced meanwhile.
//
//	path ──stat──> same inode? ──no──> pending: files that took the path, oldest first
//	                                      │ when current is read to its end
//	                                      v
//	               rotated <── current <──┘      both are read, rotated first
//	                  └─ closed when quiet for the grace period, or when current is rotated too
//
// The order of lines: before lines of the current file are read, its size is taken, then the rotated
// file is read to its end, then the current one up to that size. So a line that stood in the old file
// before a line appeared in the new one is delivered before it, and a program that writes to one of
// them at a time has its lines delivered in its order.
//
// Wake-ups come from the inotify tracker of nxadm/tail (see wake.go for what to know about it), and
// a slow look at the clock in case one is missed. Its process-wide goroutine is the one thing that
// outlives Run. A Glob looks for files that match a pattern, by looking again each second.
//
// What is lost: lines written between logrotate's copy and its truncation (copytruncate); an
// unfinished last line of a file that is rotated and never finished; what a program writes into a
// file that was rotated twice, or after the grace period.
package source
