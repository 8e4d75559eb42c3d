package control

import "time"

// Feeds is the answer to GET /v1/feeds.
type Feeds struct {
	Feeds []FeedStatus `json:"feeds"`
}

// FeedStatus is how a list stands: a feed, or an allowlist.
type FeedStatus struct {
	Name  string `json:"name"`
	Use   string `json:"use"`  // "block" or "allow"
	Type  string `json:"type"` // as the configuration has it
	Where string `json:"where"`
	State string `json:"state"` // "ok", "waiting", "failing" (the last good copy counts) or "expired" (none does)

	Mode      string `json:"mode,omitempty"`      // "drop", "reject" or "log"
	Direction string `json:"direction,omitempty"` // "in" or "both"

	Entries  int `json:"entries"`  // of the list
	Ranges   int `json:"ranges"`   // of addresses, that are blocked or allowed
	Suspects int `json:"suspects"` // ranges that are banned at their first failure
	Refused  int `json:"refused"`  // entries that may not be blocked, or are not bad enough
	Bad      int `json:"bad"`      // lines that are no entries

	Fetched  *time.Time `json:"fetched"` // the last good answer; null: none yet
	Changed  *time.Time `json:"changed"`
	Next     *time.Time `json:"next"`
	Expires  *time.Time `json:"expires"` // when the copy is given up without a good answer; null: never
	Interval float64    `json:"interval_seconds"`

	Error    string     `json:"error,omitempty"` // why the last try was none
	Since    *time.Time `json:"error_since,omitempty"`
	Failures int        `json:"failures"` // in a row
	Notes    []string   `json:"notes,omitempty"`

	// Of one list alone.
	Refusals []FeedRefusal `json:"refusals,omitempty"`
	BadLines []FeedBad     `json:"bad_lines,omitempty"`
}

// FeedRefusal is why entries of a list are not blocked.
type FeedRefusal struct {
	Why      string   `json:"why"`
	Entries  int      `json:"entries"`
	Examples []string `json:"examples"`
}

// FeedBad is a line of a list that is no entry.
type FeedBad struct {
	Line int    `json:"line"`
	Text string `json:"text"` // as it came: to be escaped where it is shown
	Why  string `json:"why"`
}

// RefreshRequest is the body of POST /v1/feeds/refresh: names, or none for all.
type RefreshRequest struct {
	Names []string `json:"names"`
}

// RefreshResult is its answer.
type RefreshResult struct {
	Feeds []Refreshed `json:"feeds"`
}

// Refreshed is how the asking for one list went.
type Refreshed struct {
	Name    string `json:"name"`
	Error   string `json:"error,omitempty"`
	Entries int    `json:"entries"`
}
