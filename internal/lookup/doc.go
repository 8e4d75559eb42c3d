// Package lookup asks services what they know of an address: how bad they find it, whose it is, how often it was
// reported. It is asked by people, never for a ban: a service that does not answer changes nothing.
//
// Which request a service takes, and what its answer means, is in services.go and answer.go; what is documented
// of it and what is only assumed is said there. Addresses that are not public are told to nobody but a CrowdSec
// LAPI, which is one's own.
package lookup
