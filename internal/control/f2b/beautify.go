package f2b

import (
	"fmt"
	"strings"

	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
)

// Beautify is what fail2ban's client prints of the value that a command was answered with: the words are
// the command's. Answers that have no form of their own are shown as Python shows them.
func Beautify(words []string, value any) string {
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch word(0) {
	case "ping":
		return "Server replied: " + Str(value)
	case "echo":
		if items, ok := itemsOf(value); ok {
			return joined(items, " ")
		}
	case "flushlogs":
		return "logs: " + Str(value)
	case "version", "banned", "unban", "reload", "server-status", "sleep":
	case "add":
		return "Added jail " + Str(value)
	case "start":
		return "Jail started"
	case "stop":
		if len(words) > 1 {
			return "Jail stopped"
		}
		return "Shutdown successful"
	case "status":
		return beautifyStatus(words, value)
	case "get", "set":
		if text, ok := beautifyGet(words, value); ok {
			return text
		}
	}
	return Str(value)
}

// beautifyStatus shows a status as a tree.
func beautifyStatus(words []string, value any) string {
	items, ok := itemsOf(value)
	if !ok {
		return Str(value)
	}
	if len(words) < 2 {
		lines := []string{"Status"}
		for i, item := range items {
			if pair, ok := itemsOf(item); ok && len(pair) == 2 {
				lines = append(lines, branch(i, len(items))+Str(pair[0])+":\t"+Str(pair[1]))
			}
		}
		return strings.Join(lines, "\n")
	}
	lines := []string{"Status for the jail: " + words[1]}
	for i, item := range items {
		section, ok := itemsOf(item)
		if !ok || len(section) != 2 {
			return Str(value)
		}
		lines = append(lines, branch(i, len(items))+Str(section[0]))
		before := "|  "
		if i == len(items)-1 {
			before = "   "
		}
		entries, _ := itemsOf(section[1])
		for k, entry := range entries {
			pair, ok := itemsOf(entry)
			if !ok || len(pair) != 2 {
				return Str(value)
			}
			shown := Str(pair[1])
			if list, ok := itemsOf(pair[1]); ok {
				shown = joined(list, " ")
			}
			lines = append(lines, before+branch(k, len(entries))+Str(pair[0])+":\t"+shown)
		}
	}
	return strings.Join(lines, "\n")
}

// branch leads to an item of a tree.
func branch(i, n int) string {
	if i == n-1 {
		return "`- "
	}
	return "|- "
}

// beautifyGet shows what get and set answer, where that has a form of its own.
func beautifyGet(words []string, value any) (text string, ok bool) {
	if len(words) < 2 {
		return "", false
	}
	switch words[1] {
	case "syslogsocket":
		return "Current syslog socket is:\n`- " + Str(value), true
	case "loglevel":
		return "Current logging level is " + Repr(value), true
	case "logtarget":
		return "Current logging target is:\n`- " + Str(value), true
	case "dbfile":
		if value == nil {
			return "Database currently disabled", true
		}
		return "Current database file is:\n`- " + Str(value), true
	case "dbpurgeage":
		if value == nil {
			return "Database currently disabled", true
		}
		return "Current database purge age is:\n`- " + Str(value) + "seconds", true
	}
	if len(words) < 3 {
		return "", false
	}
	items, isList := itemsOf(value)
	switch words[2] {
	case "logpath", "addlogpath", "dellogpath":
		if isList && len(items) == 0 {
			return "No file is currently monitored", true
		}
		if isList {
			return "Current monitored log file(s):\n" + tree(items), true
		}
	case "logencoding":
		return "Current log encoding is set to:\n" + Str(value), true
	case "journalmatch", "addjournalmatch", "deljournalmatch":
		if isList && len(items) == 0 {
			return "No journal match filter set", true
		}
		if isList {
			return "Current match filter:\n" + matchesText(items), true
		}
	case "datepattern":
		return beautifyDatePattern(value)
	case "ignoreip", "addignoreip", "delignoreip":
		if isList && len(items) == 0 {
			return "No IP address/network is ignored", true
		}
		if isList {
			return "These IP addresses/networks are ignored:\n" + tree(items), true
		}
	case "failregex", "addfailregex", "delfailregex", "ignoreregex", "addignoreregex", "delignoreregex":
		if isList && len(items) == 0 {
			return "No regular expression is defined", true
		}
		if isList {
			lines := []string{"The following regular expression are defined:"}
			for i, item := range items {
				lines = append(lines, fmt.Sprintf("%s[%d]: %s", branch(i, len(items)), i, Str(item)))
			}
			return strings.Join(lines, "\n"), true
		}
	case "actions":
		if isList && len(items) == 0 {
			return "No actions for jail " + words[1], true
		}
		if isList {
			return "The jail " + words[1] + " has the following actions:\n" + joined(items, ", "), true
		}
	case "actionproperties", "actionmethods":
		if !isList || len(words) < 4 {
			return "", false
		}
		what := strings.TrimPrefix(words[2], "action")
		if len(items) == 0 {
			return fmt.Sprintf("No %s for jail %s action %s", what, words[1], words[3]), true
		}
		return fmt.Sprintf("The jail %s action %s has the following %s:\n%s", words[1], words[3], what, joined(items, ", ")), true
	case "banip":
		if words[0] == "get" && isList {
			return beautifyBanIP(words[3:], items), true
		}
	}
	return "", false
}

// beautifyBanIP joins the IDs with blanks, or with what was asked for.
func beautifyBanIP(args []string, items []any) string {
	separator := " "
	switch {
	case len(args) == 0:
	case args[0] == "--with-time":
		separator = "\n"
	default:
		separator = args[0]
	}
	return joined(items, separator)
}

func beautifyDatePattern(value any) (string, bool) {
	const before = "Current date pattern set to: "
	if value == nil {
		return before + "Not set/required", true
	}
	pair, ok := itemsOf(value)
	if !ok || len(pair) != 2 {
		return "", false
	}
	if pair[0] == nil {
		return before + Str(pair[1]), true
	}
	return before + Str(pair[0]) + " (" + Str(pair[1]) + ")", true
}

// tree lists items below each other.
func tree(items []any) string {
	lines := make([]string, len(items))
	for i, item := range items {
		lines[i] = branch(i, len(items)) + Str(item)
	}
	return strings.Join(lines, "\n")
}

// matchesText joins what the journal is asked for: words by blanks, alternatives by a plus.
func matchesText(items []any) string {
	var all []string
	for _, item := range items {
		words, ok := itemsOf(item)
		if !ok {
			words = []any{item}
		}
		all = append(all, joined(words, " "))
	}
	return strings.Join(all, " + ")
}

func joined(items []any, separator string) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = Str(item)
	}
	return strings.Join(texts, separator)
}

func itemsOf(v any) ([]any, bool) {
	switch v := v.(type) {
	case pickle.List:
		return v, true
	case pickle.Tuple:
		return v, true
	case pickle.Set:
		return v, true
	}
	return nil, false
}

// BeautifyError is what fail2ban's client prints of the exception that a command was answered with.
func BeautifyError(e pickle.Exception) string {
	text := strArgs(e.Args)
	switch e.Class {
	case "UnknownJailException":
		return "Sorry but the jail " + firstArg(e) + " does not exist"
	case "DuplicateJailException":
		return "The jail " + firstArg(e) + " already exists"
	case "IndexError":
		return "Sorry but the command is invalid"
	case "KeyError":
		if len(e.Args) == 1 {
			return Repr(e.Args[0])
		}
	case "FileNotFoundError", "OSError", "PermissionError", "IOError", "FileExistsError", "IsADirectoryError", "NotADirectoryError":
		if len(e.Args) >= 2 && len(e.Args) <= 5 {
			text = fmt.Sprintf("[Errno %s] %s", Str(e.Args[0]), Str(e.Args[1]))
			if len(e.Args) > 2 {
				text += ": " + Repr(e.Args[2])
			}
		}
	}
	return text
}

func firstArg(e pickle.Exception) string {
	if len(e.Args) == 0 {
		return "''"
	}
	return "'" + Str(e.Args[0]) + "'"
}
