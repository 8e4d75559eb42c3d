// Package cloudflare keeps a list of Cloudflare's (rules lists, of IP addresses) in line with what is blocked, so that a
// rule "ip.src in $list" keeps the blocked away from what Cloudflare serves.
//
// Documented: items are read page by page, added and deleted by writes that are carried out later, one at a time for
// each account, and are polled until they are. IPv4 may be single addresses and /8 to /32; of IPv6 the documents
// differ, and /64 is what all of them allow, so that longer prefixes are written as their /64.
package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/outbound"
)

const (
	apiURL = "https://api.cloudflare.com/client/v4"
	// mark begins the comment of items that are ours; others are never touched.
	mark = "palisade"
	// perWrite is how many items a write carries.
	perWrite  = 1000
	maxPages  = 10_000
	pollEvery = time.Second
	pollMost  = 120
	answer    = 16 << 20
)

// Options are what a List is set up with.
type Options struct {
	Account, List string // their IDs
	Token         func() (string, error)
	URL           string // instead of Cloudflare's
	Client        func() *outbound.Client
	Most          int // items of ours, at most; 0: as many as there are
	// Wait waits between polls; nil waits for the time.
	Wait func(ctx context.Context, d time.Duration) error
}

// List is one list. It is not safe for concurrent use.
type List struct{ o Options }

// New makes a List.
func New(o Options) *List {
	if o.URL == "" {
		o.URL = apiURL
	}
	if o.Wait == nil {
		o.Wait = func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		}
	}
	return &List{o}
}

// item is an entry of the list there.
type item struct {
	ID      string `json:"id,omitempty"`
	IP      string `json:"ip,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// envelope is around each answer.
type envelope struct {
	Success bool            `json:"success"`
	Result  json.RawMessage `json:"result"`
	Errors  []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
	Info struct {
		Cursors struct {
			After string `json:"after"`
		} `json:"cursors"`
	} `json:"result_info"`
}

// Put brings the list in line with a set: what is new is added, what is ours and not wanted is deleted.
func (l *List) Put(ctx context.Context, set cidr.Ranges) error {
	want := l.wanted(set)
	items, err := l.items(ctx)
	if err != nil {
		return err
	}
	taken := map[string]bool{} // by others: an address is in a list once
	var gone []item
	for _, i := range items {
		if !strings.HasPrefix(i.Comment, mark) {
			taken[canonical(i.IP)] = true
			continue
		}
		if at := canonical(i.IP); want[at] {
			delete(want, at)
		} else {
			gone = append(gone, item{ID: i.ID})
		}
	}
	var fresh []item
	for ip := range want {
		if !taken[ip] {
			fresh = append(fresh, item{IP: ip, Comment: mark})
		}
	}
	slices.SortFunc(fresh, func(a, b item) int { return strings.Compare(a.IP, b.IP) })
	for chunk := range slices.Chunk(fresh, perWrite) {
		if err := l.write(ctx, http.MethodPost, chunk); err != nil {
			return fmt.Errorf("add to the list: %w", err)
		}
	}
	for chunk := range slices.Chunk(gone, perWrite) {
		if err := l.write(ctx, http.MethodDelete, map[string]any{"items": chunk}); err != nil {
			return fmt.Errorf("delete from the list: %w", err)
		}
	}
	return nil
}

// wanted are the entries as the list has them.
func (l *List) wanted(set cidr.Ranges) map[string]bool {
	want := map[string]bool{}
	for p := range set.Prefixes() {
		switch a := p.Addr(); {
		case a.Is4() && p.Bits() < 8:
			continue
		case a.Is6() && p.Bits() > 64:
			p = netip.PrefixFrom(a, 64).Masked()
		case a.Is6() && p.Bits() < 12:
			continue
		}
		if l.o.Most > 0 && len(want) >= l.o.Most {
			break
		}
		want[canonical(p.String())] = true
	}
	return want
}

// canonical is an entry in one spelling: hosts of IPv4 without their length.
func canonical(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		if p = p.Masked(); p.Addr().Is4() && p.IsSingleIP() {
			return p.Addr().String()
		}
		return p.String()
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

func (l *List) path(rest string) string {
	return l.o.URL + "/accounts/" + url.PathEscape(l.o.Account) + "/rules/lists/" + rest
}

// items reads all items.
func (l *List) items(ctx context.Context) (all []item, err error) {
	cursor := ""
	for range maxPages {
		at := l.path(url.PathEscape(l.o.List) + "/items?per_page=500")
		if cursor != "" {
			at += "&cursor=" + url.QueryEscape(cursor)
		}
		e, err := l.ask(ctx, http.MethodGet, at, nil)
		if err != nil {
			return nil, fmt.Errorf("read the list: %w", err)
		}
		var page []item
		if err := json.Unmarshal(e.Result, &page); err != nil {
			return nil, fmt.Errorf("read the list: the answer is not as documented: %w", err)
		}
		all = append(all, page...)
		if cursor = e.Info.Cursors.After; cursor == "" {
			return all, nil
		}
	}
	return nil, errors.New("read the list: it has no end")
}

// write begins a write and waits until it is carried out: there may be one at a time.
func (l *List) write(ctx context.Context, method string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	e, err := l.ask(ctx, method, l.path(url.PathEscape(l.o.List)+"/items"), b)
	if err != nil {
		return err
	}
	var op struct {
		ID string `json:"operation_id"`
	}
	if err := json.Unmarshal(e.Result, &op); err != nil || op.ID == "" {
		return errors.New("the answer does not name the operation that it begins")
	}
	for range pollMost {
		if err := l.o.Wait(ctx, pollEvery); err != nil {
			return err
		}
		e, err := l.ask(ctx, http.MethodGet, l.path("bulk_operations/"+url.PathEscape(op.ID)), nil)
		if err != nil {
			return err
		}
		var state struct {
			Status string `json:"status"`
			Error  string `json:"error"`
		}
		if err := json.Unmarshal(e.Result, &state); err != nil {
			return fmt.Errorf("the state of the operation cannot be read: %w", err)
		}
		switch state.Status {
		case "completed":
			return nil
		case "failed":
			return fmt.Errorf("Cloudflare could not carry it out: %s", outbound.Clean(state.Error, 300)) //nolint:staticcheck // a name
		}
	}
	return errors.New("the operation is not carried out; it is tried again")
}

// ask makes a request.
func (l *List) ask(ctx context.Context, method, at string, body []byte) (e envelope, err error) {
	token, err := l.o.Token()
	if err != nil {
		return e, err
	}
	resp, err := l.o.Client().Do(ctx, outbound.Request{
		Method: method, URL: at, Body: body, Key: outbound.HeaderKey("Authorization", "Bearer "+token), Limit: answer, Header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(resp.Body, &e); err != nil || !e.Success || !resp.OK() {
		text := outbound.Clean(string(resp.Body), 200)
		if len(e.Errors) > 0 {
			text = outbound.Clean(fmt.Sprintf("%d %s", e.Errors[0].Code, e.Errors[0].Message), 200)
		}
		hint := ""
		switch resp.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			hint = ": the token needs the permission to edit account filter lists"
		case http.StatusNotFound:
			hint = ": see whether cloudflare_account and cloudflare_list are right"
		case http.StatusTooManyRequests:
			hint = ": it was asked too often, or another write is under way"
		}
		return e, fmt.Errorf("the server answers %d (%s)%s", resp.Status, text, hint)
	}
	return e, nil
}
