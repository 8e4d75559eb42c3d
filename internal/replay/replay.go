package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// Jail is a jail to try.
type Jail struct {
	Policy jail.Policy
	Filter filter.Options
	Ignore *jail.IgnoreList // nil ignores nobody
	// Watches reports whether a log is one of the jail's.
	Watches func(path string) bool
}

// Options say what is replayed, and how.
type Options struct {
	Jails []Jail
	Logs  []Log
	// Book bounds and sets the counting; see jail.Config.
	Book jail.Config
	// Limit is how many bans of a jail are kept; all are counted. 0 keeps DefaultLimit.
	Limit int
	// Resolve finds the addresses of names. Without it, failures of names are counted apart.
	Resolve func(ctx context.Context, host string) ([]ident.ID, error)
	// Progress is called now and then with how many bytes and lines have been read.
	Progress func(bytes, lines int64)
}

// Log is one log.
type Log struct {
	Name string
	// Now is the time that years are guessed by, where dates have none: no line is later.
	Now  time.Time
	Open func() (io.ReadCloser, error)
}

// DefaultLimit is how many bans of a jail are kept unless said otherwise.
const DefaultLimit = 100_000

// Result is what would have happened.
type Result struct {
	Jails []JailResult `json:"jails"`
	Lines int64        `json:"lines"` // read, each once however many jails watch it
	Bytes int64        `json:"bytes"`
	First *time.Time   `json:"first,omitempty"` // the times between which there were failures
	Last  *time.Time   `json:"last,omitempty"`
	// Took is how long it took, in seconds.
	Took float64 `json:"took"`
	// Interrupted says that not everything was read.
	Interrupted bool `json:"interrupted,omitempty"`
}

// JailResult is what would have happened in a jail.
type JailResult struct {
	Name     string   `json:"name"`
	Logs     []string `json:"logs"`
	Lines    int64    `json:"lines"`    // of its logs
	Matched  int64    `json:"matched"`  // lines with a failure
	Failures int64    `json:"failures"` // counted
	Ignored  int64    `json:"ignored"`  // failures of those whom the jail ignores
	TooOld   int64    `json:"too_old"`  // failures that came out of order by more than findtime
	Names    int64    `json:"names"`    // failures of names that were not resolved
	GaveUp   int64    `json:"gave_up"`  // searches stopped at the limit of a regex
	Banned   int64    `json:"banned"`   // bans
	Already  int64    `json:"already"`  // failures of those who were banned already, that would have banned
	Bans     []Ban    `json:"bans"`     // the first of them
}

// Ban is one ban that would have been.
type Ban struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`     // of the failure that led to it
	Duration int64     `json:"duration"` // seconds; negative: for ever
	Count    int       `json:"count"`    // which ban of this ID it is
	Failures int       `json:"failures"`
	// First and Last are the failures that led to it: where they stand, and their lines.
	First Place `json:"first"`
	Last  Place `json:"last"`
}

// Place is where a failure stands.
type Place struct {
	Log  string `json:"log"`
	Line int64  `json:"line"` // its number, from 1
	Text string `json:"text"`
}

// Run replays the logs. What is read of several logs is put in the order of its times, as it would have
// come. When ctx ends, the result is that of what was read so far, and Interrupted.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	began := time.Now()
	r := &run{opts: o, book: jail.NewBook(o.Book), result: &Result{}, recent: map[jail.Key]*recent{}}
	var dates date.Compiler
	for _, j := range o.Jails {
		r.book.SetJail(j.Policy)
		r.result.Jails = append(r.result.Jails, JailResult{Name: j.Policy.Jail, Logs: []string{}, Bans: []Ban{}})
	}
	var readers []*reader
	defer func() {
		for _, x := range readers {
			x.close()
		}
	}()
	for _, log := range o.Logs {
		x, err := r.open(log, &dates)
		if err != nil {
			return nil, err
		}
		readers = append(readers, x)
	}
	err := r.merge(ctx, readers)
	for _, x := range readers {
		x.settle()
	}
	r.result.Took = time.Since(began).Seconds()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		r.result.Interrupted = true
		err = nil
	}
	return r.result, err
}

// run is one replay. It belongs to one goroutine.
type run struct {
	opts   Options
	book   *jail.Book
	result *Result
	clock  time.Time // the latest time of any failure
	recent map[jail.Key]*recent
}

// failure is one failure on its way to the book.
type failure struct {
	jail int
	jail.Failure
	place Place
}

// merge takes the failures of all logs in the order of their times. Within a log the order is the log's.
func (r *run) merge(ctx context.Context, readers []*reader) error {
	open := slices.Clone(readers)
	for i := 0; i < len(open); {
		more, err := open[i].fill(ctx)
		if err != nil {
			return err
		}
		if !more {
			open = slices.Delete(open, i, i+1)
			continue
		}
		i++
	}
	for len(open) > 0 {
		next := 0
		for i, x := range open {
			if x.clock.Before(open[next].clock) {
				next = i
			}
		}
		x := open[next]
		for _, f := range x.ready {
			r.observe(f)
		}
		x.ready = x.ready[:0]
		more, err := x.fill(ctx)
		if err != nil {
			return err
		}
		if !more {
			open = slices.Delete(open, next, next+1)
		}
	}
	return nil
}

// observe counts a failure at its time.
func (r *run) observe(f failure) {
	j := &r.result.Jails[f.jail]
	policy := r.opts.Jails[f.jail].Policy
	if f.Time.IsZero() {
		f.Time = r.clock
	}
	if f.Time.Before(r.clock.Add(-policy.FindTime)) {
		j.TooOld++
		return
	}
	if f.Time.After(r.clock) {
		r.clock = f.Time
	}
	if r.result.First == nil {
		at := f.Time
		r.result.First = &at
	}
	at := r.clock
	r.result.Last = &at
	r.expire()
	j.Failures++
	key := jail.Key{Jail: policy.Jail, ID: f.ID}
	r.remember(key, f, policy)
	for _, d := range r.book.Observe(policy.Jail, f.Failure, r.clock) {
		switch d.Kind {
		case jail.BanStart:
			j.Banned++
			if len(j.Bans) < r.opts.Limit {
				j.Bans = append(j.Bans, r.ban(d.Ban, f))
			}
			delete(r.recent, key)
		case jail.Already:
			j.Already++
		default: // found, prolonged and the like are no bans
		}
	}
}

// expire ends what is over at the clock's time.
func (r *run) expire() {
	for {
		next, ok := r.book.NextExpiry()
		if !ok || next.After(r.clock) {
			return
		}
		before := r.book.Sizes()
		r.book.Expire(r.clock)
		if r.book.Sizes() == before {
			return // what is due this very second ends with the next
		}
	}
}

func (r *run) ban(b jail.Ban, last failure) Ban {
	out := Ban{
		ID: b.ID.String(), Time: b.Start, Duration: seconds(b.Duration), Count: b.Count, Failures: b.Failures,
		First: last.place, Last: last.place,
	}
	if rec := r.recent[b.Key]; rec != nil {
		out.First = rec.first(b.Failures)
	}
	return out
}

func seconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64(d / time.Second)
}

// maxRemembered bounds of how many addresses the places of failures are remembered.
const maxRemembered = 100_000

// recent are the places of the last failures of an ID.
type recent struct {
	places []Place // the last of them, oldest first
	last   time.Time
}

// remember keeps where a failure stands, as many as a ban of the jail needs.
func (r *run) remember(key jail.Key, f failure, p jail.Policy) {
	const most = 100
	rec := r.recent[key]
	if rec == nil {
		if len(r.recent) >= maxRemembered {
			r.forget(p.FindTime)
		}
		rec = &recent{}
		r.recent[key] = rec
	}
	if f.Time.Sub(rec.last) > p.FindTime {
		rec.places = rec.places[:0]
	}
	rec.last = f.Time
	if len(rec.places) >= min(max(p.MaxRetry, 1), most) {
		rec.places = slices.Delete(rec.places, 0, 1)
	}
	rec.places = append(rec.places, f.place)
}

// forget drops what is out of date, and if that is not enough, everything: the counting does not depend on
// it.
func (r *run) forget(findTime time.Duration) {
	for key, rec := range r.recent {
		if r.clock.Sub(rec.last) > findTime {
			delete(r.recent, key)
		}
	}
	if len(r.recent) >= maxRemembered {
		clear(r.recent)
	}
}

// first is the place of the first of so many failures, as far as it is remembered.
func (rec *recent) first(failures int) Place {
	n := len(rec.places)
	return rec.places[max(n-max(failures, 1), 0)]
}

// open readies a log for the jails that watch it.
func (r *run) open(log Log, dates *date.Compiler) (*reader, error) {
	x := &reader{run: r, log: log}
	var filters []*filter.Filter
	for i, j := range r.opts.Jails {
		if j.Watches != nil && !j.Watches(log.Name) {
			continue
		}
		o := j.Filter
		// The log's own time is the clock: what the server would compare with its own is compared in observe.
		o.NoTimeCheck, o.AllYears, o.Dates = true, true, dates
		f, err := filter.New(o, log.Now)
		if err != nil {
			return nil, fmt.Errorf("jail %s: %w", j.Policy.Jail, err)
		}
		filters = append(filters, f)
		x.sessions = append(x.sessions, f.NewSession())
		x.jails = append(x.jails, i)
		x.matched = append(x.matched, 0)
		r.result.Jails[i].Logs = append(r.result.Jails[i].Logs, log.Name)
	}
	if len(filters) > 0 {
		x.group = filter.NewGroup(filters)
	}
	in, err := log.Open()
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	x.in = newLines(in)
	return x, nil
}
