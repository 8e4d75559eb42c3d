// Package bench measures the firewall against its goals and against the usual tools, on the kernel that
// it runs on: every part in a process and a network namespace of its own, so that nothing of the machine
// is touched. The parts, their sizes and goals are in its test files; make bench-firewall runs all of it
// and prints a table, and the package's test runs all of it small.
package bench
