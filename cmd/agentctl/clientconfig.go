package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/setup"
)

// printStream is -d.
func (c *fail2banClient) printStream() int {
	cfg, err := c.read()
	if err != nil {
		c.say("ERROR", "Failed during configuration: %v", err)
		return clientFailed
	}
	failed := c.warn(cfg)
	for _, command := range cfg.Stream() {
		text := f2b.Repr(command)
		if c.pretty {
			text = f2b.Pretty(command)
		}
		fmt.Fprintln(c.stdout, text)
	}
	if failed && len(cfg.Jails) == 0 {
		return clientFailed
	}
	return 0
}

// warn tells what is wrong with a configuration, and whether there are errors.
func (c *fail2banClient) warn(cfg *config.Config) (failed bool) {
	for _, p := range cfg.Problems {
		if p.Severity == config.Error {
			failed = true
			c.say("ERROR", "%s", p.Error())
			continue
		}
		c.say("WARNING", "%s", p.Error())
	}
	return failed
}

// testConfig is -t. It tells all that is wrong, where fail2ban's client ends at the first mistake.
func (c *fail2banClient) testConfig() int {
	l := setup.New(c.conf, c.named)
	l.Release = c.release
	r, err := l.Check()
	if err != nil {
		c.say("ERROR", "Failed during configuration: %v", err)
	}
	for _, p := range r.Problems {
		level := "WARNING"
		if p.Severity == config.Error.String() {
			level = "ERROR"
		}
		c.say(level, "%s", setup.ProblemText(p))
	}
	if err != nil || !r.OK {
		fmt.Fprintln(c.stdout, "ERROR: test configuration failed")
		return clientFailed
	}
	fmt.Fprintln(c.stdout, "OK: configuration test is successful")
	return 0
}

// request makes the command of the words. A reload carries the configuration, which fail2ban's server does
// not read itself.
func (c *fail2banClient) request(words []string) ([]any, error) {
	if words[0] == "restart" {
		words = append([]string{"reload", "--restart"}, words[1:]...)
	}
	if words[0] != "reload" {
		return texts(words), nil
	}
	jail, options := "--all", pickle.List{}
	var rest []string
	for _, w := range words[1:] {
		switch w {
		case "--restart", "--unban", "--if-exists":
			options = append(options, w)
		case "--all":
		default:
			rest = append(rest, w)
		}
	}
	if len(rest) > 1 {
		return nil, fmt.Errorf("Unexpected argument(s) for reload: %s", f2b.Repr(texts(rest))) //nolint:staticcheck // the words are fail2ban's
	}
	if len(rest) == 1 {
		jail = rest[0]
	}
	cfg, err := c.read()
	if err != nil {
		return nil, err
	}
	if jail != "--all" && !c.knows(jail) {
		return nil, fmt.Errorf("Failed during configuration: No section: %s", f2b.Repr(jail)) //nolint:staticcheck // the words are fail2ban's
	}
	c.warn(cfg)
	var others []string
	for _, command := range cfg.Stream() {
		if name, ok := command[len(command)-1].(string); ok && command[0] == "start" && jail != "--all" && name != jail {
			others = append(others, name)
		}
	}
	var stream pickle.List
	for _, command := range cfg.Stream() {
		if !concerns(command, others) {
			stream = append(stream, plain(command))
		}
	}
	return []any{"reload", jail, options, stream}, nil
}

// knows reports whether the configuration has a jail, enabled or not, sound or not.
func (c *fail2banClient) knows(jail string) bool {
	l := setup.New(c.conf, c.named)
	l.Release = c.release
	cfg, err := l.Read(jail)
	if err != nil {
		return false
	}
	_, ok := cfg.Jail(jail)
	return ok || slices.ContainsFunc(cfg.Problems, func(p config.Problem) bool { return p.Jail == jail })
}

// plain turns the values of a configuration's stream into those of a pickle.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		l := make(pickle.List, len(v))
		for i, item := range v {
			l[i] = plain(item)
		}
		return l
	case map[string]any:
		d := pickle.Dict{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			d = append(d, pickle.Item{Key: k, Value: plain(v[k])})
		}
		return d
	case bool, string, nil, int, int64, float64:
		return v
	}
	return f2b.Repr(v)
}

func texts(words []string) []any {
	all := make([]any, len(words))
	for i, w := range words {
		all[i] = w
	}
	return all
}
