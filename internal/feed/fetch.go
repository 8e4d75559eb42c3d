package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
)

// maxPages bounds the pages of one list.
const maxPages = 10_000

// ErrUnchanged says that the list is what it was.
var errUnchanged = errors.New("the list is as it was")

// fetched is how a fetch went.
type fetched struct {
	origin  origin
	verdict *Verdict // nil: that of before
	notes   []string
}

// gatherer takes the entries of a new version of a list to the copy, and to the guard.
type gatherer struct {
	w     *copyWriter
	judge *judge
	since func(Entry) time.Time
	left  int // entries that there is still room for
}

// gather begins a new version of the list.
func (w *worker) gather() (*gatherer, error) {
	out, err := w.copies.write(w.source.Name)
	if err != nil {
		return nil, fmt.Errorf("keep a copy of the list: %w", err)
	}
	return &gatherer{w: out, judge: w.newJudge(), since: w.appeared(), left: w.source.Guards.MaxEntries}, nil
}

func (g *gatherer) take(part int, e Entry) {
	if g.left > 0 && !e.Revoked {
		g.left--
		k := kept{e, part, g.since(e)}
		g.w.add(k)
		g.judge.take(k)
	}
}

// settle puts a new version in the place of the old one, if the guard has nothing against it.
func (w *worker) settle(g *gatherer, f *fetched, old origin) (err error) {
	if f.verdict, err = g.judge.verdict(old.Entries); err != nil {
		g.w.drop()
		return err
	}
	f.origin, err = g.w.commit(f.origin)
	return err
}

// fetch asks for all documents of a list and writes a new copy; where nothing has changed the error is
// errUnchanged, with the origin all the same.
func (w *worker) fetch(ctx context.Context, old origin) (f fetched, err error) {
	now := w.now()
	f.origin = origin{Source: w.source.identity(), Fetched: now, Changed: now, Resync: old.Resync}
	if old.Source != f.origin.Source {
		old = origin{}
	}
	g, err := w.gather()
	if err != nil {
		return f, err
	}
	changed := false
	for i := range w.source.Documents {
		var had partTag
		if i < len(old.Parts) {
			had = old.Parts[i]
		}
		var tag partTag
		if byChanges(w.source.Documents[i].Kind) {
			tag, err = w.changes(ctx, i, had, old, &f, g)
		} else {
			tag, err = w.document(ctx, i, had, &f, g)
		}
		switch {
		case errors.Is(err, errUnchanged):
			_, err = w.copies.read(w.source.Name, func(k kept) {
				if k.part == i {
					g.take(i, k.Entry)
				}
			})
			if err != nil {
				// Without a copy, all of it is wanted: the next try has no version to name.
				_ = w.copies.note(w.source.Name, origin{Source: f.origin.Source, Fetched: old.Fetched, Changed: old.Changed})
			}
		case err == nil:
			changed = true
		}
		if err != nil {
			g.w.drop()
			return f, err
		}
		f.origin.Parts = append(f.origin.Parts, tag)
	}
	if !changed {
		g.w.drop()
		f.origin.Changed, f.origin.Sum, f.origin.Entries = old.Changed, old.Sum, old.Entries
		if err := w.copies.note(w.source.Name, f.origin); err != nil {
			return f, fmt.Errorf("keep a copy of the list: %w", err)
		}
		return f, errUnchanged
	}
	return f, w.settle(g, &f, old)
}

// document asks for a document that holds all of its list.
func (w *worker) document(ctx context.Context, i int, had partTag, f *fetched, g *gatherer) (tag partTag, err error) {
	d := w.source.Documents[i]
	h := http.Header{}
	if had.ETag != "" {
		h.Set("If-None-Match", had.ETag)
	}
	if had.Modified != "" {
		h.Set("If-Modified-Since", had.Modified)
	}
	s, err := w.ask(ctx, d.URL, h)
	if err != nil {
		return tag, err
	}
	defer s.Close()
	if s.Status == http.StatusNotModified && (had.ETag != "" || had.Modified != "") {
		return had, errUnchanged
	}
	if err := w.refused(s); err != nil {
		return tag, err
	}
	f.note(s.Header)
	p, err := Parse(s.Body, d.Format, w.limits(), func(e Entry) { g.take(i, e) })
	if err != nil {
		return tag, fmt.Errorf("read %s: %w", plainURL(d.URL), err)
	}
	if p.Truncated {
		f.notes = append(f.notes, fmt.Sprintf("the list has more than %d entries; those beyond do not count", w.source.Guards.MaxEntries))
	}
	f.skipped(p.Skipped)
	tag = partTag{ETag: s.Header.Get("ETag"), Modified: s.Header.Get("Last-Modified"), Lines: p.Lines, Bad: p.Bad, BadCount: p.BadCount}
	if len(tag.ETag) > 256 || len(tag.Modified) > 64 {
		tag.ETag, tag.Modified = "", ""
	}
	return tag, nil
}

// changes asks for what is new in a list that comes as changes, and joins it to the copy. Once a day, and where
// there is no copy or no place to go on from, it asks for all of it.
func (w *worker) changes(ctx context.Context, i int, had partTag, old origin, f *fetched, g *gatherer) (tag partTag, err error) {
	whole := had.Cursor == "" || w.now().Sub(old.Resync) >= resyncEvery || w.afresh
	if whole {
		had = partTag{}
		f.origin.Resync = w.now()
	}
	fresh := map[string][]Entry{} // by ID; those that are taken back, and may be in the copy, are empty
	room, known := g.left, g.left // the latter for IDs
	each := func(e Entry) {
		switch {
		case e.ID == "":
			g.take(i, e)
		case e.Revoked && whole:
			delete(fresh, e.ID)
		case e.Revoked:
			if _, there := fresh[e.ID]; there || len(fresh) < known {
				fresh[e.ID] = nil
			}
		case room > 0:
			room--
			fresh[e.ID] = append(fresh[e.ID], e)
		}
	}
	switch w.source.Documents[i].Kind {
	case "taxii":
		tag, err = w.taxii(ctx, i, had, f, each)
	default:
		tag, err = w.crowdsec(ctx, i, whole, f, each)
	}
	if err != nil {
		return tag, err
	}
	if !whole && len(fresh) == 0 {
		if tag.Cursor == "" {
			tag.Cursor = had.Cursor
		}
		tag.Lines = had.Lines
		return tag, errUnchanged
	}
	if !whole {
		g.judge.trust()
		_, err = w.copies.read(w.source.Name, func(k kept) {
			if _, newer := fresh[k.ID]; k.part == i && !newer {
				g.take(i, k.Entry)
			}
		})
		if err != nil {
			return tag, err
		}
	}
	for _, entries := range fresh {
		for _, e := range entries {
			g.take(i, e)
		}
	}
	if tag.Cursor == "" {
		tag.Cursor = had.Cursor
	}
	return tag, nil
}

// taxii asks for the pages of a collection, from where the copy ends.
func (w *worker) taxii(ctx context.Context, i int, had partTag, f *fetched, each func(Entry)) (tag partTag, err error) {
	d := w.source.Documents[i]
	base, err := url.Parse(d.URL)
	if err != nil {
		return tag, errors.New("this is no URL")
	}
	if at := strings.TrimSuffix(base.Path, "/"); !strings.HasSuffix(at, "/objects") && strings.Contains(at, "/collections/") {
		base.Path = at + "/objects/"
	}
	since, next := had.Cursor, ""
	skipped := 0
	defer func() { f.skipped(skipped) }()
	for page := range maxPages {
		u, q := *base, base.Query()
		if !q.Has("limit") {
			q.Set("limit", "1000")
		}
		if since != "" {
			q.Set("added_after", since)
		}
		if next != "" {
			q.Set("next", next)
		}
		u.RawQuery = q.Encode()
		s, err := w.ask(ctx, u.String(), http.Header{})
		if err != nil {
			return tag, err
		}
		if err := w.refused(s); err != nil {
			s.Close()
			return tag, err
		}
		if page == 0 {
			f.note(s.Header)
		}
		p, err := Parse(s.Body, d.Format, w.limits(), each)
		last := s.Header.Get("X-TAXII-Date-Added-Last")
		s.Close()
		// A page without anything is the end, and so is a collection in which nothing is new.
		if err != nil && (!errors.Is(err, ErrEmpty) || page == 0 && had.Cursor == "") {
			return tag, fmt.Errorf("read page %d of %s: %w", page+1, plainURL(d.URL), err)
		}
		tag.Lines += p.Lines
		skipped += p.Skipped
		tag.BadCount += p.BadCount
		if len(tag.Bad) == 0 {
			tag.Bad = p.Bad
		}
		if last != "" && len(last) <= 64 {
			tag.Cursor = last
		}
		switch {
		case !p.More:
			return tag, nil
		case p.Next != "":
			next = p.Next
		case last != "" && last != since:
			since, next = last, ""
		default:
			return tag, fmt.Errorf("page %d of %s says that there is more, but not where", page+1, plainURL(d.URL))
		}
	}
	return tag, fmt.Errorf("%s has more than %d pages", plainURL(d.URL), maxPages)
}

// crowdsec asks for the decisions of an LAPI: at first for all, later for what is new. The LAPI remembers where
// we are.
func (w *worker) crowdsec(ctx context.Context, i int, whole bool, f *fetched, each func(Entry)) (tag partTag, err error) {
	d := w.source.Documents[i]
	u, err := url.Parse(d.URL)
	if err != nil {
		return tag, errors.New("this is no URL")
	}
	q := u.Query()
	q.Set("startup", strconv.FormatBool(whole))
	if !q.Has("scopes") {
		q.Set("scopes", "ip,range")
	}
	u.RawQuery = q.Encode()
	s, err := w.ask(ctx, u.String(), http.Header{})
	if err != nil {
		return tag, err
	}
	defer s.Close()
	if err := w.refused(s); err != nil {
		return tag, err
	}
	f.note(s.Header)
	p, err := Parse(s.Body, d.Format, w.limits(), each)
	if err != nil && !errors.Is(err, ErrEmpty) {
		w.afresh = true // what was in it does not come again
		return tag, fmt.Errorf("read %s: %w", plainURL(d.URL), err)
	}
	w.afresh = false
	f.skipped(p.Skipped)
	return partTag{Lines: p.Lines, Bad: p.Bad, BadCount: p.BadCount, Cursor: "stream"}, nil
}

// ask sends one request with the publisher's key.
func (w *worker) ask(ctx context.Context, address string, h http.Header) (*outbound.Stream, error) {
	r := outbound.Request{URL: address, Header: h, Limit: w.source.MaxBytes, Timeout: w.source.Timeout}
	if w.source.Accept != "" {
		h.Set("Accept", w.source.Accept)
	}
	if w.source.Key != nil {
		k, err := w.source.Key()
		if err != nil {
			return nil, err
		}
		r.Key = k
	}
	return w.client().Open(ctx, r)
}

// refused is an error if an answer is no list.
func (w *worker) refused(s *outbound.Stream) error {
	if s.Status == http.StatusOK {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(s.Body, 2048))
	after, _ := outbound.RetryAfter(s.Header, w.now())
	if bytes.Contains(text, []byte("<html")) || bytes.Contains(text, []byte("<!DOCTYPE")) {
		text = nil
	}
	return &StatusError{Status: s.Status, Text: outbound.Clean(string(text), 200), After: after}
}

// note reads what publishers say in headers.
func (f *fetched) note(h http.Header) {
	if strings.EqualFold(h.Get("X-Blocklist-Version"), "lite") {
		f.notes = append(f.notes, "the publisher gives a sample of its list only (lite): a key of another plan gives all of it")
	}
}

// skipped tells of what is in a list and is none of its entries.
func (f *fetched) skipped(n int) {
	if n > 0 {
		f.notes = append(f.notes, fmt.Sprintf("%d of its objects name no address by themselves and do not count", n))
	}
}

func (w *worker) limits() Limits { return Limits{Entries: w.source.Guards.MaxEntries, Now: w.now()} }

// plainURL is an address without its query.
func plainURL(address string) string {
	at, _, _ := strings.Cut(address, "?")
	return at
}
