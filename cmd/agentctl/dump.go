package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/setup"
)

// dump prints a configuration as fail2ban's stream of commands.
func dump(_ context.Context, c *call) error {
	l := setup.New(c.config, c.named)
	var err error
	if l.Release, err = c.release(); err != nil {
		return err
	}
	only := c.lists["jail"]
	cfg, err := l.Read(only...)
	if err != nil {
		return err
	}
	for _, command := range cfg.Stream() {
		if len(only) > 0 && !concerns(command, only) {
			continue
		}
		if err := c.printJSON(command, ""); err != nil {
			return err
		}
	}
	return c.complain(cfg, only)
}

// release reads --release.
func (c *call) release() (config.Release, error) {
	switch v := c.values["release"]; v {
	case "", "1.1":
		return config.Release11, nil
	case "1.0":
		return config.Release10, nil
	default:
		return 0, usagef("--release %q: use 1.0 or 1.1", v)
	}
}

// concerns reports whether a command is about one of the jails.
func concerns(command []any, jails []string) bool {
	if len(command) < 2 {
		return false
	}
	name, ok := command[1].(string)
	if command[0] == "config-error" {
		return ok && slices.ContainsFunc(jails, func(jail string) bool { return strings.HasPrefix(name, "Jail '"+jail+"' ") })
	}
	return ok && slices.Contains([]string{"add", "set", "multi-set", "start"}, fmt.Sprint(command[0])) && slices.Contains(jails, name)
}

// complain tells the problems of a configuration, of these jails alone if some are named.
func (c *call) complain(cfg *config.Config, only []string) error {
	failed := false
	for _, p := range cfg.Problems {
		if len(only) > 0 && p.Jail != "" && !slices.Contains(only, p.Jail) {
			continue
		}
		failed = failed || p.Severity == config.Error
		c.talk("%v: %s", p.Severity, p.Error())
	}
	for _, name := range only {
		if _, ok := cfg.Jail(name); !ok && !failed {
			return fmt.Errorf("there is no jail %q in %s", name, c.config)
		}
	}
	if failed {
		return errFound
	}
	return nil
}
