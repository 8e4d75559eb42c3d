// Package regextest tries a filter on lines, as fail2ban-regex does: which lines it matches, ignores and
// misses, by which regular expression, and with which date. Nothing is counted and nobody is banned.
package regextest
