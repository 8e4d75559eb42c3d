package destination

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

const (
	blocklistURL = "https://www.blocklist.de/en/httpreports.html"
	// blocklistLogs bounds the lines that are sent with a report, in bytes.
	blocklistLogs = 8 << 10
)

// blocklistDE reports to blocklist.de (www.blocklist.de/en/httpreports.html?help): a form with the server that
// reports, its key, and the lines, without which it takes no reports.
type blocklistDE struct{ base }

func newBlocklistDE(b base) (report.Destination, error) {
	if b.Key == nil {
		return nil, lacks("apikey", "write apikey = file:/etc/agentd/blocklist-de.key, with the key of this server")
	}
	if b.User == "" {
		return nil, lacks("user", "write user = the mail address, or the number, of this server in your account")
	}
	return &blocklistDE{b}, nil
}

func (d *blocklistDE) form(r report.Report, key string) url.Values {
	logs := strings.Join(r.Lines, "\n")
	if logs == "" {
		logs = r.Comment
	}
	return url.Values{
		"server": {d.User}, "apikey": {key}, "ip": {r.Addr.String()}, "service": {blocklistService(r.Category)}, "format": {"json"},
		"logs": {strings.ToValidUTF8(logs[:min(len(logs), blocklistLogs)], "")},
	}
}

// blocklistService is what they call a service.
func blocklistService(c report.Category) string {
	switch c {
	case report.SSHBruteForce:
		return "ssh"
	case report.FTPBruteForce:
		return "ftp"
	case report.MailBruteForce:
		return "mail"
	case report.WebBruteForce:
		return "bruteforcelogin"
	case report.WebAttack:
		return "rfi-attack"
	case report.WebScan:
		return "badbot"
	case report.VoIPFraud:
		return "asterisk"
	case report.DBBruteForce:
		return "mysql"
	case report.Spam:
		return "trigger-spam"
	case report.PortScan:
		return "portflood"
	case report.BruteForce, report.Attack:
	}
	return "manuall" // as it is spelt there: anything else
}

// Send implements report.Destination. An answer of 200 can be a refusal.
func (d *blocklistDE) Send(ctx context.Context, r report.Report) report.Result {
	key, err := d.Key()
	if err != nil {
		return report.Result{Kind: report.Broken, Detail: outbound.Clean(err.Error(), 300)}
	}
	resp, bad := d.send(ctx, outbound.Request{
		Method: http.MethodPost, URL: d.url(blocklistURL), Body: []byte(d.form(r, key).Encode()), Header: header("Content-Type", "application/x-www-form-urlencoded"),
	})
	if bad != nil {
		return *bad
	}
	out := d.judge(resp)
	out.Detail = strings.ReplaceAll(out.Detail, key, "(the key)")
	if out.Kind != report.Sent {
		return out
	}
	var v struct {
		Status string          `json:"status"`
		Error  json.RawMessage `json:"error"`
	}
	text := strings.ToLower(string(resp.Body))
	if json.Unmarshal(resp.Body, &v) != nil {
		// Their answers were plain text once.
		if strings.Contains(text, "error") && !strings.Contains(text, "error: 0") {
			out.Kind = report.Refused
		}
		return out
	}
	if wrong := strings.Trim(string(v.Error), `"`); v.Status == "success" || wrong == "0" || wrong == "" && v.Status == "" {
		return out
	}
	out.Kind = report.Refused
	if strings.Contains(text, "apikey") || strings.Contains(text, "api-key") || strings.Contains(text, "server not") {
		out.Kind = report.Broken
	}
	return out
}

// Preview implements report.Previewer.
func (d *blocklistDE) Preview(r report.Report) string {
	return "POST " + d.url(blocklistURL) + "\n" + d.form(r, "(the key)").Encode()
}
