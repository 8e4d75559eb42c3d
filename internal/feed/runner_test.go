package feed_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// rig is a Runner with what it delivered.
type rig struct {
	*feed.Runner
	t   *testing.T
	dir string

	mu    sync.Mutex
	block map[string]string
	count map[string]string
	times map[string]int
	allow cidr.Ranges
}

func newRig(t *testing.T, ca string) *rig {
	t.Helper()
	return newRigAt(t, ca, t.TempDir())
}

func newRigAt(t *testing.T, ca, dir string) *rig {
	t.Helper()
	c, err := outbound.New(outbound.Options{CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := &rig{t: t, dir: dir, block: map[string]string{}, count: map[string]string{}, times: map[string]int{}}
	r.Runner = feed.NewRunner(feed.Options{
		Dir: dir, Client: func() *outbound.Client { return c },
		Deliver: func(s feed.Source, block, count cidr.Ranges) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.block[s.Name], r.count[s.Name] = prefixes(block), prefixes(count)
			r.times[s.Name]++
		},
		Allow: func() cidr.Ranges {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.allow
		},
	})
	return r
}

func prefixes(r cidr.Ranges) string {
	var all []string
	for p := range r.Prefixes() {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

// start runs it until the test, or the function that it gives, ends it.
func (r *rig) start() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) delivered(name string) (block string, times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.block[name], r.times[name]
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not after half a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (r *rig) wait(name, block string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%s blocks %q", name, block), func() bool {
		got, times := r.delivered(name)
		return times > 0 && got == block
	})
}

func (r *rig) status(name string) feed.Status {
	for _, s := range r.Status() {
		if s.Source.Name == name {
			return s
		}
	}
	r.t.Fatalf("there is no %s", name)
	return feed.Status{}
}

// list is a source of one document.
func list(name, url string) feed.Source {
	return feed.Source{
		Name: name, Documents: []feed.Document{{URL: url, Format: feed.Format{Kind: "plain"}}},
		Interval: time.Hour, Expires: 24 * time.Hour, Timeout: 2 * time.Second, MaxBytes: 1 << 20, ShortTime: time.Hour,
		Guards: feed.Guards{Min4: 8, Min6: 19, MaxEntries: 1000, MayShrink: 0.5, ShortScore: feed.NoScore, CountScore: feed.NoScore},
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "9.9.%d.%d\n", i/200, 2*(i%100))
	}
	return b.String()
}

func TestAListIsFetchedOnceAndThenAskedForChanges(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/list", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 10:00:00 GMT")
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, "8.8.8.8\n8.8.4.0/24\n10.0.0.1\n")
	})
	r := newRig(t, s.CA)
	src := list("one", s.URL+"/list")
	src.Key = func() (outbound.Key, error) { return outbound.HeaderKey("X-Api-Key", "k"), nil }
	r.Set([]feed.Source{src})
	stop := r.start()
	r.wait("one", "8.8.4.0/24 8.8.8.8/32")
	if err := r.Refresh(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	asked := s.Asked()
	if len(asked) != 2 || asked[0].Header.Get("If-None-Match") != "" || asked[1].Header.Get("If-None-Match") != `"v1"` || asked[1].Header.Get("If-Modified-Since") != "Mon, 23 Nov 2026 10:00:00 GMT" || asked[1].Header.Get("X-Api-Key") != "k" {
		t.Errorf("asked: %+v", asked)
	}
	if st := r.status("one"); st.State != feed.Good || st.Entries != 3 || st.Blocked != 2 || st.Unchanged != 1 || st.Fetches != 2 || len(st.Refused) != 1 {
		t.Errorf("%+v", st)
	}
	if _, times := r.delivered("one"); times != 1+1 { // nothing at first, then the list
		t.Errorf("delivered %d times", times)
	}
	stop()

	// After a restart the copy counts at once, and nobody is asked before it is time.
	again := newRigAt(t, s.CA, r.dir)
	again.Set([]feed.Source{src})
	again.start()
	again.wait("one", "8.8.4.0/24 8.8.8.8/32")
	if n := len(s.Asked()); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if st := again.status("one"); st.State != feed.Good || st.Next.Before(time.Now().Add(30*time.Minute)) {
		t.Errorf("%+v", st)
	}
}

// TestOnAPublishersWorstDayTheLastGoodListCounts goes through what can come instead of a list.
func TestOnAPublishersWorstDayTheLastGoodListCounts(t *testing.T) {
	const good = "8.8.8.8\n"
	other := baddays.New(t)
	other.Handle("/list", baddays.Status(500, ""))
	for name, c := range map[string]struct {
		bad  func(s *baddays.Server) http.HandlerFunc
		says string
		next [2]time.Duration // when it is asked again, at least and at most
	}{
		"429 with seconds":       {func(*baddays.Server) http.HandlerFunc { return baddays.Status(429, "slow down", "Retry-After: 7200") }, "429 Too Many Requests (slow down): it was asked too often", [2]time.Duration{2 * time.Hour, 3 * time.Hour}},
		"429 for the day":        {func(*baddays.Server) http.HandlerFunc { return baddays.Status(429, "daily") }, "429", [2]time.Duration{2 * time.Hour, 3 * time.Hour}},
		"401":                    {func(*baddays.Server) http.HandlerFunc { return baddays.Status(401, `{"error":"no"}`) }, "the key is missing, wrong", [2]time.Duration{20 * time.Second, time.Hour}},
		"403":                    {func(*baddays.Server) http.HandlerFunc { return baddays.Status(403, "<html>forbidden") }, "the server answers 403 Forbidden: the key, or its plan", [2]time.Duration{20 * time.Second, time.Hour}},
		"404":                    {func(*baddays.Server) http.HandlerFunc { return baddays.Status(404, "") }, "there is no list at this address", [2]time.Duration{20 * time.Second, time.Hour}},
		"500":                    {func(*baddays.Server) http.HandlerFunc { return baddays.Status(500, "\x1b[31moops") }, "500 Internal Server Error ([31moops)", [2]time.Duration{20 * time.Second, time.Hour}},
		"a page of the web":      {func(*baddays.Server) http.HandlerFunc { return baddays.Text("<!DOCTYPE html><html>") }, "a page of the web", [2]time.Duration{20 * time.Second, time.Hour}},
		"an empty list":          {func(*baddays.Server) http.HandlerFunc { return baddays.Text("# nothing\n") }, "the list is empty", [2]time.Duration{20 * time.Second, time.Hour}},
		"other things":           {func(*baddays.Server) http.HandlerFunc { return baddays.Text("evil.example\nbad.example\n") }, "this is no list", [2]time.Duration{20 * time.Second, time.Hour}},
		"invalid UTF-8":          {func(*baddays.Server) http.HandlerFunc { return baddays.Text("\xff\xfe\xfa\n\xc3\x28\n") }, "this is no list", [2]time.Duration{20 * time.Second, time.Hour}},
		"too large":              {func(*baddays.Server) http.HandlerFunc { return baddays.Endless("9.9.9.9") }, "the answer is too large", [2]time.Duration{20 * time.Second, time.Hour}},
		"a bomb":                 {func(*baddays.Server) http.HandlerFunc { return baddays.Bomb(64 << 20) }, "the answer is too large", [2]time.Duration{20 * time.Second, time.Hour}},
		"half of a gzip":         {func(*baddays.Server) http.HandlerFunc { return baddays.TruncatedGzip(many(900)) }, "unexpected EOF", [2]time.Duration{20 * time.Second, time.Hour}},
		"fewer bytes than said":  {func(*baddays.Server) http.HandlerFunc { return baddays.Short("9.9.9.9\n") }, "unexpected EOF", [2]time.Duration{20 * time.Second, time.Hour}},
		"a connection that ends": {func(*baddays.Server) http.HandlerFunc { return baddays.Reset() }, "GET https://", [2]time.Duration{20 * time.Second, time.Hour}},
		"byte by byte":           {func(s *baddays.Server) http.HandlerFunc { return s.SlowLoris(10 * time.Millisecond) }, "does not go on", [2]time.Duration{20 * time.Second, time.Hour}},
		"another host":           {func(*baddays.Server) http.HandlerFunc { return baddays.Redirect(other.URL + "/list") }, "500", [2]time.Duration{20 * time.Second, time.Hour}},
		"plain HTTP":             {func(*baddays.Server) http.HandlerFunc { return baddays.Redirect("http://127.0.0.1:9/list") }, "the answer leads elsewhere", [2]time.Duration{20 * time.Second, time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := baddays.New(t)
			s.Handle("/list", baddays.In(baddays.Text(good, "Connection: close"), c.bad(s), baddays.Text("9.9.9.9\n")))
			r := newRig(t, s.CA)
			src := list("one", s.URL+"/list")
			src.Timeout = time.Second
			src.Key = func() (outbound.Key, error) { return outbound.HeaderKey("X-Api-Key", "the-secret"), nil }
			r.Set([]feed.Source{src})
			r.start()
			r.wait("one", "8.8.8.8/32")
			err := r.Refresh(t.Context(), "one")
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), "the-secret") {
				t.Fatalf("%v", err)
			}
			if block, _ := r.delivered("one"); block != "8.8.8.8/32" {
				t.Errorf("blocked is %q", block)
			}
			eventually(t, "the next try is known", func() bool { return r.status("one").Next.After(time.Now()) })
			st := r.status("one")
			if st.State != feed.Failing || st.Err == nil || st.Failures != 1 {
				t.Errorf("%+v", st)
			}
			if in := time.Until(st.Next); in < c.next[0] || in > c.next[1] {
				t.Errorf("it is asked again in %v", in)
			}
			if err := r.Refresh(t.Context(), "one"); err != nil {
				t.Error(err)
			}
			r.wait("one", "9.9.9.9/32")
			if st := r.status("one"); st.State != feed.Good || st.Err != nil || st.Failures != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
	t.Cleanup(func() {
		for _, a := range other.Asked() {
			if a.Header.Get("X-Api-Key") != "" {
				t.Errorf("another host got the key: %+v", a)
			}
		}
	})
}

func TestAListThatShrinksKeepsItsLastGoodCopy(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/list", baddays.In(baddays.Text(many(200)), baddays.Text(many(99)), baddays.Text(many(150))))
	r := newRig(t, s.CA)
	r.Set([]feed.Source{list("one", s.URL+"/list")})
	r.start()
	eventually(t, "all is blocked", func() bool { return r.status("one").Entries == 200 })
	if err := r.Refresh(t.Context(), "one"); err == nil || !strings.Contains(err.Error(), "from 200 entries to 99") {
		t.Errorf("%v", err)
	}
	if st := r.status("one"); st.State != feed.Failing || st.Entries != 200 {
		t.Errorf("%+v", st)
	}
	if err := r.Refresh(t.Context(), "one"); err != nil || r.status("one").Entries != 150 {
		t.Errorf("%v, %+v", err, r.status("one"))
	}
}

func TestADamagedCopyIsAskedForAnew(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"cut off": func(p string) error { return os.Truncate(p, 30) },
		"changed": func(p string) error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			return os.WriteFile(p, []byte(strings.Replace(string(b), "8.8.8.8", "7.7.7.7", 1)), 0o600)
		},
		"gone":    os.Remove,
		"nothing": func(p string) error { return os.Truncate(p, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := baddays.New(t)
			s.Handle("/list", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v1"`)
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				fmt.Fprint(w, "8.8.8.8\n")
			})
			r := newRig(t, s.CA)
			r.Set([]feed.Source{list("one", s.URL+"/list")})
			stop := r.start()
			r.wait("one", "8.8.8.8/32")
			stop()
			if err := damage(filepath.Join(r.dir, "one.list")); err != nil {
				t.Fatal(err)
			}
			again := newRigAt(t, s.CA, r.dir)
			again.Set([]feed.Source{list("one", s.URL+"/list")})
			again.start()
			again.wait("one", "8.8.8.8/32")
			if a := s.Asked(); len(a) != 2 || a[1].Header.Get("If-None-Match") != "" {
				t.Errorf("asked: %+v", a)
			}
		})
	}
}

func TestFilesOfOnesOwnAreFollowed(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, "")
	src := list("mine", "")
	src.Documents, src.Path, src.Format, src.Interval, src.Expires = nil, dir, feed.Format{Kind: "plain"}, 10*time.Millisecond, -1
	src.Guards.MayEmpty, src.Guards.MayShrink = true, 1
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Minute) // as if it had been written some time ago
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "8.8.8.8\n")
	write(".hidden", "7.7.7.7\n")
	write("b~", "7.7.7.7\n")
	r.Set([]feed.Source{src})
	r.start()
	r.wait("mine", "8.8.8.8/32")
	write("b", "9.9.9.0/24\n")
	r.wait("mine", "8.8.8.8/32 9.9.9.0/24")
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	r.wait("mine", "9.9.9.0/24")
	write("b", "")
	r.wait("mine", "")
	write("b", "9.9.9.9\n")
	r.wait("mine", "9.9.9.9/32")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is told", func() bool { return r.status("mine").Err != nil })
	if block, _ := r.delivered("mine"); block != "9.9.9.9/32" {
		t.Errorf("with its folder gone: %q", block)
	}
}

func TestAReloadDisturbsOnlyWhatHasChanged(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/a", baddays.Text("8.8.8.8\n"))
	s.Handle("/b", baddays.Text("9.9.9.9\n"))
	s.Handle("/c", baddays.Text("1.1.1.1\n"))
	r := newRig(t, s.CA)
	a, b := list("a", s.URL+"/a"), list("b", s.URL+"/b")
	r.Set([]feed.Source{a, b})
	r.start()
	r.wait("a", "8.8.8.8/32")
	r.wait("b", "9.9.9.9/32")
	b.Documents = []feed.Document{{URL: s.URL + "/c", Format: feed.Format{Kind: "plain"}}}
	r.Set([]feed.Source{a, b})
	r.wait("b", "1.1.1.1/32")
	b.Guards.MinScore = 50 // of the same documents: its copy counts
	r.Set([]feed.Source{a, b})
	r.wait("b", "1.1.1.1/32")
	asked := map[string]int{}
	for _, x := range s.Asked() {
		asked[x.Path]++
	}
	if asked["/a"] != 1 || asked["/b"] != 1 || asked["/c"] != 1 {
		t.Errorf("asked: %v", asked)
	}
	r.Set([]feed.Source{a})
	eventually(t, "the copies of b are gone", func() bool {
		files, _ := filepath.Glob(filepath.Join(r.dir, "*"))
		return len(files) == 2
	})
	if err := r.Refresh(t.Context(), "b"); err == nil || !strings.Contains(err.Error(), `there is no list "b": there are a`) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsAllowedLaterIsLetGo(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/a", baddays.Text("8.8.8.0/24\n"))
	r := newRig(t, s.CA)
	r.Set([]feed.Source{list("a", s.URL+"/a")})
	r.start()
	r.wait("a", "8.8.8.0/24")
	r.mu.Lock()
	r.allow = cidr.Of(netip.MustParsePrefix("8.8.8.0/25"))
	r.mu.Unlock()
	r.Rejudge()
	r.wait("a", "8.8.8.128/25")
	if n := len(s.Asked()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestScoresOfASuspectCountAtOnce(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/a", baddays.Text(`{"threats":[{"ip":"8.8.8.8","s":90},{"ip":"8.8.4.4","s":45},{"ip":"9.9.9.9","s":25},{"ip":"1.1.1.1","s":3}]}`))
	r := newRig(t, s.CA)
	src := list("a", s.URL+"/a")
	src.Documents[0].Format = feed.Format{Kind: "json", Path: "threats[].ip", ScorePath: "s"}
	src.Guards.MinScore, src.Guards.ShortScore, src.Guards.CountScore = 60, 40, 20
	r.Set([]feed.Source{src})
	r.start()
	r.wait("a", "8.8.4.4/32 8.8.8.8/32")
	for ip, by := range map[string]string{"9.9.9.9": "a", "8.8.8.8": "", "1.1.1.1": ""} {
		if got := r.Counts(netip.MustParseAddr(ip)); got != by {
			t.Errorf("%s is counted by %q", ip, got)
		}
	}
}

// TestTimesEnd runs days in moments: lists, entries and short blocks end when they should.
func TestTimesEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		file := filepath.Join(dir, "list.json")
		doc := fmt.Sprintf(`{"type":"bundle","objects":[
			{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '8.8.8.8']","valid_until":%q},
			{"type":"indicator","id":"indicator--2","pattern":"[ipv4-addr:value = '9.9.9.9']","confidence":45},
			{"type":"indicator","id":"indicator--3","pattern":"[ipv4-addr:value = '1.1.1.1']"}]}`, begin.Add(90*time.Minute).Format(time.RFC3339))
		if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, begin.Add(-time.Hour), begin.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		r := newRigAt(t, "", filepath.Join(dir, "copies"))
		src := list("a", "")
		src.Documents, src.Path, src.Format = nil, file, feed.Format{Kind: "stix"}
		src.Interval, src.Expires, src.ShortTime = 30*24*time.Hour, 5*time.Hour, time.Hour
		src.Guards.MinScore, src.Guards.ShortScore = 60, 40
		r.Set([]feed.Source{src})
		stop := r.start()
		for _, c := range []struct {
			at    time.Duration
			want  string
			state feed.State
		}{
			{59 * time.Minute, "1.1.1.1/32 8.8.8.8/32 9.9.9.9/32", feed.Good},
			{61 * time.Minute, "1.1.1.1/32 8.8.8.8/32", feed.Good},
			{89 * time.Minute, "1.1.1.1/32 8.8.8.8/32", feed.Good},
			{91 * time.Minute, "1.1.1.1/32", feed.Good},
			{4*time.Hour + 59*time.Minute, "1.1.1.1/32", feed.Good},
			{5*time.Hour + time.Minute, "", feed.Over},
		} {
			time.Sleep(time.Until(begin.Add(c.at)))
			synctest.Wait()
			if got, _ := r.delivered("a"); got != c.want || r.status("a").State != c.state {
				t.Errorf("after %v: %q, %s", c.at, got, r.status("a").State)
			}
		}
		stop()
	})
}
