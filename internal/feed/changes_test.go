package feed_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

func taxiiIndicator(id, pattern, more string) string {
	return fmt.Sprintf(`{"type":"indicator","id":"indicator--%s","pattern":"%s","pattern_type":"stix"%s}`, id, pattern, more)
}

func ofAddress(id, address string) string {
	return taxiiIndicator(id, "[ipv4-addr:value = '"+address+"']", "")
}

// answers gives each request the answer to its query; the queries that it had are kept.
type answers struct {
	mu    sync.Mutex
	by    map[string]string // the answer, by the query, with limit left out
	asked []string
}

func (a *answers) put(query, answer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by[query] = answer
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	q.Del("limit")
	query := q.Encode()
	a.mu.Lock()
	answer, ok := a.by[query]
	a.asked = append(a.asked, query)
	a.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	added, body, _ := strings.Cut(answer, "|")
	if added != "" {
		w.Header().Set("X-TAXII-Date-Added-Last", added)
	}
	w.Header().Set("Content-Type", "application/taxii+json;version=2.1")
	fmt.Fprint(w, body)
}

func TestACollectionOfTAXIIIsReadInPagesAndThenByWhatIsAdded(t *testing.T) {
	s := baddays.New(t)
	a := &answers{by: map[string]string{
		// The first page names no address, which is no reason to stop there.
		"":               `T1|{"more":true,"next":"p2","objects":[` + taxiiIndicator("0", "[domain-name:value = 'x.example']", "") + `]}`,
		"next=p2":        `T2|{"more":true,"next":"p3","objects":[` + ofAddress("1", "8.8.8.1") + "," + ofAddress("2", "8.8.8.2") + "," + ofAddress("3", "8.8.8.3") + `]}`,
		"next=p3":        `T3|{"more":true,"objects":[` + taxiiIndicator("2", "[ipv4-addr:value = '8.8.8.2']", `,"revoked":true`) + `]}`, // without a next
		"added_after=T3": `T4|{"objects":[` + ofAddress("4", "8.8.8.4") + `]}`,
		"added_after=T4": `|{}`,
	}}
	s.Handle("/root/collections/c1/objects/", a.ServeHTTP)
	r := newRig(t, s.CA)
	src := list("c", s.URL+"/root/collections/c1/")
	src.Documents[0].Format = feed.Format{Kind: "taxii"}
	r.Set([]feed.Source{src})
	r.start()
	r.wait("c", "8.8.8.1/32 8.8.8.3/32 8.8.8.4/32")
	if st := r.status("c"); st.State != feed.Good || len(st.Notes) != 1 || !strings.HasPrefix(st.Notes[0], "1 of its objects name no address") {
		t.Errorf("%+v", st)
	}

	refresh := func() {
		t.Helper()
		if err := r.Refresh(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
	}
	refresh() // nothing new
	if got, times := r.delivered("c"); got != "8.8.8.1/32 8.8.8.3/32 8.8.8.4/32" || times != 2 {
		t.Errorf("%q, delivered %d times", got, times)
	}

	// One is taken back, one has another address, one says now more than an address, one is new.
	a.put("added_after=T4", `T5|{"objects":[`+taxiiIndicator("1", "[ipv4-addr:value = '8.8.8.1']", `,"revoked":true`)+","+ofAddress("3", "9.9.9.3")+
		","+taxiiIndicator("4", "[ipv4-addr:value = '8.8.8.4' AND network-traffic:dst_port = 22]", "")+","+ofAddress("5", "8.8.8.5")+`]}`)
	a.put("added_after=T5", `|{}`)
	refresh()
	r.wait("c", "8.8.8.5/32 9.9.9.3/32")
	refresh()
	if got, _ := r.delivered("c"); got != "8.8.8.5/32 9.9.9.3/32" {
		t.Errorf("%q", got)
	}

	// An error keeps what there is, and the place to go on from.
	a.put("added_after=T5", `|{"title":"gone"}`)
	if err := r.Refresh(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "it has no objects") {
		t.Errorf("%v", err)
	}
	a.put("added_after=T5", `T6|{"objects":[`+ofAddress("6", "8.8.8.6")+`]}`)
	refresh()
	r.wait("c", "8.8.8.5/32 8.8.8.6/32 9.9.9.3/32")
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := strings.Join(a.asked, " "); got != " next=p2 next=p3 added_after=T3 added_after=T4 added_after=T4 added_after=T5 added_after=T5 added_after=T5" {
		t.Errorf("asked %q", got)
	}
}

func ban(id int, value string) string {
	scope := "Ip"
	if strings.Contains(value, "/") {
		scope = "Range"
	}
	return fmt.Sprintf(`{"id":%d,"type":"ban","scope":%q,"value":%q,"duration":"4h","origin":"x","scenario":"y"}`, id, scope, value)
}

func TestDecisionsOfAnLAPIComeAndGo(t *testing.T) {
	s := baddays.New(t)
	a := &answers{by: map[string]string{
		"scopes=ip%2Crange&startup=true":  `|{"deleted":[` + ban(1, "7.7.7.7") + `],"new":[` + ban(2, "8.8.8.8") + "," + ban(3, "9.9.8.0/24") + `]}`,
		"scopes=ip%2Crange&startup=false": `|{"new":null,"deleted":null}`,
	}}
	s.Handle("/v1/decisions/stream", a.ServeHTTP)
	r := newRig(t, s.CA)
	src := list("lapi", s.URL+"/v1/decisions/stream")
	src.Documents[0].Format, src.Guards.MayEmpty = feed.Format{Kind: "crowdsec"}, true
	r.Set([]feed.Source{src})
	r.start()
	r.wait("lapi", "8.8.8.8/32 9.9.8.0/24")
	refresh := func(answer string) error {
		a.put("scopes=ip%2Crange&startup=false", "|"+answer)
		return r.Refresh(t.Context(), "lapi")
	}
	for _, c := range []struct{ answer, want string }{
		{`{"new":null,"deleted":null}`, "8.8.8.8/32 9.9.8.0/24"},
		{`{"new":[` + ban(4, "8.8.4.4") + `],"deleted":null}`, "8.8.4.4/32 8.8.8.8/32 9.9.8.0/24"},
		// The decision that ends may be another than the one that began.
		{`{"new":null,"deleted":[` + ban(99, "8.8.8.8") + `]}`, "8.8.4.4/32 9.9.8.0/24"},
		{`{"new":[` + ban(5, "8.8.4.4") + `],"deleted":[` + ban(3, "9.9.8.0/24") + `]}`, "8.8.4.4/32"},
		{`{"new":[],"deleted":[` + ban(4, "8.8.4.4") + `]}`, ""},
	} {
		if err := refresh(c.answer); err != nil {
			t.Fatalf("%s: %v", c.answer, err)
		}
		r.wait("lapi", c.want)
	}

	// What was in an answer that was cut off does not come again: all is asked for.
	if err := refresh(`{"new":[` + ban(6, "8.8.8.8")); err == nil || !strings.Contains(err.Error(), "it was cut off") {
		t.Errorf("%v", err)
	}
	if err := r.Refresh(t.Context(), "lapi"); err != nil {
		t.Fatal(err)
	}
	r.wait("lapi", "8.8.8.8/32 9.9.8.0/24")
}
