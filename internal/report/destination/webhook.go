package destination

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

// webhook sends alerts in the form that CrowdSec's HTTP notifications have, a list of one, so that what listens for
// those can listen for ours.
type webhook struct{ base }

func newWebhook(b base) (report.Destination, error) {
	if b.URL == "" {
		return nil, lacks("url", "write url = https://…, where the reports go")
	}
	return &webhook{b}, nil
}

func (w *webhook) alerts(r report.Report) []map[string]any {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	scenario := "palisade/" + string(r.Category)
	return []map[string]any{{
		"uuid": identity("webhook", r), "scenario": scenario, "scenario_hash": "", "scenario_version": "", "message": r.Comment, "events_count": r.Failures,
		"start_at": stamp(r.First), "stop_at": stamp(r.Last), "created_at": stamp(r.Banned), "capacity": 0, "leakspeed": "0s", "simulated": false, "events": []any{},
		"source": map[string]any{"scope": "Ip", "value": r.Addr.String(), "ip": r.Addr.String()},
		"decisions": []map[string]any{{
			"origin": "palisade", "type": "ban", "scope": "Ip", "value": r.Addr.String(), "scenario": scenario,
		}},
	}}
}

// Send implements report.Destination.
func (w *webhook) Send(ctx context.Context, r report.Report) report.Result {
	key, bad := w.keyHeader("Authorization", "Bearer ")
	if bad != nil {
		return *bad
	}
	body, err := json.Marshal(w.alerts(r))
	if err != nil {
		return report.Result{Kind: report.Refused, Detail: err.Error()}
	}
	resp, bad := w.send(ctx, outbound.Request{Method: http.MethodPost, URL: w.URL, Key: key, Body: body, Header: header("Content-Type", "application/json")})
	if bad != nil {
		return *bad
	}
	return w.judge(resp)
}

// Preview implements report.Previewer.
func (w *webhook) Preview(r report.Report) string {
	b, err := json.MarshalIndent(w.alerts(r), "", "  ")
	if err != nil {
		return err.Error()
	}
	return "POST " + w.URL + "\n" + string(b)
}

// templated sends what one writes oneself, to any service that takes reports over HTTP.
type templated struct {
	base
	to, body Template
	kind     string // of the body
	headers  http.Header
}

func newHTTP(b base) (report.Destination, error) {
	if b.URL == "" {
		return nil, lacks("url", "write url = https://…, where the reports go")
	}
	t := &templated{base: b, headers: http.Header{}}
	if t.Method == "" {
		t.Method = http.MethodPost
	}
	var err error
	if t.to, err = ParseTemplate(b.URL); err != nil {
		return nil, err
	}
	if t.body, err = ParseTemplate(b.Body); err != nil {
		return nil, err
	}
	for _, h := range b.Headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return nil, fmt.Errorf("%w: the header %q is none: write it as Name: value", ErrOptions, h)
		}
		t.headers.Set(name, strings.TrimSpace(value))
	}
	t.kind = t.headers.Get("Content-Type")
	if t.kind == "" && b.Body != "" {
		t.kind = "application/x-www-form-urlencoded"
		if s := strings.TrimSpace(b.Body); strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
			t.kind = "application/json"
		}
		t.headers.Set("Content-Type", t.kind)
	}
	return t, nil
}

// text is the body of a report, escaped as its type wants it.
func (t *templated) text(r report.Report) string {
	switch {
	case strings.Contains(t.kind, "json"):
		return t.body.JSON(r)
	case strings.Contains(t.kind, "urlencoded"):
		return t.body.Form(r)
	}
	return t.body.Text(r)
}

// where is the address of a report: before the query, values are parts of the path.
func (t *templated) where(r report.Report) string {
	path, query, has := strings.Cut(t.to.text, "?")
	address := Template{path}.Path(r)
	if has {
		address += "?" + Template{query}.Form(r)
	}
	return address
}

// Send implements report.Destination.
func (t *templated) Send(ctx context.Context, r report.Report) report.Result {
	var key outbound.Key
	if t.Key != nil {
		name, prefix := t.keyName()
		var bad *report.Result
		if key, bad = t.keyHeader(name, prefix); bad != nil {
			return *bad
		}
	} else if t.Password != nil {
		password, err := t.Password()
		if err != nil {
			return report.Result{Kind: report.Broken, Detail: outbound.Clean(err.Error(), 300)}
		}
		key = outbound.BasicKey(t.User, password)
	}
	resp, bad := t.send(ctx, outbound.Request{Method: t.Method, URL: t.where(r), Key: key, Body: []byte(t.text(r)), Header: t.headers.Clone()})
	if bad != nil {
		return *bad
	}
	out := t.judge(resp)
	switch {
	case isOneOf(resp.Status, t.Known):
		out.Kind = report.Known
	case len(t.Success) > 0 && isOneOf(resp.Status, t.Success):
		out.Kind = report.Sent
	case len(t.Success) > 0 && out.Kind == report.Sent:
		out.Kind = report.Refused
	}
	if out.Kind == report.Sent {
		out.Receipt = receipt(resp.Body)
	}
	return out
}

// keyName is the header of the key: that of which the configuration says that it holds it, as "X-Key: {key}".
func (t *templated) keyName() (name, prefix string) {
	for h, v := range t.headers {
		if prefix, ok := strings.CutSuffix(v[0], "{key}"); ok {
			return h, prefix
		}
	}
	return "Authorization", "Bearer "
}

// Preview implements report.Previewer.
func (t *templated) Preview(r report.Report) string {
	return t.Method + " " + t.where(r) + "\n" + t.text(r)
}
