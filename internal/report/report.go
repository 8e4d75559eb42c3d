package report

import (
	"context"
	"net/netip"
	"time"
)

// Category says what somebody did, in our own short list; destinations have their own names and numbers for it.
type Category string

// The categories.
const (
	SSHBruteForce  Category = "ssh_bruteforce"
	FTPBruteForce  Category = "ftp_bruteforce"
	MailBruteForce Category = "mail_bruteforce"
	WebBruteForce  Category = "web_bruteforce"
	WebAttack      Category = "web_attack"
	WebScan        Category = "web_scan" // bots that look for what is not there
	VoIPFraud      Category = "voip_fraud"
	DBBruteForce   Category = "database_bruteforce"
	Spam           Category = "spam"
	PortScan       Category = "port_scan"
	BruteForce     Category = "bruteforce" // anything else that asks for a password
	Attack         Category = "attack"     // anything else
)

// Categories are all of them.
func Categories() []Category {
	return []Category{SSHBruteForce, FTPBruteForce, MailBruteForce, WebBruteForce, WebAttack, WebScan, VoIPFraud, DBBruteForce, Spam, PortScan, BruteForce, Attack}
}

// Report is what a destination is told of one ban. There is nothing in it of those who were attacked, but for
// Lines, which are scrubbed and only there if they are asked for.
type Report struct {
	ID         uint64     `json:"id"`
	Addr       netip.Addr `json:"addr"`
	Jail       string     `json:"jail"`
	Service    string     `json:"service"` // as people call it: "SSH"
	Category   Category   `json:"category"`
	Banned     time.Time  `json:"banned"`
	First      time.Time  `json:"first"` // failure
	Last       time.Time  `json:"last"`
	Failures   int        `json:"failures"`
	Port       uint16     `json:"port,omitempty"`        // that was attacked; 0: not known
	Protocol   string     `json:"protocol,omitempty"`    // "tcp" or "udp"
	SourcePort uint16     `json:"source_port,omitempty"` // 0: not known
	Comment    string     `json:"comment"`               // generated, one line
	Lines      []string   `json:"lines,omitempty"`
}

// ban is what rules ask of a report that waits: the rest was asked when the ban began.
func (r Report) ban() Ban {
	return Ban{Jail: r.Jail, Prefix: netip.PrefixFrom(r.Addr, r.Addr.BitLen()), Local: true, Banned: r.Banned, Failures: r.Failures, Protocol: r.Protocol}
}

// ResultKind says what became of a report.
type ResultKind int

// What becomes of reports.
const (
	Later   ResultKind = iota // not now: it is tried again
	Sent                      // they have it
	Known                     // they had it already, which is as good
	Refused                   // this report will never be taken
	Spent                     // no more today, or this month
	Broken                    // no report will be taken until somebody does something: a wrong key, another contract
)

// String is the kind's name in lower case.
func (k ResultKind) String() string {
	return [...]string{"later", "sent", "known", "refused", "spent", "broken"}[k]
}

// Result is what a destination says of a report.
type Result struct {
	Kind    ResultKind
	After   time.Duration // Later: not before; 0: it does not say
	Until   time.Time     // Spent: until then; zero: it does not say
	Status  int           // of HTTP; 0: there was no answer
	Detail  string        // what was said, fit to be shown, at most 300 bytes
	Receipt string        // what they call it; empty if they do not say
}

// Destination takes reports. Its methods are called by one goroutine.
type Destination interface {
	// Send tells of one report.
	Send(ctx context.Context, r Report) Result
}

// Bulker is a Destination that takes many reports at once, which it counts apart from single ones.
type Bulker interface {
	// Most is how many reports a call may carry.
	Most() int
	// SendBulk tells of many; there is one result for each, in the same order.
	SendBulk(ctx context.Context, reports []Report) []Result
}

// Retractor is a Destination where reports can be taken back.
type Retractor interface {
	// Retract takes back what was said of an address.
	Retract(ctx context.Context, a netip.Addr) (detail string, err error)
}

// Previewer is a Destination that can say what it would send.
type Previewer interface {
	// Preview is the request as text, without keys.
	Preview(r Report) string
}
