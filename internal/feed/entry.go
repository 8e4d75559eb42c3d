package feed

import (
	"net/netip"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// NoScore is the score of an entry whose list gives none.
const NoScore = -1

// Unscored is the score of an entry that should have one, since its list has a place for scores, and has not.
const Unscored = -2

// Entry is what a list says of some addresses.
type Entry struct {
	First, Last netip.Addr // of one family, IPv4 never mapped into IPv6, without a zone; First ≤ Last
	Score       int        // 0 to 100, NoScore or Unscored
	Until       time.Time  // it counts no longer than this; zero: as long as the list says it
	Revoked     bool       // it is taken back
	ID          string     // of the entry at its publisher, at most 200 bytes; empty where there is none
	Note        string     // a category or name, at most 200 bytes, as it came; empty where there is none
	Line        int        // of the document, from 1; 0 where it has none
}

// Format is how a document is written.
type Format struct {
	Kind string // "plain", "csv", "json", "drop", "stix", "taxii" or "crowdsec"
	// Column is the one with the address: of CSV its name in the header, or its number from 1 on; empty is
	// the first. ScoreColumn is that of the score; empty is none.
	Column, ScoreColumn string
	Separator           rune // of CSV; 0 is a comma
	// Path says where the addresses of a JSON document are, ScorePath where an entry's score is, seen from
	// the object that the address is in.
	Path, ScorePath string
}

// Limits bound what is read of a document.
type Limits struct {
	Entries   int       // more are left out, and Parsed.Truncated says so
	LineBytes int       // of a line, or of a token of JSON; 0 is 16 KiB
	Now       time.Time // for what ends after a time, and what does not begin yet
	BadShare  float64   // of the lines that may be none of the format, 0 to 1; 0 is a fifth. Ten bad lines are always borne.
}

// Bad is a line, or an object, that is none of the format.
type Bad struct {
	Line int
	Text string // as it came, at most 100 bytes; whoever shows it escapes it
	Why  string
}

// Parsed is how the reading of a document went.
type Parsed struct {
	Lines     int // read: of text, or objects of JSON
	Entries   int // handed over
	Skipped   int // well-formed, and not of addresses by themselves: other patterns of STIX, other decisions
	BadCount  int
	Bad       []Bad // the first twenty
	Truncated bool  // there were more entries than Limits allows
	More      bool  // of TAXII: there is another page
	Next      string
}

// Guards say what of a list may be blocked.
type Guards struct {
	Allow cidr.Ranges // never blocked; cut out of entries that are larger
	Own   cidr.Ranges // the machine's addresses, its gateways and resolvers; as Allow
	// Private lets a list of one's own name private and other special addresses. Those of loopback, multicast
	// and the whole network are refused all the same.
	Private bool
	// Min4 and Min6 are the shortest prefixes, in bits; an entry with more addresses is refused.
	Min4, Min6 int
	MaxEntries int
	MayEmpty   bool
	MayShrink  float64 // by how much a list of a hundred entries or more may shrink, 0 to 1
	// MinScore is from which score on an entry is blocked. From ShortScore on, and below, it is blocked for
	// a short time; from CountScore on, and below these, its address is banned at its first failure here.
	// Entries without a score are blocked. ShortScore and CountScore below 0 are none.
	MinScore, ShortScore, CountScore int
	Now                              time.Time
}

// Refusal is why entries of a list are not blocked.
type Refusal struct {
	Why      string
	Entries  int
	Examples []string // at most three
}

// Verdict is what is to be blocked of a list.
type Verdict struct {
	Entries int // that the list has, without those that are revoked or over
	Block   cidr.Ranges
	Short   cidr.Ranges // as Block, for a short time from their first appearance on
	Count   cidr.Ranges
	Refused []Refusal // in order of their number, largest first
	NextEnd time.Time // when the first entry's Until is over, so that the list is to be judged again; zero: never
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
