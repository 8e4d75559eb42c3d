package serve

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/export"
)

// ServeHTTP implements http.Handler: /NAME.txt, /NAME.v4.txt and /NAME.v6.txt for each export that is served, ?page=N
// for those that have a bound, and / for their names.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-cache")
	set := s.current()
	peer := peerOf(r)
	if !set.Allow.Empty() && !set.Allow.Contains(peer) {
		refuse(w, http.StatusForbidden, "this address may not ask")
		return
	}
	if !s.rates.allow(peer, s.now()) {
		h.Set("Retry-After", "60")
		refuse(w, http.StatusTooManyRequests, "asked too often")
		return
	}
	if ok, err := authorised(r, set); err != nil {
		s.log.Error("nobody can be served", "err", err)
		refuse(w, http.StatusServiceUnavailable, "the server's own key cannot be read")
		return
	} else if !ok {
		s.log.Warn("a peer asked for a list without the right token", "addr", peer)
		h.Set("WWW-Authenticate", `Basic realm="palisade", charset="UTF-8"`)
		refuse(w, http.StatusUnauthorized, "a token or a password is wanted")
		return
	}
	for prefix, handler := range s.o.Mounted {
		if strings.HasPrefix(r.URL.Path, prefix) {
			handler.ServeHTTP(w, r)
			return
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "lists are only read")
		return
	}
	served := slices.DeleteFunc(s.o.Exports(), func(x export.Status) bool { return !x.Export.Serve })
	if r.URL.Path == "/" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		for _, x := range served {
			fmt.Fprintf(w, "/%s.txt\n", x.Export.Name)
		}
		return
	}
	name, v4, v6, ok := split(r.URL.Path)
	i := slices.IndexFunc(served, func(x export.Status) bool { return x.Export.Name == name })
	if !ok || i < 0 {
		refuse(w, http.StatusNotFound, "there is no such list")
		return
	}
	page, ok := pageOf(r)
	if !ok {
		refuse(w, http.StatusBadRequest, "page is no number from 1 to 10000")
		return
	}
	s.list(w, r, served[i], v4, v6, page, peer)
}

// list answers with a list.
func (s *Server) list(w http.ResponseWriter, r *http.Request, x export.Status, v4, v6 bool, page int, peer netip.Addr) {
	h := w.Header()
	if !x.Known {
		h.Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "what is blocked is not known yet")
		return
	}
	l, err := s.lists.get(x, v4, v6, page, s.now())
	if err != nil {
		s.log.Error("a list cannot be written", "export", x.Export.Name, "err", err)
		refuse(w, http.StatusInternalServerError, "the list cannot be written")
		return
	}
	s.fetched(x.Export.Name, peer)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("ETag", l.tag)
	h.Set("Last-Modified", l.at.UTC().Format(http.TimeFormat))
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Entries", strconv.Itoa(l.entries))
	if l.cut > 0 {
		h.Set("Link", fmt.Sprintf("<%s?page=%d>; rel=\"next\"", r.URL.Path, page+1))
	}
	if matches(r.Header.Get("If-None-Match"), l.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := l.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && len(l.packed) < len(l.plain) {
		h.Set("Content-Encoding", "gzip")
		body = l.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a peer that has gone has nobody to tell
	}
	s.log.Debug("a list was fetched", "export", x.Export.Name, "addr", peer, "bytes", len(body))
}

func (s *Server) fetched(name string, peer netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fetches[name]
	s.fetches[name] = Fetch{At: s.now(), Peer: peer, Count: f.Count + 1}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

// split reads the name and the family of a list.
func split(path string) (name string, v4, v6, ok bool) {
	name, ok = strings.CutSuffix(strings.TrimPrefix(path, "/"), ".txt")
	if !ok || strings.Contains(name, "/") {
		return "", false, false, false
	}
	if n, is := strings.CutSuffix(name, ".v4"); is {
		return n, true, false, true
	}
	if n, is := strings.CutSuffix(name, ".v6"); is {
		return n, false, true, true
	}
	return name, true, true, true
}

// maxPage bounds the number of a page.
const maxPage = 10_000

func pageOf(r *http.Request) (int, bool) {
	text := r.URL.Query().Get("page")
	if text == "" {
		return 1, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= maxPage
}

func peerOf(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap().WithZone("")
}

// authorised reports whether a request knows what it must. How long that takes does not tell how much of it was
// right.
func authorised(r *http.Request, set Settings) (bool, error) {
	if set.Token == nil && set.Password == nil {
		return true, nil
	}
	user, password, basic := r.BasicAuth()
	ok := false
	if set.Token != nil {
		token, err := set.Token()
		if err != nil {
			return false, err
		}
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		for _, said := range []string{bearer, r.Header.Get("X-Api-Key"), password} {
			ok = same(said, token) || ok
		}
	}
	if set.Password != nil && basic {
		want, err := set.Password()
		if err != nil {
			return false, err
		}
		right := same(password, want)
		ok = same(user, set.User) && right || ok
	}
	return ok, nil
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1 && b != ""
}

func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == tag || part == "*" {
			return true
		}
	}
	return false
}

// maxLists is how many lists are kept as they are served.
const maxLists = 32

// lists are those that were asked for last.
type lists struct {
	mu  sync.Mutex // guards the field below
	all []*rendered
}

// rendered is a list as it is served.
type rendered struct {
	key           string
	seq           uint64
	plain, packed []byte
	tag           string
	at            time.Time
	entries, cut  int
}

func (l *lists) get(x export.Status, v4, v6 bool, page int, now time.Time) (*rendered, error) {
	key := fmt.Sprint(x.Export.Name, " ", x.Export.Format, " ", v4, v6, x.Export.IPv4, x.Export.IPv6, " ", x.Export.Most, " ", page)
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.all, func(r *rendered) bool { return r.key == key })
	if i >= 0 && l.all[i].seq == x.Seq {
		return l.all[i], nil
	}
	o := x.Export.Options
	o.IPv4, o.IPv6 = o.IPv4 && v4, o.IPv6 && v6
	o.From = (page - 1) * o.Most
	if o.Most == 0 && page > 1 {
		o.From = x.Set.Len() * maxPage // there is one page only
	}
	var plain, packed bytes.Buffer
	done, err := export.Write(&plain, x.Set, x.Export.Format, o)
	if err != nil {
		return nil, err
	}
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(plain.Bytes()) // into memory
	_ = z.Close()
	sum := sha256.Sum256(plain.Bytes())
	r := &rendered{key: key, seq: x.Seq, plain: plain.Bytes(), packed: packed.Bytes(), tag: `"` + hex.EncodeToString(sum[:12]) + `"`, at: now, entries: done.Entries, cut: done.Cut}
	switch {
	case i >= 0:
		if l.all[i].tag == r.tag {
			r.at = l.all[i].at
		}
		l.all[i] = r
	case len(l.all) >= maxLists:
		l.all = append(l.all[1:], r)
	default:
		l.all = append(l.all, r)
	}
	return r, nil
}

// The bound of each peer: as many requests at once, and as many more in a minute.
const (
	burst     = 60
	perMinute = 60
	maxRated  = 10_000
)

// rates bounds how often a peer may ask.
type rates struct {
	mu    sync.Mutex // guards the field below
	peers map[netip.Addr]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func (r *rates) allow(peer netip.Addr, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers == nil || len(r.peers) >= maxRated {
		r.peers = map[netip.Addr]bucket{} // of so many peers none is held to what it did before
	}
	b, known := r.peers[peer]
	if !known {
		b = bucket{burst, now}
	}
	b.left = min(b.left+now.Sub(b.at).Minutes()*perMinute, burst)
	b.at = now
	ok := b.left >= 1
	if ok {
		b.left--
	}
	r.peers[peer] = b
	return ok
}
