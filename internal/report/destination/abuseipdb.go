package destination

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

const (
	abuseURL = "https://api.abuseipdb.com/api/v2"
	// abuseRows and abuseBytes bound a file of reports. The service's own bounds are not documented.
	abuseRows  = 1000
	abuseBytes = 1 << 20
	// abuseComment is how many bytes of a comment are kept.
	abuseComment = 1024
)

// abuseIPDB reports to AbuseIPDB (docs.abuseipdb.com, version 2): one address at a time, and many in a file once the
// day's single reports are spent, which have a limit of their own.
type abuseIPDB struct{ base }

func newAbuseIPDB(b base) (report.Destination, error) {
	if b.Key == nil {
		return nil, lacks("apikey", "write apikey = file:/etc/agentd/abuseipdb.key, with the key of your account")
	}
	return &abuseIPDB{b}, nil
}

// abuseNumbers are AbuseIPDB's categories.
func abuseNumbers(c report.Category) string {
	switch c {
	case report.SSHBruteForce:
		return "18,22"
	case report.FTPBruteForce:
		return "5,18"
	case report.MailBruteForce, report.DBBruteForce, report.BruteForce:
		return "18"
	case report.WebBruteForce:
		return "18,21"
	case report.WebAttack:
		return "21"
	case report.WebScan:
		return "19,21"
	case report.VoIPFraud:
		return "8,18"
	case report.Spam:
		return "11"
	case report.PortScan:
		return "14"
	case report.Attack:
	}
	return "15"
}

// comment is what is said in words, with the lines if there are any.
func (a *abuseIPDB) comment(r report.Report) string {
	text := quoted(strings.Join(append([]string{r.Comment}, r.Lines...), " | "))
	return strings.ToValidUTF8(text[:min(len(text), abuseComment)], "")
}

func (a *abuseIPDB) form(r report.Report) url.Values {
	return url.Values{
		"ip": {r.Addr.String()}, "categories": {abuseNumbers(r.Category)}, "comment": {a.comment(r)}, "timestamp": {r.Last.UTC().Format(time.RFC3339)},
	}
}

// Send implements report.Destination.
func (a *abuseIPDB) Send(ctx context.Context, r report.Report) report.Result {
	key, bad := a.keyHeader("Key", "")
	if bad != nil {
		return *bad
	}
	resp, bad := a.send(ctx, outbound.Request{
		Method: http.MethodPost, URL: a.url(abuseURL) + "/report", Key: key, Body: []byte(a.form(r).Encode()),
		Header: header("Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json"),
	})
	if bad != nil {
		return *bad
	}
	return a.meaning(resp)
}

// meaning tells the two kinds of "too often" apart: of one address within 15 minutes, which means that they know of
// it, and of the day.
func (a *abuseIPDB) meaning(resp *outbound.Response) report.Result {
	out := a.judge(resp)
	detail := abuseErrors(resp.Body)
	if detail != "" {
		out.Detail = detail
	}
	if resp.Status != http.StatusTooManyRequests {
		return out
	}
	after, said := outbound.RetryAfter(resp.Header, a.Now())
	switch {
	case strings.Contains(detail, "same IP address"):
		out.Kind = report.Known
	case strings.Contains(strings.ToLower(detail), "daily rate limit") || said && after > longPause:
		out.Kind, out.Until = report.Spent, a.Now().Add(after)
		if !said {
			out.Until = time.Time{}
		}
	default:
		out.Kind, out.After = report.Later, after
	}
	return out
}

func abuseErrors(body []byte) string {
	var v struct {
		Errors []struct {
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	var all []string
	for _, e := range v.Errors {
		all = append(all, e.Detail)
	}
	return outbound.Clean(strings.Join(all, "; "), 300)
}

// Most implements report.Bulker.
func (a *abuseIPDB) Most() int { return abuseRows }

// SendBulk implements report.Bulker.
func (a *abuseIPDB) SendBulk(ctx context.Context, reports []report.Report) []report.Result {
	results := make([]report.Result, len(reports))
	all := func(r report.Result) []report.Result {
		for i := range results {
			if results[i] == (report.Result{}) {
				results[i] = r
			}
		}
		return results
	}
	key, bad := a.keyHeader("Key", "")
	if bad != nil {
		return all(*bad)
	}
	csv, n := a.csv(reports)
	for i := n; i < len(reports); i++ {
		results[i] = report.Result{Kind: report.Later, Detail: "the file was full"}
	}
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	part, err := m.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="csv"; filename="report.csv"`}, "Content-Type": {"text/csv"}})
	if err == nil {
		_, err = part.Write(csv)
	}
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		return all(report.Result{Kind: report.Later, Detail: err.Error()})
	}
	resp, bad := a.send(ctx, outbound.Request{
		Method: http.MethodPost, URL: a.url(abuseURL) + "/bulk-report", Key: key, Body: body.Bytes(),
		Header: header("Content-Type", m.FormDataContentType(), "Accept", "application/json"),
	})
	if bad != nil {
		return all(*bad)
	}
	out := a.meaning(resp)
	if out.Kind == report.Sent {
		a.invalid(resp.Body, reports, results)
	}
	return all(out)
}

// csv writes reports as a file, and says how many of them are in it. Quotes do not occur within quotes, since
// readers differ in how they would be escaped.
func (a *abuseIPDB) csv(reports []report.Report) ([]byte, int) {
	var b bytes.Buffer
	b.WriteString("IP,Categories,ReportDate,Comment\n")
	for i, r := range reports {
		line := fmt.Sprintf("%s,\"%s\",%s,\"%s\"\n", r.Addr, abuseNumbers(r.Category), r.Last.UTC().Format("2006-01-02T15:04:05-07:00"), a.comment(r))
		if i == abuseRows || b.Len()+len(line) > abuseBytes {
			return b.Bytes(), i
		}
		b.WriteString(line)
	}
	return b.Bytes(), len(reports)
}

// invalid takes note of rows that were not taken.
func (a *abuseIPDB) invalid(body []byte, reports []report.Report, results []report.Result) {
	var v struct {
		Data struct {
			Invalid []struct {
				Error string `json:"error"`
				Input string `json:"input"`
				Row   int    `json:"rowNumber"`
			} `json:"invalidReports"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &v) != nil {
		return
	}
	for _, x := range v.Data.Invalid {
		for i, r := range reports {
			if x.Input != r.Addr.String() {
				continue
			}
			results[i] = report.Result{Kind: report.Refused, Status: http.StatusOK, Detail: outbound.Clean(x.Error, 300)}
			if strings.Contains(x.Error, "Duplicate") {
				results[i].Kind = report.Known
			}
		}
	}
}

// Retract implements report.Retractor.
func (a *abuseIPDB) Retract(ctx context.Context, addr netip.Addr) (string, error) {
	key, bad := a.keyHeader("Key", "")
	if bad != nil {
		return "", fmt.Errorf("%s", bad.Detail)
	}
	resp, bad := a.send(ctx, outbound.Request{
		Method: http.MethodDelete, URL: a.url(abuseURL) + "/clear-address?" + url.Values{"ipAddress": {addr.String()}}.Encode(), Key: key, Header: header("Accept", "application/json"),
	})
	if bad != nil {
		return "", fmt.Errorf("%s", bad.Detail)
	}
	if !resp.OK() {
		return "", fmt.Errorf("the server answers %d: %s", resp.Status, outbound.Clean(string(resp.Body), 200))
	}
	var v struct {
		Data struct {
			Deleted int `json:"numReportsDeleted"`
		} `json:"data"`
	}
	if err := json.Unmarshal(resp.Body, &v); err != nil {
		return "", fmt.Errorf("the answer cannot be read: %w", err)
	}
	return fmt.Sprintf("%d reports were taken back", v.Data.Deleted), nil
}

// Preview implements report.Previewer.
func (a *abuseIPDB) Preview(r report.Report) string {
	return "POST " + a.url(abuseURL) + "/report\n" + a.form(r).Encode()
}
