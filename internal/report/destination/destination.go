package destination

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
)

// Options are what a destination is set up with. Of the fields below Type, each type wants some.
type Options struct {
	Name   string
	Type   string // one of Types
	Client func() *outbound.Client
	Agent  string // name and version of the program that reports
	Now    func() time.Time

	Key      func() (string, error) // nil: there is none
	Password func() (string, error)
	User     string // a user, a server's address, or an ID, as the service has it

	URL     string // instead of the service's own
	Method  string // of http: POST unless something else is said
	Headers []string
	Body    string // a template, see Template
	Success []int  // of http: answers that mean that it has arrived; none: 200 to 299
	Known   []int  // of http: answers that mean that it was known already

	Organisation, Contact, Domain string // of xarf: who reports
}

// ErrOptions says what is missing.
var ErrOptions = errors.New("the destination cannot be used")

// Types are the names of all kinds of destinations.
func Types() []string {
	return []string{"wayscloud", "abuseipdb", "blocklist-de", "dshield", "xarf", "webhook", "http"}
}

// New makes a destination. The error, which wraps ErrOptions, says what it lacks.
func New(o Options) (report.Destination, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	b := base{o}
	switch o.Type {
	case "wayscloud":
		return newWayscloud(b)
	case "abuseipdb":
		return newAbuseIPDB(b)
	case "blocklist-de":
		return newBlocklistDE(b)
	case "dshield":
		return newDShield(b)
	case "xarf":
		return newXARF(b)
	case "webhook":
		return newWebhook(b)
	case "http":
		return newHTTP(b)
	}
	return nil, fmt.Errorf("%w: there is no type %q: there are %s", ErrOptions, o.Type, strings.Join(Types(), ", "))
}

// base is what all destinations have.
type base struct{ Options }

// lacks is an error about something that is not set.
func lacks(key, hint string) error { return fmt.Errorf("%w: %s is missing: %s", ErrOptions, key, hint) }

// url is the one that is set, or else the service's own.
func (b base) url(own string) string {
	if b.URL != "" {
		return b.URL
	}
	return own
}

// answerLimit bounds the answers that are read.
const answerLimit = 256 << 10

// sendTime bounds a request.
const sendTime = 30 * time.Second

// send makes a request. Without an answer it gives the result that follows from that.
func (b base) send(ctx context.Context, r outbound.Request) (*outbound.Response, *report.Result) {
	r.Limit, r.Timeout = answerLimit, sendTime
	resp, err := b.Client().Do(ctx, r)
	if err != nil {
		return nil, &report.Result{Kind: report.Later, Detail: outbound.Clean(err.Error(), 300)}
	}
	return resp, nil
}

// keyHeader reads the key for a header.
func (b base) keyHeader(header, prefix string) (outbound.Key, *report.Result) {
	if b.Key == nil {
		return outbound.Key{}, nil
	}
	key, err := b.Key()
	if err != nil {
		return outbound.Key{}, &report.Result{Kind: report.Broken, Detail: outbound.Clean(err.Error(), 300)}
	}
	return outbound.HeaderKey(header, prefix+key), nil
}

// header makes headers of names and values in turn.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// judge says what an answer means by its status alone.
func (b base) judge(resp *outbound.Response) report.Result {
	r := report.Result{Status: resp.Status, Detail: outbound.Clean(string(resp.Body), 300)}
	after, said := outbound.RetryAfter(resp.Header, b.Now())
	switch s := resp.Status; {
	case s >= 200 && s < 300:
		r.Kind = report.Sent
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusPaymentRequired, s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusGone:
		r.Kind = report.Broken
	case s >= 300 && s < 400:
		r.Kind, r.Detail = report.Broken, "the server sends reports elsewhere, where no key follows: write its address at url"
	case s == http.StatusConflict:
		r.Kind = report.Known
	case s == http.StatusTooManyRequests && said && after > longPause:
		r.Kind, r.Until = report.Spent, b.Now().Add(after)
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500:
		r.Kind, r.After = report.Later, after
	default:
		r.Kind = report.Refused
	}
	return r
}

// longPause is the wait from which on a server that is asked too often means the day and not the minute. AbuseIPDB's
// short one is 15 minutes.
const longPause = 15 * time.Minute

// quoted is a text that a template or a form takes: on one line, without what ends a text.
func quoted(s string) string {
	return strings.NewReplacer(`"`, "'", `\`, "/", "\r", " ", "\n", " ").Replace(s)
}

func isOneOf(status int, list []int) bool { return slices.Contains(list, status) }
