package destination

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

const dshieldURL = "https://www.dshield.org/submitapi/"

// dshield reports to DShield of the SANS Internet Storm Center, as its honeypots do: a line of a firewall's log,
// without the address that was attacked. How it is signed is taken from how the client of the ISC does it.
type dshield struct{ base }

func newDShield(b base) (report.Destination, error) {
	if b.Key == nil {
		return nil, lacks("apikey", "write apikey = file:/etc/agentd/dshield.key, with the key of your account")
	}
	if b.User == "" {
		return nil, lacks("user", "write user = the number of your account")
	}
	return &dshield{b}, nil
}

type dshieldLog struct {
	Time    int64  `json:"time"`
	Flags   string `json:"flags"`
	Source  string `json:"sip"`
	Target  string `json:"dip"`
	Proto   int    `json:"proto"`
	SPort   uint16 `json:"sport"`
	DPort   uint16 `json:"dport"`
	Version int    `json:"version"`
}

func (d *dshield) logs(r report.Report) []dshieldLog {
	l := dshieldLog{Time: r.Last.Unix(), Source: r.Addr.String(), Target: "0.0.0.0", Proto: 6, SPort: r.SourcePort, DPort: r.Port, Version: 4}
	if r.Addr.Is6() {
		l.Target, l.Version = "::", 6
	}
	return []dshieldLog{l}
}

// sign makes what shows that we have the key without telling it.
func sign(key, user string, nonce []byte) string {
	n := base64.StdEncoding.EncodeToString(nonce)
	mac := hmac.New(sha256.New, []byte(n+user))
	mac.Write([]byte(key))
	return fmt.Sprintf("ISC-HMAC-SHA256 Credentials=%s Userid=%s Nonce=%s", base64.StdEncoding.EncodeToString(mac.Sum(nil)), user, n)
}

// Send implements report.Destination.
func (d *dshield) Send(ctx context.Context, r report.Report) report.Result {
	key, err := d.Key()
	if err != nil {
		return report.Result{Kind: report.Broken, Detail: outbound.Clean(err.Error(), 300)}
	}
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce) // never fails
	auth := sign(key, d.User, nonce)
	body, err := json.Marshal(map[string]any{"type": "firewall", "logs": d.logs(r), "authheader": auth})
	if err != nil {
		return report.Result{Kind: report.Refused, Detail: err.Error()}
	}
	resp, bad := d.send(ctx, outbound.Request{
		Method: http.MethodPost, URL: d.url(dshieldURL), Key: outbound.HeaderKey("X-ISC-Authorization", auth), Body: body,
		Header: header("Content-Type", "application/json", "X-ISC-LogType", "firewall"),
	})
	if bad != nil {
		return *bad
	}
	return d.judge(resp)
}

// Preview implements report.Previewer.
func (d *dshield) Preview(r report.Report) string {
	b, err := json.Marshal(map[string]any{"type": "firewall", "logs": d.logs(r), "authheader": "(signed)"})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("POST %s\n%s\n%s", d.url(dshieldURL), "at "+r.Last.UTC().Format(time.RFC3339), b)
}
