package taxii_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/export/taxii"
	"github.com/palisade-agent/palisade/internal/feed"
)

// world is who is banned, at a time.
type world struct {
	bans []taxii.Ban
	now  time.Time
	err  error
}

func newWorld() *world { return &world{now: time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)} }

func (w *world) ban(p string, until time.Duration) taxii.Ban {
	b := taxii.Ban{Prefix: netip.MustParsePrefix(p), Jail: "sshd", Since: w.now}
	if until > 0 {
		b.Until = w.now.Add(until)
	}
	return b
}

func (w *world) server() *taxii.Server {
	return taxii.New(taxii.Options{Title: "T", Now: func() time.Time { return w.now }, Bans: func(context.Context) ([]taxii.Ban, error) { return w.bans, w.err }})
}

const objects = "/taxii2/api/collections/" + taxii.Collection + "/objects/"

func ask(t *testing.T, s *taxii.Server, path string, accept ...string) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	if len(accept) > 0 {
		r.Header.Set("Accept", accept[0])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %v: %s", path, err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/taxii+json;version=2.1" {
		t.Errorf("%s: its type is %s", path, got)
	}
	return w, v
}

func TestAClientFindsItsWay(t *testing.T) {
	w := newWorld()
	w.bans = []taxii.Ban{w.ban("8.8.8.8/32", time.Hour), w.ban("2606:4700::/64", 0)}
	s := w.server()
	if _, v := ask(t, s, "/taxii2/"); v["default"] != "/taxii2/api/" {
		t.Errorf("discovery: %v", v)
	}
	if _, v := ask(t, s, "/taxii2/api/"); !slices.Equal(v["versions"].([]any), []any{"application/taxii+json;version=2.1"}) {
		t.Errorf("root: %v", v)
	}
	_, v := ask(t, s, "/taxii2/api/collections/")
	c := v["collections"].([]any)[0].(map[string]any)
	if c["id"] != taxii.Collection || c["can_read"] != true || c["can_write"] != false {
		t.Errorf("collections: %v", v)
	}
	if _, v := ask(t, s, "/taxii2/api/collections/"+taxii.Collection+"/"); v["id"] != taxii.Collection {
		t.Errorf("collection: %v", v)
	}
	resp, v := ask(t, s, objects)
	all := v["objects"].([]any)
	if len(all) != 2 || v["more"] != false || resp.Header().Get("X-Taxii-Date-Added-Last") != "2026-11-23T12:00:00.123456Z" {
		t.Fatalf("objects: %v", v)
	}
	_, m := ask(t, s, "/taxii2/api/collections/"+taxii.Collection+"/manifest/")
	first := all[0].(map[string]any)
	if m["objects"].([]any)[0].(map[string]any)["id"] != first["id"] {
		t.Errorf("manifest: %v", m)
	}
	if _, v := ask(t, s, objects+first["id"].(string)+"/"); v["objects"].([]any)[0].(map[string]any)["pattern"] != first["pattern"] {
		t.Errorf("one object: %v", v)
	}
	for path, want := range map[string]int{
		"/taxii2/other/": 404, objects + "indicator--1/": 404, objects + "?limit=0": 400, objects + "?limit=x": 400, objects + "?added_after=now": 400, objects + "?next=x": 400,
		objects + "?match%5Btype%5D=malware": 200,
	} {
		if resp, _ := ask(t, s, path); resp.Code != want {
			t.Errorf("%s: %d", path, resp.Code)
		}
	}
	for accept, want := range map[string]int{
		"": 200, "*/*": 200, "application/taxii+json": 200, "application/taxii+json;version=2.1": 200, "application/taxii+json; version=2.1, application/json;q=0.5": 200, "application/json": 200,
		"application/taxii+json;version=2.0": 406, "text/html": 406,
	} {
		if resp, _ := ask(t, s, objects, accept); resp.Code != want {
			t.Errorf("Accept %q: %d", accept, resp.Code)
		}
	}
	w.err, w.now = errors.New("starting"), w.now.Add(time.Minute)
	if resp, _ := ask(t, s, objects); resp.Code != 503 || resp.Header().Get("Retry-After") == "" {
		t.Errorf("while it is not known: %d", resp.Code)
	}
}

// collect reads the collection as a feed would, page by page, with our own parser.
func collect(t *testing.T, s *taxii.Server, query url.Values) (all []string, last string) {
	t.Helper()
	for range 100 {
		resp, _ := ask(t, s, objects+"?"+query.Encode())
		p, err := feed.Parse(strings.NewReader(resp.Body.String()), feed.Format{Kind: "taxii"}, feed.Limits{}, func(e feed.Entry) {
			text := e.First.String()
			if e.Revoked {
				text = "not " + e.ID
			}
			all = append(all, text)
		})
		if err != nil && !errors.Is(err, feed.ErrEmpty) {
			t.Fatal(err)
		}
		if l := resp.Header().Get("X-Taxii-Date-Added-Last"); l != "" {
			last = l
		}
		if !p.More {
			slices.Sort(all)
			return all, last
		}
		query.Set("next", p.Next)
	}
	t.Fatal("there is no end of pages")
	return nil, ""
}

func TestWhatIsNewIsToldByPagesAndWhatIsLiftedIsRevoked(t *testing.T) {
	w := newWorld()
	for i := range 25 {
		w.bans = append(w.bans, w.ban(fmt.Sprintf("8.8.8.%d/32", i), time.Hour))
	}
	s := w.server()
	all, last := collect(t, s, url.Values{"limit": {"10"}})
	if len(all) != 25 || len(slices.Compact(all)) != 25 {
		t.Errorf("%d objects", len(all))
	}
	w.now = w.now.Add(time.Minute)
	if all, _ := collect(t, s, url.Values{"added_after": {last}}); len(all) != 0 {
		t.Errorf("what is known is told again: %v", all)
	}
	w.bans = append(w.bans[1:], w.ban("9.9.9.9/32", 0))
	w.now = w.now.Add(time.Minute)
	all, last = collect(t, s, url.Values{"added_after": {last}})
	if len(all) != 2 || all[0] != "9.9.9.9" || !strings.HasPrefix(all[1], "not indicator--") {
		t.Errorf("%v", all)
	}
	w.bans[0].Until = w.bans[0].Until.Add(time.Hour) // prolonged
	w.now = w.now.Add(time.Minute)
	if all, _ := collect(t, s, url.Values{"added_after": {last}}); len(all) != 1 || all[0] != "8.8.8.1" {
		t.Errorf("%v", all)
	}
	// After a restart the same bans have the same identity.
	_, before := ask(t, s, objects+"?limit=1000")
	_, after := ask(t, w.server(), objects+"?limit=1000")
	ids := func(v map[string]any) (all []string) {
		for _, o := range v["objects"].([]any) {
			if m := o.(map[string]any); m["revoked"] == nil {
				all = append(all, m["id"].(string))
			}
		}
		slices.Sort(all)
		return all
	}
	if !slices.Equal(ids(before), ids(after)) {
		t.Error("identities change with a restart")
	}
	w.now = w.now.Add(25 * time.Hour)
	if all, _ := collect(t, s, url.Values{}); slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, "not") }) {
		t.Errorf("what was lifted long ago is still told: %v", all)
	}
}

func FuzzQuery(f *testing.F) {
	w := newWorld()
	w.bans = []taxii.Ban{w.ban("8.8.8.8/32", time.Hour)}
	s := w.server()
	f.Add("limit=1&added_after=2026-11-23T12:00:00Z&next=2026-11-23T12:00:00Z_x")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, objects, http.NoBody)
		r.URL.RawQuery = query
		resp := httptest.NewRecorder()
		s.ServeHTTP(resp, r)
		if resp.Code != 200 && resp.Code != 400 {
			t.Errorf("%q: %d", query, resp.Code)
		}
	})
}
