// Package setup turns a configuration that has been read into what runs: filters compiled, policies and
// ignore lists checked, firewall actions turned into scopes, log files looked at. Everything that is
// wrong is collected, so that one mistake disables what depends on it and the rest goes on.
//
// The daemon starts from it, and the offline tools judge with it: what agentctl check says is what the
// daemon would say.
package setup
