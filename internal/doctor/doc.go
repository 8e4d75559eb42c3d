// Package doctor looks at a machine before Palisade takes fail2ban's place on it, or when something seems
// wrong: each check says what it found, how bad that is, and the next step.
//
// It changes nothing that lasts, reads at most the last part of each log, and gives up on what does not
// answer in time. What it looks at besides files is a Machine, so that tests can make one that is ill:
//
//	services.go  fail2ban, agentd, the rights of this process
//	firewall.go  nftables, what could pass by our rules, and what fail2ban left in other tables
//	settings.go  the configuration, IPv6, ignore lists, who would lock himself out
//	logs.go      log files: there, readable, being written, dated in the right zone
//	filters.go   what the filters make of the end of the logs, and of the journal
//	programs.go  the programs that actions run
//	system.go    the database's folder, the clock
package doctor
