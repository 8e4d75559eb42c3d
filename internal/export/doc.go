// Package export gives what is blocked to other programs: as files for web servers and load balancers, with a test
// and a reload after each change, and as lists over HTTP for other firewalls.
//
// Writing a list is pure (write*.go). A Runner has the effects: it asks its Source what is blocked when that has
// changed, and keeps files in line. A list that becomes empty is held back for a while, since an empty list is
// more often a mistake than peace, and what reads it may take it for either.
package export
