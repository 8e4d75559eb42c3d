package cloudflare_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/export/cloudflare"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// account is Cloudflare as far as it documents lists.
type account struct {
	*baddays.Server
	mu      sync.Mutex
	items   map[string][2]string // ID to address and comment
	next    int
	polls   map[string]int
	pending bool
	bad     func(r *http.Request) (status int, body string) // zero: a good day
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{Server: baddays.New(t), items: map[string][2]string{}, polls: map[string]int{}}
	a.Handle("/", a.serve)
	return a
}

func (a *account) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bad != nil {
		if status, body := a.bad(r); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
	}
	if r.Header.Get("Authorization") != "Bearer tok" {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	say := func(v any, after string) {
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "errors": []any{}, "result": v, "result_info": map[string]any{"cursors": map[string]any{"after": after}}})
	}
	operation := func() {
		if a.pending {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"success":false,"errors":[{"code":10021,"message":"bulk operation already in progress"}]}`)
			return
		}
		a.pending = true
		a.next++
		say(map[string]any{"operation_id": fmt.Sprint("op", a.next)}, "")
	}
	switch {
	case strings.Contains(r.URL.Path, "/bulk_operations/"):
		id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		if a.polls[id]++; a.polls[id] < 3 {
			say(map[string]any{"id": id, "status": "running"}, "")
			return
		}
		a.pending = false
		say(map[string]any{"id": id, "status": "completed"}, "")
	case r.URL.Path != "/accounts/acc/rules/lists/lst/items":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"success":false,"errors":[{"code":10001,"message":"not found"}]}`)
	case r.Method == http.MethodGet:
		var ids []string
		for id := range a.items {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		at, _ := slices.BinarySearch(ids, r.URL.Query().Get("cursor"))
		page := ids[at:min(at+2, len(ids))]
		all := []map[string]any{}
		for _, id := range page {
			all = append(all, map[string]any{"id": id, "ip": a.items[id][0], "comment": a.items[id][1]})
		}
		after := ""
		if at+2 < len(ids) {
			after = ids[at+2]
		}
		say(all, after)
	case r.Method == http.MethodPost:
		var items []struct{ IP, Comment string }
		_ = json.Unmarshal(body, &items)
		for _, i := range items {
			a.next++
			a.items[fmt.Sprintf("i%05d", a.next)] = [2]string{i.IP, i.Comment}
		}
		operation()
	case r.Method == http.MethodDelete:
		var q struct{ Items []struct{ ID string } }
		_ = json.Unmarshal(body, &q)
		for _, i := range q.Items {
			delete(a.items, i.ID)
		}
		operation()
	}
}

func (a *account) holds() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, i := range a.items {
		all = append(all, i[0])
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func list(t *testing.T, a *account, token string) *cloudflare.List {
	t.Helper()
	c, err := outbound.New(outbound.Options{CAFile: a.CA})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return cloudflare.New(cloudflare.Options{
		Account: "acc", List: "lst", URL: a.URL, Token: func() (string, error) { return token, nil }, Client: func() *outbound.Client { return c },
		Wait: func(context.Context, time.Duration) error { return nil },
	})
}

func set(texts ...string) cidr.Ranges {
	var b cidr.Builder
	for _, t := range texts {
		b.Add(netip.MustParsePrefix(t))
	}
	return b.Ranges()
}

func TestAListFollowsASetAndLeavesOthersAlone(t *testing.T) {
	a := newAccount(t)
	a.items["i00000"] = [2]string{"5.5.5.5", "of somebody else"}
	l := list(t, a, "tok")
	if err := l.Put(t.Context(), set("8.8.8.8/32", "9.9.9.0/24", "5.5.5.5/32", "2606:4700::1/128", "2606:4700::2/128", "2a00::/29")); err != nil {
		t.Fatal(err)
	}
	if got := a.holds(); got != "2606:4700::/64 2a00::/29 5.5.5.5 8.8.8.8 9.9.9.0/24" {
		t.Errorf("it holds %s", got)
	}
	n := len(a.Asked())
	if err := l.Put(t.Context(), set("8.8.8.8/32", "9.9.9.0/24", "5.5.5.5/32", "2606:4700::1/128", "2a00::/29")); err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Asked()[n:] {
		if r.Method != http.MethodGet {
			t.Errorf("what is as it was is written: %+v", r)
		}
	}
	if err := l.Put(t.Context(), set("1.1.1.1/32", "9.9.9.0/24")); err != nil {
		t.Fatal(err)
	}
	if got := a.holds(); got != "1.1.1.1 5.5.5.5 9.9.9.0/24" {
		t.Errorf("it holds %s", got)
	}
	var many []string
	for i := range 2500 {
		many = append(many, fmt.Sprintf("9.%d.%d.1/32", i/250, i%250))
	}
	if err := l.Put(t.Context(), set(many...)); err != nil || strings.Count(a.holds(), " ") != 2500 {
		t.Errorf("%v, %d items", err, strings.Count(a.holds(), " "))
	}
}

func TestBadDaysAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		token string
		bad   func(r *http.Request) (int, string)
		says  string
	}{
		"a wrong token":     {"wrong", nil, "10000 Authentication error): the token needs the permission"},
		"too often":         {"tok", func(*http.Request) (int, string) { return 429, `{"success":false}` }, "asked too often"},
		"a page of the web": {"tok", func(*http.Request) (int, string) { return 502, "<html>\x1b[31mbad" }, "the server answers 502 (<html> [31mbad)"},
		"success that is none": {"tok", func(*http.Request) (int, string) {
			return 200, `{"success":false,"errors":[{"code":7,"message":"no"}]}`
		}, "7 no"},
		"another shape": {"tok", func(*http.Request) (int, string) { return 200, `{"success":true,"result":{"a":1}}` }, "not as documented"},
		"no name of a write": {"tok", func(r *http.Request) (int, string) {
			return onlyFor(r, http.MethodPost, `{"success":true,"result":{}}`)
		}, "does not name the operation"},
		"a write that fails": {"tok", func(r *http.Request) (int, string) {
			return poll(r, `{"success":true,"result":{"status":"failed","error":"too many"}}`)
		}, "could not carry it out: too many"},
		"a write without an end": {"tok", func(r *http.Request) (int, string) { return poll(r, `{"success":true,"result":{"status":"pending"}}`) }, "not carried out"},
		"pages without an end": {"tok", func(r *http.Request) (int, string) {
			return onlyFor(r, http.MethodGet, `{"success":true,"result":[],"result_info":{"cursors":{"after":"x"}}}`)
		}, "no end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			a.bad = c.bad
			if err := list(t, a, c.token).Put(t.Context(), set("8.8.8.8/32")); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "tok ") {
				t.Errorf("%v", err)
			}
		})
	}
}

func onlyFor(r *http.Request, method, body string) (int, string) {
	if r.Method == method && !strings.Contains(r.URL.Path, "bulk") {
		return 200, body
	}
	return 0, ""
}

func poll(r *http.Request, body string) (int, string) {
	if strings.Contains(r.URL.Path, "bulk") {
		return 200, body
	}
	return 0, ""
}
