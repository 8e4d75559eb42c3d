package control

import "time"

// Lookups is the answer to GET /v1/lookup?ip=ADDRESS: what services say of an address.
type Lookups struct {
	IP       string   `json:"ip"`
	Services []Lookup `json:"services"` // in the order of agent.conf
}

// Lookup is what one service says. Its texts come from outside; they are cleaned and bounded.
type Lookup struct {
	Service    string     `json:"service"` // the section of agent.conf
	Type       string     `json:"type"`
	Score      *int       `json:"score"` // 0 (good) to 100; null: it gives none
	Level      string     `json:"level,omitempty"`
	Categories []string   `json:"categories,omitempty"`
	Flags      []string   `json:"flags,omitempty"` // as tor, vpn, datacenter: no evidence of attacks
	Owner      string     `json:"owner,omitempty"`
	Network    string     `json:"network,omitempty"` // as AS64500
	Country    string     `json:"country,omitempty"` // two letters
	Hostname   string     `json:"hostname,omitempty"`
	Reports    *int       `json:"reports"` // null: it does not say
	Last       *time.Time `json:"last_reported"`
	Notes      []string   `json:"notes,omitempty"`
	Page       string     `json:"page,omitempty"` // for people
	Error      string     `json:"error,omitempty"`
	Asked      time.Time  `json:"asked"`
	Cached     bool       `json:"cached"` // it was asked within the hour
}
