// Package pytext writes texts as Python does, for the places where fail2ban shows them so: messages of regexes, answers of
// its socket, and tags of actions.
package pytext
