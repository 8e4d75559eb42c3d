package control

import "time"

// Exports is the answer to GET /v1/exports.
type Exports struct {
	Exports []ExportStatus `json:"exports"`
	Served  string         `json:"served,omitempty"`       // where lists are served
	Trouble string         `json:"served_error,omitempty"` // why not
}

// ExportStatus is how an export stands.
type ExportStatus struct {
	Name    string       `json:"name"`
	Format  string       `json:"format"`
	Path    string       `json:"path,omitempty"`
	Served  bool         `json:"served"`
	Entries int          `json:"entries"`
	Cut     int          `json:"cut"` // entries that there is no room for
	Bytes   int          `json:"bytes"`
	Written *time.Time   `json:"written"`
	Writes  uint64       `json:"writes"`
	Held    bool         `json:"held"` // nothing is blocked, and the list keeps what it had for a while
	Error   string       `json:"error,omitempty"`
	Since   *time.Time   `json:"error_since,omitempty"`
	Fetched *ExportFetch `json:"fetched,omitempty"`
}

// ExportFetch is the last time that a list was asked for over HTTP.
type ExportFetch struct {
	At    time.Time `json:"at"`
	Peer  string    `json:"peer"`
	Count uint64    `json:"count"` // since the start
}

// ExportRequest is the body of POST /v1/exports/write: names, or none for all.
type ExportRequest struct {
	Names []string `json:"names"`
}

// ExportResult is its answer.
type ExportResult struct {
	Exports []ExportWritten `json:"exports"`
}

// ExportWritten is how the writing of one export went.
type ExportWritten struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Error   string `json:"error,omitempty"`
}
