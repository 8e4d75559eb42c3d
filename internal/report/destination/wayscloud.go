package destination

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

const (
	wayscloudURL = "https://api.wayscloud.services/v1/ip/report"
	// wayscloudBody is assumed: that the call exists, that it takes JSON and the key is documented, its fields
	// are not. Whoever knows better writes body = into agent.conf.
	wayscloudBody = `{"ip":"{ip}","category":"{category}","comment":"{comment}","reported_at":"{last}"}`
)

// wayscloud reports to WAYSCloud, one address at a time (docs.wayscloud.services).
type wayscloud struct {
	base
	body Template
}

func newWayscloud(b base) (report.Destination, error) {
	if b.Key == nil {
		return nil, lacks("apikey", "write apikey = file:/etc/agentd/wayscloud.key, with a key that begins with wayscloud_")
	}
	text := b.Body
	if text == "" {
		text = wayscloudBody
	}
	t, err := ParseTemplate(text)
	if err != nil {
		return nil, err
	}
	return &wayscloud{b, t}, nil
}

// Send implements report.Destination.
func (w *wayscloud) Send(ctx context.Context, r report.Report) report.Result {
	key, bad := w.keyHeader("X-API-Key", "")
	if bad != nil {
		return *bad
	}
	resp, bad := w.send(ctx, outbound.Request{
		Method: http.MethodPost, URL: w.url(wayscloudURL), Key: key, Body: []byte(w.body.JSON(r)), Header: header("Content-Type", "application/json", "Accept", "application/json"),
	})
	if bad != nil {
		return *bad
	}
	out := w.judge(resp)
	if resp.Status == http.StatusUnprocessableEntity || resp.Status == http.StatusBadRequest {
		// The fields are not what is wanted: that is so for all reports.
		out.Kind = report.Broken
		out.Detail = outbound.Clean(fmt.Sprintf("it wants other fields (write body = {…} into agent.conf): %s", resp.Body), 300)
	}
	if resp.Status == http.StatusTooManyRequests && out.Kind == report.Later && out.After == 0 {
		out.Kind = report.Spent // its limits are of the day, and its answer says when that ends only in words
	}
	if out.Kind == report.Sent {
		out.Receipt = receipt(resp.Body)
	}
	return out
}

// Preview implements report.Previewer.
func (w *wayscloud) Preview(r report.Report) string {
	return "POST " + w.url(wayscloudURL) + "\n" + w.body.JSON(r)
}

// receipt is what an answer calls a report, where it says so.
func receipt(body []byte) string {
	var v map[string]any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	for _, name := range []string{"report_id", "id", "uuid"} {
		switch x := v[name].(type) {
		case string:
			return outbound.Clean(x, 100)
		case float64:
			return fmt.Sprintf("%.0f", x)
		}
	}
	return ""
}
