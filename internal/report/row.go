package report

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/palisade-agent/palisade/internal/store"
)

// State is what became of a report so far.
type State string

// The states. Those but Waiting are final.
const (
	Waiting   State = "waiting"
	IsSent    State = "sent"
	IsKnown   State = "known"     // they had it already
	IsRefused State = "refused"   // by the destination
	Cancelled State = "cancelled" // the ban was lifted before it was sent
	Dropped   State = "dropped"   // by an operator
	TooOld    State = "too-old"   // it could not be sent for too long
)

// Row is a report on its way to a destination, or at its end.
type Row struct {
	Destination string    `json:"destination"`
	Report      Report    `json:"report"`
	State       State     `json:"state"`
	Due         time.Time `json:"due"` // not before
	Tries       int       `json:"tries"`
	Done        time.Time `json:"done,omitzero"`
	Status      int       `json:"status,omitempty"` // of HTTP, of the last try
	Detail      string    `json:"detail,omitempty"` // what was said at the last try
	Receipt     string    `json:"receipt,omitempty"`
}

// encode makes a row of the store of it.
func (r Row) encode() store.OutboxRow {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("a report cannot be written as JSON: %v", err)) // it is of texts, numbers and times alone
	}
	return store.OutboxRow{Destination: r.Destination, ID: r.Report.ID, Value: b}
}

func decode(o store.OutboxRow) (r Row, err error) {
	if err := json.Unmarshal(o.Value, &r); err != nil {
		return r, fmt.Errorf("report %d to %s: %w", o.ID, o.Destination, err)
	}
	r.Destination, r.Report.ID = o.Destination, o.ID
	return r, nil
}

// account is what is remembered of a destination: row 0 of it.
type account struct {
	Day   string    `json:"day"` // of Used, by UTC
	Used  int       `json:"used"`
	Until time.Time `json:"until,omitzero"` // nothing is taken before
}

func (a account) encode(destination string) store.OutboxRow {
	b, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("an account cannot be written as JSON: %v", err))
	}
	return store.OutboxRow{Destination: destination, Value: b}
}

// used is how many were sent on a day.
func (a account) used(now time.Time) int {
	if a.Day != day(now) {
		return 0
	}
	return a.Used
}

func (a *account) count(now time.Time, n int) {
	a.Used, a.Day = a.used(now)+n, day(now)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// tomorrow is the beginning of the next day, by UTC.
func tomorrow(now time.Time) time.Time { return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }
