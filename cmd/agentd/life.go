package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/palisade-agent/palisade/internal/agent"
)

// runner is something that runs until its context ends.
type runner struct {
	name string
	run  func(context.Context) error
}

// life is a daemon from its start to its end.
type life struct {
	agent   *agent.Agent
	servers []runner
	ready   <-chan struct{} // closed when the bans are in force and the logs are read
	log     *slog.Logger
	flush   func() (file bool, err error) // opens the log anew
	stdout  io.Writer
	manager notifier
}

// run runs the agent and its sockets, and turns signals into what they ask for: TERM and INT end the daemon, a
// second one at once, USR2 ends it and leaves the bans in the kernel for the next, HUP reloads, USR1 opens the
// log anew, as in fail2ban.
func (l *life) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)

	serverCtx, endServer := context.WithCancel(ctx)
	defer endServer()
	serverEnded := make(chan error, 1)
	go func() { serverEnded <- runServers(serverCtx, l.servers) }()
	agentEnded := make(chan error, 1)
	go func() { agentEnded <- l.agent.Run(ctx) }()

	ending, ready := false, l.ready
	for {
		select {
		case <-ready:
			ready = nil
			fmt.Fprintln(l.stdout, "Server ready")
			go debug.FreeOSMemory() // what reading the database and the configuration took
			l.log.Info("ready")
			l.manager.tell("READY=1")
			go l.manager.watch(serverCtx, l.agent.Service())
		case s := <-signals:
			if l.passing(ctx, s) {
				continue
			}
			if ending {
				return fmt.Errorf("ended at once by a second %v", s)
			}
			ending = true
			l.log.Info("stopping", "signal", s.String())
			l.manager.tell("STOPPING=1")
			if s == syscall.SIGUSR2 {
				_ = l.agent.Stop(ctx, true) // it only notes the wish
				continue
			}
			cancel()
		case err := <-serverEnded:
			if !ending && ctx.Err() == nil {
				cancel()
				return errors.Join(fmt.Errorf("a socket has ended: %w", err), <-agentEnded)
			}
			serverEnded = nil
		case err := <-agentEnded:
			endServer()
			if serverEnded != nil {
				err = errors.Join(err, <-serverEnded)
			}
			l.log.Info("stopped")
			return err
		}
	}
}

// passing does what a signal asks for that does not end the daemon.
func (l *life) passing(ctx context.Context, s os.Signal) bool {
	switch s {
	case syscall.SIGHUP:
		l.manager.reloading()
		go func() {
			defer l.manager.tell("READY=1")
			reload(ctx, l.agent, l.log)
		}()
		return true
	case syscall.SIGUSR1:
		if _, err := l.flush(); err != nil {
			l.log.Error("the log cannot be opened anew; it goes on where it was", "err", err)
		}
		return true
	}
	return false
}

// runServers runs servers until ctx ends, or one of them does, which ends them all.
func runServers(ctx context.Context, servers []runner) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(servers))
	for _, s := range servers {
		go func() {
			err := s.run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", s.name, err)
			}
			ended <- err
		}()
	}
	var all error
	for range servers {
		all = errors.Join(all, <-ended)
		cancel()
	}
	return all
}

func reload(ctx context.Context, a *agent.Agent, log *slog.Logger) {
	r, err := a.Service().Reload(ctx)
	switch {
	case err != nil:
		log.Error("reload failed", "err", err)
	case !r.Applied:
		log.Error("reload refused: the old configuration stays in force")
		logProblems(log, r.Problems)
	default:
		log.Info("reload finished", "jails", len(r.Jails))
	}
}
