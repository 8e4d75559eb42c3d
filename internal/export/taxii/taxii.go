// Package taxii shows our own bans as a read-only collection of TAXII 2.1: one indicator of STIX 2.1 for each, which
// keeps its identity as long as the ban stands, and is told as revoked for a while after it was lifted.
package taxii

import (
	"context"
	"crypto/sha1" //nolint:gosec // RFC 9562 makes UUIDs of version 5 with it; nothing is kept secret by it
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	mediaType = "application/taxii+json;version=2.1"
	stixType  = "application/stix+json;version=2.1"
	// Collection is the identity of the one collection there is.
	Collection = "b1b5bc0c-3c5b-5b2a-9d2a-5a1f4f7f0b6e"
	root       = "/taxii2/api/"
	pageSize   = 1000
	pageMost   = 10_000
	// refresh is how old what is shown may be.
	refresh = 5 * time.Second
	// revokedFor and maxRevoked bound the memory of bans that were lifted.
	revokedFor = 24 * time.Hour
	maxRevoked = 50_000
)

// Ban is one that stands.
type Ban struct {
	Prefix netip.Prefix
	Jail   string
	Since  time.Time
	Until  time.Time // zero: for ever
}

// Options are what a Server needs.
type Options struct {
	Title string
	// Bans gives those that stand.
	Bans func(ctx context.Context) ([]Ban, error)
	Now  func() time.Time
}

// Server answers below /taxii2/. Who may ask is decided before.
type Server struct {
	o Options

	mu      sync.Mutex // guards the fields below
	objects []object   // in the order of added, then of identity
	byID    map[string]object
	at      time.Time // of the last look
}

// object is an indicator with when it came into the collection.
type object struct {
	ID       string
	Ban      Ban
	Added    time.Time
	Modified time.Time
	Revoked  bool
}

// New makes a Server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, byID: map[string]object{}}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, http.StatusMethodNotAllowed, "the collection is only read")
		return
	}
	if !accepts(r.Header.Get("Accept")) {
		refuse(w, http.StatusNotAcceptable, "ask for "+mediaType)
		return
	}
	collection := map[string]any{
		"id": Collection, "title": s.o.Title, "description": "addresses that were banned here for what they did", "can_read": true, "can_write": false, "media_types": []string{stixType},
	}
	switch path := strings.TrimSuffix(r.URL.Path, "/") + "/"; path {
	case "/taxii2/":
		say(w, map[string]any{"title": s.o.Title, "default": root, "api_roots": []string{root}})
	case root:
		say(w, map[string]any{"title": s.o.Title, "versions": []string{mediaType}, "max_content_length": 1})
	case root + "collections/":
		say(w, map[string]any{"collections": []any{collection}})
	case root + "collections/" + Collection + "/":
		say(w, collection)
	case root + "collections/" + Collection + "/objects/", root + "collections/" + Collection + "/manifest/":
		s.page(w, r, strings.HasSuffix(path, "/manifest/"))
	default:
		s.one(w, r, path)
	}
}

// accepts reports whether a client takes what we say: version 2.1, any version, or anything.
func accepts(header string) bool {
	if header == "" {
		return true
	}
	for part := range strings.SplitSeq(header, ",") {
		kind, parameters, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";")
		switch kind {
		case "*/*", "application/*", "application/json":
			return true
		case "application/taxii+json":
			if !strings.Contains(parameters, "version=") || strings.Contains(parameters, "version=2.1") {
				return true
			}
		}
	}
	return false
}

// page answers with objects, or with what there is to know of them.
func (s *Server) page(w http.ResponseWriter, r *http.Request, manifest bool) {
	q := r.URL.Query()
	limit := pageSize
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			refuse(w, http.StatusBadRequest, "limit is no number above 0")
			return
		}
		limit = min(n, pageMost)
	}
	var after time.Time
	if text := q.Get("added_after"); text != "" {
		var err error
		if after, err = time.Parse(time.RFC3339, text); err != nil {
			refuse(w, http.StatusBadRequest, "added_after is no time")
			return
		}
	}
	all, err := s.look(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "who is banned is not known yet")
		return
	}
	from := 0
	if text := q.Get("next"); text != "" {
		added, id, ok := strings.Cut(text, "_")
		t, err := time.Parse(time.RFC3339Nano, added)
		if !ok || err != nil {
			refuse(w, http.StatusBadRequest, "next is not one of ours")
			return
		}
		from, _ = slices.BinarySearchFunc(all, object{ID: id, Added: t}, compare)
		if from < len(all) && all[from].ID == id {
			from++
		}
	}
	all = all[from:]
	all = slices.DeleteFunc(slices.Clone(all), func(o object) bool {
		return !o.Added.After(after) || !matches(q.Get("match[type]"), q.Get("match[id]"), o)
	})
	page := all[:min(len(all), limit)]
	out := map[string]any{"more": len(all) > len(page)}
	if len(page) > 0 {
		first, last := page[0], page[len(page)-1]
		w.Header().Set("X-TAXII-Date-Added-First", stamp(first.Added))
		w.Header().Set("X-TAXII-Date-Added-Last", stamp(last.Added))
		if len(all) > len(page) {
			out["next"] = last.Added.Format(time.RFC3339Nano) + "_" + last.ID
		}
		var objects []any
		for _, o := range page {
			if manifest {
				objects = append(objects, map[string]any{"id": o.ID, "date_added": stamp(o.Added), "version": stamp(o.Modified), "media_type": stixType})
			} else {
				objects = append(objects, o.indicator())
			}
		}
		out["objects"] = objects
	}
	say(w, out)
}

// one answers with a single object.
func (s *Server) one(w http.ResponseWriter, r *http.Request, path string) {
	id, ok := strings.CutPrefix(strings.TrimSuffix(path, "/"), root+"collections/"+Collection+"/objects/")
	if !ok || strings.Contains(id, "/") {
		refuse(w, http.StatusNotFound, "there is nothing here")
		return
	}
	all, err := s.look(r.Context())
	i := slices.IndexFunc(all, func(o object) bool { return o.ID == id })
	if err != nil || i < 0 {
		refuse(w, http.StatusNotFound, "there is no such object")
		return
	}
	say(w, map[string]any{"objects": []any{all[i].indicator()}})
}

func matches(kind, id string, o object) bool {
	is := func(list, value string) bool { return list == "" || slices.Contains(strings.Split(list, ","), value) }
	return is(kind, "indicator") && is(id, o.ID)
}

// look gives the objects as they are now, at most some seconds old.
func (s *Server) look(ctx context.Context) ([]object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now().UTC().Truncate(time.Microsecond) // as exact as it is told
	if !s.at.IsZero() && now.Sub(s.at) < refresh {
		return s.objects, nil
	}
	bans, err := s.o.Bans(ctx)
	if err != nil {
		return nil, err
	}
	stand := map[string]bool{}
	for _, b := range bans {
		id := identity(b)
		stand[id] = true
		o, known := s.byID[id]
		switch {
		case !known || o.Revoked:
			o = object{ID: id, Ban: b, Added: now, Modified: now}
		case !o.Ban.Until.Equal(b.Until):
			o.Ban, o.Added, o.Modified = b, now, now // it was prolonged
		default:
			continue
		}
		s.byID[id] = o
	}
	revoked := 0
	for id, o := range s.byID {
		switch {
		case stand[id]:
		case o.Revoked && now.Sub(o.Modified) >= revokedFor, revoked >= maxRevoked:
			delete(s.byID, id)
		default:
			if !o.Revoked {
				o.Revoked, o.Added, o.Modified = true, now, now
				s.byID[id] = o
			}
			revoked++
		}
	}
	s.objects = make([]object, 0, len(s.byID))
	for _, o := range s.byID {
		s.objects = append(s.objects, o)
	}
	slices.SortFunc(s.objects, compare)
	s.at = now
	return s.objects, nil
}

func compare(a, b object) int {
	if c := a.Added.Compare(b.Added); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// identity is a UUID of version 5 over what makes a ban that one: the same ban has the same after a restart.
func identity(b Ban) string {
	h := sha1.New() //nolint:gosec // see above
	h.Write([]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8})
	fmt.Fprintf(h, "palisade %s %s %d", b.Jail, b.Prefix, b.Since.Unix())
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return fmt.Sprintf("indicator--%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// stamp is a time as STIX wants it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (o object) indicator() map[string]any {
	kind, value := "ipv4-addr", o.Ban.Prefix.String()
	if o.Ban.Prefix.Addr().Is6() {
		kind = "ipv6-addr"
	}
	if o.Ban.Prefix.IsSingleIP() {
		value = o.Ban.Prefix.Addr().String()
	}
	v := map[string]any{
		"type": "indicator", "spec_version": "2.1", "id": o.ID, "created": stamp(o.Ban.Since), "modified": stamp(o.Modified), "name": "banned by jail " + o.Ban.Jail,
		"pattern": fmt.Sprintf("[%s:value = '%s']", kind, value), "pattern_type": "stix", "valid_from": stamp(o.Ban.Since), "indicator_types": []string{"malicious-activity"},
		"labels": []string{o.Ban.Jail}, "confidence": 80,
	}
	if !o.Ban.Until.IsZero() && o.Ban.Until.After(o.Ban.Since) {
		v["valid_until"] = stamp(o.Ban.Until)
	}
	if o.Revoked {
		v["revoked"] = true
	}
	return v
}

func say(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", mediaType)
	_ = json.NewEncoder(w).Encode(v) // a peer that has gone has nobody to tell
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": text, "http_status": strconv.Itoa(status)})
}
