package replay

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"golang.org/x/text/encoding"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// Jail is a jail to try.
type Jail struct {
	Policy jail.Policy
	// Filter takes times as they are: it is made with NoTimeCheck and AllYears.
	Filter *filter.Filter
	// Encoding is that of the jail's logs; nil is UTF-8.
	Encoding encoding.Encoding
	// Ignored reports whether the jail never bans an ID; nil is nobody.
	Ignored func(ctx context.Context, id ident.ID) bool
	// Watches reports whether a log is one of the jail's; nil is every log.
	Watches func(path string) bool
}

// Log is one log.
type Log struct {
	Name string
	// Written is when its last line was written: dates without a year are of the year before it.
	Written time.Time
	// Open is called once in a run, which closes what it gives.
	Open func() (io.ReadCloser, error)
}

// Options say what is replayed, and how.
type Options struct {
	Jails []Jail
	Logs  []Log
	// Book bounds and sets the counting; see jail.Config.
	Book jail.Config
	// Limit is how many bans of a jail are told one by one; all are counted. 0 is DefaultLimit, negative is
	// all of them.
	Limit int
	// Latest is a time that no line can be of: what is dated later happened when the lines before it did.
	// Zero believes every date.
	Latest time.Time
	// Compare keeps what Compare needs.
	Compare bool
	// Resolve finds the addresses of names. Without it, failures of names are counted apart.
	Resolve func(ctx context.Context, host string) []ident.ID
	// Progress is called now and then with how many lines have been read.
	Progress func(lines int64)
}

const (
	// DefaultLimit is how many bans of a jail are told one by one unless said otherwise. With their lines
	// they need 12 MB at most.
	DefaultLimit = 10_000
	// maxPlaces bounds the memory for the lines where failures began, in bytes.
	maxPlaces = 64 << 20
	// maxCompared bounds of how many IDs is remembered what Compare needs, in all jails.
	maxCompared = 1_000_000
)

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

	totals map[jail.Key]*total // with Options.Compare
	others int                 // bans of IDs beyond those in totals
}

// JailResult is what would have happened in a jail.
type JailResult struct {
	Name     string   `json:"name"`
	Logs     []string `json:"logs"`
	Lines    int64    `json:"lines"`    // of its logs
	Matched  int64    `json:"matched"`  // lines with a failure
	Failures int64    `json:"failures"` // counted
	Banned   int64    `json:"banned"`   // bans
	// Kept are the failures, among those counted, of who was banned at the time: a ban would have kept them
	// out of the log.
	Kept int64 `json:"kept"`
	// The rest was not counted.
	Ignored int64 `json:"ignored"` // failures of those whom the jail ignores
	TooOld  int64 `json:"too_old"` // failures that came out of order by more than findtime
	Undated int64 `json:"undated"` // failures before the first date in the log
	Names   int64 `json:"names"`   // failures of host names for which there is no address
	// Ahead are matches dated later than Options.Latest: they count at the time of the lines before them.
	Ahead  int64 `json:"ahead"`
	GaveUp int64 `json:"gave_up"` // searches stopped at the limit of a regex
	// Bans are the first of the bans, Options.Limit at most, in the order of their times.
	Bans []Ban `json:"bans"`
}

// Ban is one ban that would have been.
type Ban struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"` // of the failure that led to it, from which its end is counted
	// Until is its end; nil for ever.
	Until *time.Time `json:"until,omitempty"`
	// Duration is how long it lasts, in seconds, with what later failures prolonged it by; negative for ever.
	Duration int64 `json:"duration"`
	// Prolonged is how often later failures moved its end.
	Prolonged int `json:"prolonged,omitempty"`
	Count     int `json:"count"` // which ban of this ID it is, where ban times escalate; else 1
	Failures  int `json:"failures"`
	// First and Last are the first and the last failure that led to it. First is nil if too much had to be
	// remembered.
	First *Place `json:"first,omitempty"`
	Last  Place  `json:"last"`
}

// Place is where a failure stands.
type Place struct {
	Log  string `json:"log"`
	Line int64  `json:"line"` // its number, from 1
	Text string `json:"text"` // its beginning, at most 500 bytes
}

// Run replays the logs. What is read of several logs is put in the order of its times, as it would have
// come. The result is never nil: after an error it is that of what was read so far, as it is when ctx ends,
// which is no error but Interrupted.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	o.Book.MaxLineBytes = maxPlaces
	began := time.Now()
	r := &run{opts: o, book: jail.NewBook(o.Book), result: &Result{}, standing: map[jail.Key]int{}, first: map[string]string{}}
	if o.Compare {
		r.result.totals = map[jail.Key]*total{}
	}
	for _, j := range o.Jails {
		r.book.SetJail(j.Policy)
		r.result.Jails = append(r.result.Jails, JailResult{Name: j.Policy.Jail, Logs: []string{}, Bans: []Ban{}})
	}
	err := r.read(ctx)
	r.result.Took = time.Since(began).Seconds()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		r.result.Interrupted = true
		err = nil
	}
	return r.result, err
}

// read opens, merges and closes the logs.
func (r *run) read(ctx context.Context) error {
	defer func() {
		for _, x := range r.readers {
			x.settle()
			_ = x.from.Close()
		}
	}()
	for _, log := range r.opts.Logs {
		x, err := r.open(log)
		if err != nil {
			return err
		}
		r.readers = append(r.readers, x)
	}
	return r.merge(ctx)
}

// merge takes the failures of all logs in the order of their times. Within a log the order is the log's.
func (r *run) merge(ctx context.Context) error {
	var open []*reader // those with a failure in hand
	for _, x := range r.readers {
		more, err := x.fill(ctx)
		if err != nil {
			return err
		}
		if more {
			open = append(open, x)
		}
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

// progress tells how far the run is.
func (r *run) progress() {
	if r.opts.Progress == nil {
		return
	}
	var n int64
	for _, x := range r.readers {
		n += x.in.number
	}
	r.opts.Progress(n)
}
