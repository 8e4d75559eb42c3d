package lookup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/outbound"
)

const (
	// Timeout bounds the question to one service.
	Timeout = 3 * time.Second
	// Keep is how long an answer is remembered.
	Keep = time.Hour
	// answerBytes bounds an answer. isMalicious' are the longest, below 100 kB.
	answerBytes = 512 << 10
	// kept bounds how many answers are remembered; each has a few kB at most.
	kept = 1000
	// defaultPause is how long a service is left alone that has had enough questions and does not say until when.
	defaultPause = time.Minute
)

// Service is somebody who is asked.
type Service struct {
	Name string // of the section that has its key
	Type string // one of Types
	URL  string // without a slash at its end; empty is the service's own
	// Key and Secret read what the service knows us by; nil where there is none. Their errors hold no key.
	Key, Secret func() (string, error)
	// Same is equal for services that give the same answers: a text of what they are made of, without keys.
	Same string
}

// Answer is what a service says of an address. Its texts are cleaned and bounded.
type Answer struct {
	Service    string     `json:"service"`
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
	Cached     bool       `json:"cached"`
}

// Desk asks, and remembers answers for an hour. It is safe for concurrent use.
type Desk struct {
	client func() *outbound.Client
	now    func() time.Time

	mu sync.Mutex // guards the fields below
	// answers are those that are remembered, at most kept; paused are services that have had enough.
	answers map[question]Answer
	paused  map[string]time.Time // by Service.Same
}

type question struct {
	same string
	addr netip.Addr
}

// NewDesk makes a Desk. Client gives what asks with, anew for each question; now nil is time.Now.
func NewDesk(client func() *outbound.Client, now func() time.Time) *Desk {
	if now == nil {
		now = time.Now
	}
	return &Desk{client: client, now: now, answers: map[question]Answer{}, paused: map[string]time.Time{}}
}

// Ask asks all services at the same time, each for Timeout at most, and gives their answers in the same order. What
// a service does not answer is in the Error of its Answer.
func (d *Desk) Ask(ctx context.Context, services []Service, a netip.Addr) []Answer {
	a = a.Unmap().WithZone("")
	out := make([]Answer, len(services))
	var group sync.WaitGroup
	for i, s := range services {
		group.Go(func() { out[i] = d.one(ctx, s, a) })
	}
	group.Wait()
	return out
}

func (d *Desk) one(ctx context.Context, s Service, a netip.Addr) Answer {
	now := d.now()
	if known, ok := d.remembered(question{s.Same, a}, now); ok {
		known.Service, known.Cached = s.Name, true
		return known
	}
	out, pause, err := d.ask(ctx, s, a, now)
	out.Service, out.Type, out.Asked = s.Name, s.Type, now
	d.mu.Lock()
	defer d.mu.Unlock()
	if pause > 0 {
		d.paused[s.Same] = now.Add(pause)
	}
	if err != nil {
		out.Error = err.Error()
		return out
	}
	if len(d.answers) >= kept {
		d.forget(now)
	}
	d.answers[question{s.Same, a}] = out
	return out
}

// remembered is an answer that was given within the hour.
func (d *Desk) remembered(q question, now time.Time) (Answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.answers[q]
	return known, ok && now.Sub(known.Asked) < Keep
}

// forget makes room: it drops what is too old, and the older half if that is not enough. mu is held.
func (d *Desk) forget(now time.Time) {
	var asked []time.Time
	for q, x := range d.answers {
		if now.Sub(x.Asked) >= Keep {
			delete(d.answers, q)
			continue
		}
		asked = append(asked, x.Asked)
	}
	if len(asked) < kept {
		return
	}
	slices.SortFunc(asked, time.Time.Compare)
	for q, x := range d.answers {
		if !x.Asked.After(asked[len(asked)/2]) {
			delete(d.answers, q)
		}
	}
	for same, until := range d.paused {
		if !now.Before(until) {
			delete(d.paused, same)
		}
	}
}

// ask asks one service now. Pause is how long it is to be left alone.
func (d *Desk) ask(ctx context.Context, s Service, a netip.Addr, now time.Time) (out Answer, pause time.Duration, err error) {
	k, known := kindOf(s.Type)
	switch what := cidr.SpecialPurpose(a); {
	case !known:
		return out, 0, fmt.Errorf("there is no service of type %.40q", s.Type)
	case what != "" && !k.ours:
		return out, 0, fmt.Errorf("not asked: %s is no public address (%s)", a, what)
	}
	d.mu.Lock()
	until := d.paused[s.Same]
	d.mu.Unlock()
	if now.Before(until) {
		return out, 0, fmt.Errorf("not asked: it has had enough questions and wants none until %s", until.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	r, err := k.request(s, a)
	if err != nil {
		return out, 0, err
	}
	r.Limit, r.Timeout, r.Idle = answerBytes, Timeout, Timeout
	resp, err := d.client().Do(ctx, r)
	if err != nil {
		return out, 0, err
	}
	if !resp.OK() {
		if resp.Status == http.StatusTooManyRequests || resp.Status == http.StatusServiceUnavailable {
			var told bool
			if pause, told = outbound.RetryAfter(resp.Header, now); !told {
				pause = defaultPause
			}
		}
		return out, pause, refusal(resp)
	}
	out, err = k.read(resp.Body)
	if err != nil {
		return Answer{}, 0, fmt.Errorf("its answer is not what it should be: %w", err)
	}
	if k.page != "" {
		out.Page = k.page + a.String()
	}
	return out, 0, nil
}

// refusal says what an answer means that is no success, and what to do.
func refusal(r *outbound.Response) error {
	said := complaint(r.Body)
	if said != "" {
		said = ": " + said
	}
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("it does not take the key (status %d)%s: see apikey in agent.conf", r.Status, said)
	case http.StatusPaymentRequired:
		return fmt.Errorf("the account's plan does not have this (status %d)%s", r.Status, said)
	case http.StatusTooManyRequests:
		return fmt.Errorf("it has had enough questions (status %d)%s: ask later", r.Status, said)
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return errors.New("it sends the question elsewhere: see url in agent.conf")
	}
	return fmt.Errorf("it answers with status %d%s", r.Status, said)
}
