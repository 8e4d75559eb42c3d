package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/regextest"
	"github.com/palisade-agent/palisade/internal/setup"
	"github.com/palisade-agent/palisade/internal/source"
)

// eachLine calls a function for each line with its number.
type eachLine func(func(filter.Line, int) error) error

// input opens what the first word names.
func (r *regexRun) input(ctx context.Context) (each eachLine, done func(), err error) {
	log := r.o.words[0]
	e, err := setup.Encoding(r.o.encoding)
	if err != nil {
		return nil, nil, r.fails("ERROR: %s: %v", r.o.encoding, err)
	}
	nothing := func() {}
	shown := cmpOr(r.o.encoding, "UTF-8")
	if isJournal(log) {
		each, err := r.journal(ctx, log)
		r.head("Use         systemd journal")
		r.head("Use         encoding : %s", shown)
		if len(r.matches) > 0 {
			var words []string
			for _, m := range r.matches {
				words = append(words, strings.Join(m, " "))
			}
			r.head("Use    journal match : %s", strings.Join(words, " + "))
		}
		return each, nothing, err
	}
	var in io.Reader
	size := int64(0)
	if log == "-" {
		in = interruptible(ctx, r.stdin)
		r.head("Use         log file : standard input")
	} else if st, err := os.Stat(log); err == nil && st.Mode().IsRegular() {
		file, err := os.Open(log)
		if err != nil {
			return nil, nil, r.fails("%v", err)
		}
		in, size, done = file, st.Size(), func() { _ = file.Close() }
		r.head("Use         log file : %s", log)
	}
	if in != nil {
		r.head("Use         encoding : %s", shown)
		if done == nil {
			done = nothing
		}
		return r.lines(ctx, regextest.NewLines(in, e), size), done, nil
	}
	if strings.HasPrefix(log, "/") && !strings.ContainsAny(log, " \t\n") {
		fmt.Fprintf(r.stderr, "there is no file %s: it is taken for a line itself\n", safe(log))
	}
	lines := []string{log}
	if r.settings.Filter.MaxLines <= 1 && !strings.Contains(log, "\n") {
		r.head("Use      single line : %s", shortened(log))
	} else {
		lines = strings.Split(log, "\n")
		r.head("Use      multi line : %d line(s)", len(lines))
		for i, l := range lines {
			if i >= 5 {
				r.head("| ...")
				break
			}
			r.head("| %2d: %s", i+1, shortened(l))
		}
		r.head("`-")
	}
	return func(f func(filter.Line, int) error) error {
		for i, l := range lines {
			l = strings.TrimRight(l, "\r\n")
			if regextest.Skipped(l) {
				continue
			}
			if err := f(filter.Line{Text: l}, i+1); err != nil {
				return err
			}
		}
		return nil
	}, nothing, nil
}

// interruptible reads from what may keep its reader waiting, as a terminal does, until the context ends. A
// read that waits then is left behind.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	type chunk struct {
		bytes []byte
		err   error
	}
	chunks := make(chan chunk)
	go func() {
		for {
			b := make([]byte, 64<<10)
			n, err := in.Read(b)
			select {
			case chunks <- chunk{b[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var last chunk
	return readerFunc(func(p []byte) (int, error) {
		for len(last.bytes) == 0 {
			if last.err != nil {
				return 0, last.err
			}
			select {
			case last = <-chunks:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		n := copy(p, last.bytes)
		last.bytes = last.bytes[n:]
		return n, nil
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// progressEvery is how many lines pass between two looks at the clock.
const progressEvery = 1 << 12

// lines reads a log, with progress on a terminal.
func (r *regexRun) lines(ctx context.Context, l *regextest.Lines, size int64) eachLine {
	return func(f func(filter.Line, int) error) error {
		told, began := time.Now(), time.Now()
		for {
			text, err := l.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if l.Unfinished && !r.o.json && !r.o.explain && r.o.words[0] != "-" {
				fmt.Fprintln(r.stderr, "the last line has no end yet and is left for later")
				break
			}
			if err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if r.terminal && l.Number%progressEvery == 0 && time.Since(told) > time.Second {
				told = time.Now()
				fmt.Fprintf(r.stderr, "\r%s", progress(l, size, time.Since(began)))
			}
			if regextest.Skipped(text) {
				continue
			}
			if err := f(filter.Line{Text: text}, l.Number); err != nil {
				return err
			}
		}
		if r.terminal && time.Since(began) > time.Second {
			fmt.Fprint(r.stderr, "\r\x1b[K")
		}
		if l.Cut > 0 {
			fmt.Fprintf(r.stderr, "%s longer than %d bytes: only their beginning was tried\n", plural(l.Cut, "line is", "lines are"), regextest.MaxLine)
		}
		return nil
	}
}

func progress(l *regextest.Lines, size int64, since time.Duration) string {
	text := fmt.Sprintf("%d lines, %.0f a second", l.Number, float64(l.Number)/since.Seconds())
	if size > 0 {
		text = fmt.Sprintf("%3.0f %%, %s", 100*float64(l.Bytes)/float64(size), text)
	}
	return text
}

// journal reads what the journal holds now.
func (r *regexRun) journal(ctx context.Context, log string) (eachLine, error) {
	spec, err := config.ParseSpec(log)
	if err != nil {
		return nil, r.fails("ERROR: %v", err)
	}
	if r.o.journal != "" {
		words, err := config.ShellWords(r.o.journal)
		if err != nil {
			return nil, r.fails("ERROR: -m: %v", err)
		}
		r.matches = [][]string{words}
	}
	o := source.JournalOptions{Matches: r.matches}
	for _, p := range spec.Params {
		switch p.Name {
		case "journalpath":
			o.Directory = p.Value
		case "journalfiles":
			o.Files = strings.FieldsFunc(p.Value, func(r rune) bool { return r == ',' || r == ' ' })
		case "namespace":
			o.Namespace = p.Value
		}
	}
	return func(f func(filter.Line, int) error) error {
		return source.NewJournal(o).ReadAll(ctx, func(e source.Entry, number int) error {
			return f(filter.Line{Text: e.Text, Time: e.Time, Stamp: e.Time.Local().Format("2006-01-02T15:04:05.999999 ")}, number)
		})
	}, nil
}

// dnsTime is how long one name may take.
const dnsTime = 5 * time.Second

// namesKnown is how many names are remembered, so that a log of nothing but names stays bounded.
const namesKnown = 1 << 16

// newResolver asks the machine's resolver, each name once.
func newResolver() regextest.Resolver {
	var mu sync.Mutex // guards known
	known := map[string][]ident.ID{}
	return func(ctx context.Context, host string) ([]ident.ID, error) {
		mu.Lock()
		defer mu.Unlock()
		if ids, ok := known[host]; ok {
			return ids, nil
		}
		ctx, cancel := context.WithTimeout(ctx, dnsTime)
		defer cancel()
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		var ids []ident.ID
		for _, a := range addrs {
			ids = append(ids, ident.FromAddr(a))
		}
		if len(known) >= namesKnown {
			clear(known)
		}
		known[host] = ids
		return ids, err
	}
}

// hostOf asks the machine's resolver for the name of an address; "" if it has none.
func hostOf(ctx context.Context, id ident.ID) string {
	if !id.IsAddr() || !id.Prefix().IsSingleIP() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTime)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, id.Prefix().Addr().String())
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(names[0], ".")
}
