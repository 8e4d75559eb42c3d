package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/export"
	"github.com/palisade-agent/palisade/internal/setup"
)

// completionTime is how long a completion waits for the daemon's jails: somebody is at the keyboard.
const completionTime = time.Second

// completion writes a script for a shell. The scripts only ask back, with the words typed so far, what
// may come next: agentctl completion words -- WORD…, the last of which is being typed.
func completion(ctx context.Context, c *call) error {
	if c.args[0] == "words" {
		return c.complete(ctx, c.args[1:])
	}
	script, ok := completionScript(c.args[0])
	if !ok || len(c.args) > 1 {
		return find("completion").misused()
	}
	_, err := io.WriteString(c.stdout, script)
	return err
}

func completionScript(shell string) (script string, ok bool) {
	switch shell {
	case "bash":
		return `# Completion of agentctl for bash.
_agentctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} line
  COMPREPLY=()
  case ${COMP_WORDS[COMP_CWORD-1]} in
    -s|--socket)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
    -c|--config)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return ;;
  esac
  while IFS= read -r line; do
    line=${line%%$'\t'*}
    [[ $line == "$cur"* ]] && COMPREPLY+=("$(printf %q "$line")")
  done < <("$1" completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _agentctl agentctl
`, true
	case "zsh":
		return `#compdef agentctl
# Completion of agentctl for zsh.
_agentctl() {
  if [[ ${words[CURRENT-1]} == (-s|--socket) ]]; then
    _files
    return
  fi
  if [[ ${words[CURRENT-1]} == (-c|--config) ]]; then
    _files -/
    return
  fi
  local -a found
  found=(${(f)"$(${words[1]} completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  found=(${found//:/\\:})
  found=(${found/$'\t'/:})
  _describe -V agentctl found
}
if [[ ${funcstack[1]} == _agentctl ]]; then
  _agentctl "$@"
else
  compdef _agentctl agentctl
fi
`, true
	case "fish":
		return `# Completion of agentctl for fish.
function __agentctl_words
    set -l typed (commandline -opc) (commandline -ct)
    $typed[1] completion words -- $typed[2..-1] 2>/dev/null
end
complete -c agentctl -f -a "(__agentctl_words)"
complete -c agentctl -s s -l socket -r -F
complete -c agentctl -s c -l config -x -a "(__fish_complete_directories)"
`, true
	}
	return "", false
}

// complete writes what may stand in place of the last word, a line each: the word, and after a tab what
// it means.
func (c *call) complete(ctx context.Context, typed []string) error {
	if typed = joined(typed); len(typed) == 0 {
		return nil
	}
	before, current := typed[:len(typed)-1], typed[len(typed)-1]
	sub := &call{socket: c.socket, config: c.config, named: c.named, flags: map[string]bool{}, values: map[string]string{}, lists: map[string][]string{}}
	words, _, err := sub.split(before)
	offer := func(word, brief string) {
		if strings.HasPrefix(word, current) && word == safe(word) {
			fmt.Fprintln(c.stdout, strings.TrimRight(word+"\t"+brief, "\t"))
		}
	}
	var cmd *command
	if len(words) > 0 {
		if cmd = find(words[0]); cmd == nil {
			return nil
		}
	}
	last := ""
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	switch {
	case cmd != nil && cmd.name == "regex":
		return completeRegex(words[1:], current, offer)
	case last == "--jail", cmd != nil && cmd.jail && len(words) == 1 && err == nil && !strings.HasPrefix(current, "-"):
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		sub.client = control.NewClient(sub.socket)
		names, err := sub.jails(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			offer(name, "jail")
		}
	case last == "--owner":
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		sub.client = control.NewClient(sub.socket)
		names, err := sub.jails(ctx)
		if err != nil {
			return err
		}
		offer("jail:", "all jails")
		offer("feed:", "all feeds")
		for _, name := range names {
			offer("jail:"+name, "jail")
		}
	case last == "--to", last == "--state": // words lack the value that they want
		return sub.offerReports(ctx, nil, last, offer)
	case cmd != nil && cmd.name == "report" && len(words) > 1 && err == nil && !strings.HasPrefix(current, "-"):
		return sub.offerReports(ctx, words[1:], last, offer)
	case last == "--kind":
		for _, kind := range control.EventKinds() {
			offer(kind, "")
		}
	case err != nil: // a value is being typed, or something is wrong already
	case strings.HasPrefix(current, "-"):
		if cmd != nil {
			for _, name := range cmd.options {
				o, _ := findOption(name)
				offer("--"+name, o.brief)
			}
		}
		offer("--json", "answers for programs")
		offer("--socket", "the daemon's control socket")
		offer("--config", "the configuration")
		offer("--help", "help")
	case cmd == nil || cmd.name == "help" && len(words) == 1:
		for _, x := range commands() {
			offer(x.name, x.brief)
		}
	case cmd.name == "filters":
		names, err := setup.New(sub.config, sub.named).FilterNames()
		if err != nil {
			return err
		}
		for _, name := range names {
			offer(name, "filter")
		}
	case len(cmd.subs) > 0 && len(words) == 1:
		for _, s := range cmd.subs {
			name, brief, _ := strings.Cut(s, "\t")
			offer(name, brief)
		}
	case cmd.name == "export" && len(words) == 2 && words[1] == "preview":
		for _, f := range export.Formats() {
			offer(string(f), "")
		}
	case cmd.name == "export" && len(words) > 1 && (words[1] == "show" || words[1] == "write"):
		return sub.offerExports(ctx, offer)
	case cmd.name == "feed" && len(words) > 1 && (words[1] == "show" || words[1] == "refresh"):
		return sub.offerFeeds(ctx, offer)
	case cmd.name == "firewall" && len(words) == 1:
		offer("verify", "look every element up in the kernel")
	case cmd.name == "completion" && len(words) == 1:
		for _, shell := range []string{"bash", "zsh", "fish"} {
			offer(shell, "")
		}
	}
	return nil
}

// joined undoes what bash does to --name=value, which it takes for three words.
func joined(typed []string) []string {
	var out []string
	for i := 0; i < len(typed); i++ {
		if last := len(out) - 1; typed[i] == "=" && last >= 0 && strings.HasPrefix(out[last], "--") {
			out[last] += "="
			if i++; i < len(typed) {
				out[last] += typed[i]
			}
			continue
		}
		out = append(out, typed[i])
	}
	return out
}
