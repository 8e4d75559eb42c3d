package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
)

// fail2banCommands are the words of fail2ban's protocol for which there is no command of ours.
func fail2banCommands() []*command {
	of := func(name, usage, brief string, examples ...string) *command {
		return &command{
			name: name, usage: usage, brief: brief, examples: examples, own: true, max: -1,
			more: "A command of fail2ban's: its words, its answer. What it changes is in force at once and until the\nnext reload.",
			run:  func(ctx context.Context, c *call) error { return fail2banCommand(ctx, c, name) },
		}
	}
	return []*command{
		of("get", "get JAIL OPTION …", "an option of a jail as it is now", "agentctl get sshd ignoreip"),
		of("set", "set JAIL OPTION VALUE …", "change an option of a running jail", "agentctl set sshd bantime 1h", "agentctl set loglevel DEBUG"),
		of("add", "add JAIL [BACKEND]", "add a jail that has nothing yet", "agentctl add mine polling"),
		of("start", "start JAIL", "run a jail that was added", "agentctl start mine"),
		of("flushlogs", "flushlogs", "open the daemon's log anew", "agentctl flushlogs"),
		of("stats", "stats", "failures and bans of all jails, in figures", "agentctl stats"),
	}
}

// fail2banCommand asks the daemon in fail2ban's protocol.
func fail2banCommand(ctx context.Context, c *call, name string) error {
	if len(c.args) > 0 && (c.args[0] == "--help" || c.args[0] == "-h") {
		c.args = []string{name}
		return help(ctx, c)
	}
	words := append([]string{name}, c.args...)
	request := make([]any, len(words))
	for i, w := range words {
		request[i] = w
	}
	value, err := askAgentd(ctx, c.client, request)
	if e, is := errors.AsType[*f2b.ExceptionError](err); is {
		return errors.New(f2b.BeautifyError(pickle.Exception(*e)))
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(plainValue(value), "  ")
	}
	fmt.Fprintln(c.stdout, printable(f2b.Beautify(words, tame(words, value))))
	return nil
}

// plainValue makes of a value of Python's what JSON can say.
func plainValue(v any) any {
	switch v := v.(type) {
	case pickle.List:
		return plainList(v)
	case pickle.Tuple:
		return plainList(v)
	case pickle.Set:
		return plainList(v)
	case pickle.Dict:
		m := map[string]any{}
		for _, item := range v {
			m[f2b.Str(item.Key)] = plainValue(item.Value)
		}
		return m
	}
	return v
}

func plainList(items []any) []any {
	out := make([]any, len(items))
	for i, x := range items {
		out[i] = plainValue(x)
	}
	return out
}
