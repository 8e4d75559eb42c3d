// Package serve gives exports to other firewalls over HTTP: to those that fetch lists by themselves, as most
// bought ones do. Whoever asks must know a token or a password, unless the server listens on this machine alone.
// What is served is rendered once for each change, and never more than a few lists at a time are kept.
package serve
