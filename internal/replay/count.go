package replay

import (
	"strconv"
	"time"

	"github.com/palisade-agent/palisade/internal/jail"
)

// run is one replay. It belongs to one goroutine.
type run struct {
	opts    Options
	book    *jail.Book
	result  *Result
	readers []*reader

	clock    time.Time        // the latest time of any failure
	purged   time.Time        // the clock when outdated histories were last forgotten
	standing map[jail.Key]int // the bans that stand: where in JailResult.Bans, -1 for one that is only counted
	first    map[string]string
}

// failure is one failure on its way to the book.
type failure struct {
	jail int
	jail.Failure
	place Place
}

// total is what a jail does to an ID.
type total struct {
	first   time.Time
	seconds int64 // negative for ever
	bans    int
}

// ahead reports whether a time cannot be.
func (r *run) ahead(at time.Time) bool { return !r.opts.Latest.IsZero() && at.After(r.opts.Latest) }

// observe counts a failure at its time.
func (r *run) observe(f failure) {
	j := &r.result.Jails[f.jail]
	policy := r.opts.Jails[f.jail].Policy
	if f.Time.Before(r.clock.Add(-policy.FindTime)) {
		j.TooOld++
		return
	}
	if f.Time.After(r.clock) {
		r.clock = f.Time
		r.expire()
	}
	if r.result.First == nil {
		at := f.Time
		r.result.First = &at
	}
	at := r.clock
	r.result.Last = &at
	j.Failures++
	if _, banned := r.standing[jail.Key{Jail: policy.Jail, ID: f.ID}]; banned {
		j.Kept++
	}
	f.Data = r.begin(f.place)
	for _, d := range r.book.Observe(policy.Jail, f.Failure, r.clock) {
		r.settle(d, f)
	}
}

// purgeEvery is how often outdated histories are forgotten, in the time of the logs.
const purgeEvery = time.Hour

// expire ends what is over at the clock's time.
func (r *run) expire() {
	for {
		next, ok := r.book.NextExpiry()
		if !ok || next.After(r.clock) {
			break
		}
		for _, d := range r.book.Expire(r.clock) {
			delete(r.standing, d.Key)
		}
	}
	if r.clock.Sub(r.purged) >= purgeEvery && !r.book.Purge(r.clock) {
		r.purged = r.clock
	}
}

// begin makes the data that a book keeps of the first failure of a tally: where it stands. The map is the
// same each time; the book copies it.
func (r *run) begin(p Place) map[string]string {
	r.first["log"], r.first["line"], r.first["text"] = p.Log, strconv.FormatInt(p.Line, 10), p.Text
	return r.first
}

// began reads what begin made.
func began(data map[string]string) *Place {
	line, err := strconv.ParseInt(data["line"], 10, 64)
	if err != nil {
		return nil // the book had no room for it
	}
	return &Place{data["log"], line, data["text"]}
}

// settle takes one decision of the book into the result.
func (r *run) settle(d jail.Decision, f failure) {
	j := &r.result.Jails[f.jail]
	switch d.Kind {
	case jail.BanStart:
		j.Banned++
		at := -1
		if r.opts.Limit < 0 || len(j.Bans) < r.opts.Limit {
			at = len(j.Bans)
			j.Bans = append(j.Bans, Ban{
				ID: d.Ban.ID.String(), Time: d.Ban.Start, Until: end(d.Ban), Duration: seconds(d.Ban.Duration),
				Count: d.Ban.Count, Failures: d.Ban.Failures, First: began(d.Ban.Data), Last: f.place,
			})
		}
		r.standing[d.Key] = at
		r.add(d.Key, d.Ban.Start, seconds(d.Ban.Duration), 1)
	case jail.Prolong:
		if at, ok := r.standing[d.Key]; ok && at >= 0 {
			b := &j.Bans[at]
			b.Until, b.Duration = end(d.Ban), seconds(d.Ban.Duration)
			b.Prolonged++
		}
		more := int64(-1)
		if d.Ban.Duration >= 0 {
			more = seconds(d.Ban.Duration - d.Old)
		}
		r.add(d.Key, d.Ban.Start, more, 0)
	case jail.Unban:
		delete(r.standing, d.Key)
	default: // what is counted is no ban yet, and what is known already is none
	}
}

func (r *run) add(key jail.Key, start time.Time, seconds int64, bans int) {
	if r.result.totals == nil {
		return
	}
	t := r.result.totals[key]
	if t == nil {
		if len(r.result.totals) >= maxCompared {
			r.result.others += bans
			return
		}
		t = &total{first: start}
		r.result.totals[key] = t
	}
	t.bans += bans
	if seconds < 0 || t.seconds < 0 {
		t.seconds = -1
		return
	}
	t.seconds += seconds
}

// end is when a ban ends; nil for ever.
func end(b jail.Ban) *time.Time {
	if b.Duration < 0 {
		return nil
	}
	at := b.Start.Add(b.Duration)
	return &at
}

func seconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64(d / time.Second)
}
