// Package destination speaks with the services that take reports. Each has a file: what it wants to be told and
// how, and what its answers mean. What a service documents is said there, and what is only assumed of it.
//
// A report is sent once: after an answer that may have followed on its arrival, it is tried again only where that
// is known to do no harm.
package destination
