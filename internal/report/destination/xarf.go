package destination

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

// xarf sends reports of X-ARF version 4 (xarf.org) as JSON to an address that one names.
type xarf struct{ base }

func newXARF(b base) (report.Destination, error) {
	switch {
	case b.URL == "":
		return nil, lacks("url", "write url = https://…, where the reports go")
	case b.Contact == "" || b.Organisation == "" || b.Domain == "":
		return nil, lacks("contact, organisation or domain", "write all three: a report says who reports, and whom to ask")
	}
	return &xarf{b}, nil
}

type xarfParty struct {
	Org     string `json:"org"`
	Contact string `json:"contact"`
	Domain  string `json:"domain"`
}

type xarfEvidence struct {
	Type        string `json:"content_type"`
	Description string `json:"description"`
	Payload     string `json:"payload"`
	Hash        string `json:"hash"`
}

type xarfReport struct {
	Version     string         `json:"xarf_version"`
	ID          string         `json:"report_id"`
	Timestamp   string         `json:"timestamp"`
	Reporter    xarfParty      `json:"reporter"`
	Sender      xarfParty      `json:"sender"`
	Source      string         `json:"source_identifier"`
	SourcePort  uint16         `json:"source_port,omitempty"`
	Category    string         `json:"category"`
	Type        string         `json:"type"`
	Protocol    string         `json:"protocol,omitempty"`
	Destination uint16         `json:"destination_port,omitempty"`
	First       string         `json:"first_seen"`
	Last        string         `json:"last_seen"`
	EvidenceOf  string         `json:"evidence_source"`
	Description string         `json:"description"`
	Evidence    []xarfEvidence `json:"evidence,omitempty"`
}

func (x *xarf) make(r report.Report) xarfReport {
	who := xarfParty{x.Organisation, x.Contact, x.Domain}
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	out := xarfReport{
		Version: "4.2.0", ID: identity(x.Domain, r), Timestamp: stamp(r.Banned), Reporter: who, Sender: who, Source: r.Addr.String(), SourcePort: r.SourcePort,
		Category: "connection", Type: xarfType(r.Category), Protocol: r.Protocol, Destination: r.Port, First: stamp(r.First), Last: stamp(r.Last),
		EvidenceOf: "automated_filter", Description: r.Comment,
	}
	if out.Protocol == "" {
		out.Protocol = "tcp"
	}
	if len(r.Lines) > 0 {
		text := []byte(strings.Join(r.Lines, "\n") + "\n")
		sum := sha256.Sum256(text)
		out.Evidence = []xarfEvidence{{
			Type: "text/plain", Description: "lines of the log, without those who were attacked", Payload: base64.StdEncoding.EncodeToString(text),
			Hash: "sha256:" + hex.EncodeToString(sum[:]),
		}}
	}
	return out
}

// xarfType is what the specification calls it. A login attack from an address wants the port it came from.
func xarfType(c report.Category) string {
	switch c {
	case report.PortScan:
		return "port_scan"
	case report.WebScan:
		return "vulnerability_scan"
	case report.WebAttack, report.Attack:
		return "reconnaissance"
	case report.SSHBruteForce, report.FTPBruteForce, report.MailBruteForce, report.WebBruteForce, report.VoIPFraud, report.DBBruteForce, report.Spam, report.BruteForce:
	}
	return "login_attack"
}

// identity names a report in the form of a UUID: the same report always has the same, so that who gets it twice
// can tell.
func identity(domain string, r report.Report) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "palisade %s %s %s %d", domain, r.Addr, r.Jail, r.Banned.Unix()))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version 8: of one's own making
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Send implements report.Destination.
func (x *xarf) Send(ctx context.Context, r report.Report) report.Result {
	key, bad := x.keyHeader("Authorization", "Bearer ")
	if bad != nil {
		return *bad
	}
	body, err := json.Marshal(x.make(r))
	if err != nil {
		return report.Result{Kind: report.Refused, Detail: err.Error()}
	}
	resp, bad := x.send(ctx, outbound.Request{Method: http.MethodPost, URL: x.URL, Key: key, Body: body, Header: header("Content-Type", "application/json")})
	if bad != nil {
		return *bad
	}
	out := x.judge(resp)
	if out.Kind == report.Sent {
		out.Receipt = receipt(resp.Body)
	}
	return out
}

// Preview implements report.Previewer.
func (x *xarf) Preview(r report.Report) string {
	b, err := json.MarshalIndent(x.make(r), "", "  ")
	if err != nil {
		return err.Error()
	}
	return "POST " + x.URL + "\n" + string(b)
}
