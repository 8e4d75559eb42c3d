package control

import "time"

// Reports is the answer to GET /v1/reports.
type Reports struct {
	Destinations []ReportDestination `json:"destinations"`
	Reports      []Report            `json:"reports"` // the newest first
}

// ReportDestination is how somebody stands who is told of bans.
type ReportDestination struct {
	Name       string     `json:"name"`
	Type       string     `json:"type,omitempty"`
	Configured bool       `json:"configured"`
	Waiting    int        `json:"waiting"`
	Next       *time.Time `json:"next"` // when the next report is sent; null: none waits
	Used       int        `json:"used_today"`
	Budget     int        `json:"budget"` // a day; 0: no bound
	Until      *time.Time `json:"not_before"`
	Trouble    string     `json:"trouble,omitempty"` // why nothing is sent
	Lost       int        `json:"lost"`              // not taken since too many waited
	Sent       uint64     `json:"sent"`              // since the start, as those below
	Known      uint64     `json:"known"`
	Refused    uint64     `json:"refused"`
	Failed     uint64     `json:"failed"` // tries
	Cancelled  uint64     `json:"cancelled"`
}

// Report is one report to one destination.
type Report struct {
	ID          uint64     `json:"id"`
	Destination string     `json:"destination"`
	State       string     `json:"state"`
	IP          string     `json:"ip"`
	Jail        string     `json:"jail"`
	Category    string     `json:"category"`
	Banned      *time.Time `json:"banned"`
	Due         *time.Time `json:"due"`
	Done        *time.Time `json:"done"`
	Tries       int        `json:"tries"`
	Status      int        `json:"status,omitempty"` // of HTTP
	Detail      string     `json:"detail,omitempty"` // what was said at the last try
	Receipt     string     `json:"receipt,omitempty"`
	Failures    int        `json:"failures"`
	Comment     string     `json:"comment,omitempty"`
	Lines       []string   `json:"lines,omitempty"`
}

// ReportRequest is the body of POST /v1/reports/retry and drop.
type ReportRequest struct {
	IDs         []uint64 `json:"ids"` // none: all that wait
	Destination string   `json:"destination,omitempty"`
}

// ReportResult is their answer.
type ReportResult struct {
	Reports int `json:"reports"` // that are tried, or were dropped
}

// RetractRequest is the body of POST /v1/reports/retract.
type RetractRequest struct {
	IP string `json:"ip"`
}

// RetractResult is its answer.
type RetractResult struct {
	Destinations []Retracted `json:"destinations"`
}

// Retracted is what one destination says.
type Retracted struct {
	Destination string `json:"destination"`
	Detail      string `json:"detail,omitempty"`
	Error       string `json:"error,omitempty"`
}

// ReportPreviews is the answer to GET /v1/reports/preview.
type ReportPreviews struct {
	Previews []ReportPreview `json:"previews"`
}

// ReportPreview is what a ban would be reported as.
type ReportPreview struct {
	Destination string     `json:"destination"`
	Because     string     `json:"not_because,omitempty"` // it is not reported; empty: it is
	Due         *time.Time `json:"due"`
	Comment     string     `json:"comment"`
	Request     string     `json:"request,omitempty"` // as it would be sent, without keys
}
