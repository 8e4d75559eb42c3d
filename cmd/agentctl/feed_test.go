package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// fakeLists are the routes of a daemon with a list that is well, and one whose publisher says hostile things.
func fakeLists() []control.Route {
	at := func(d time.Duration) *time.Time { t := fakeNow().Add(d); return &t }
	all := []control.FeedStatus{
		{
			Name: "spam", Use: "block", Type: "spamhaus-drop", Where: "https://a.example/v4 https://a.example/v6", State: "ok", Mode: "drop", Direction: "both", Entries: 1700, Ranges: 1690, Refused: 3,
			Fetched: at(-time.Hour), Changed: at(-2 * time.Hour), Next: at(11 * time.Hour), Expires: at(7 * 24 * time.Hour), Interval: 43200,
			Refusals: []control.FeedRefusal{{Why: "private space (RFC 1918)", Entries: 3, Examples: []string{"10.0.0.1"}}},
		},
		{
			Name: "evil", Use: "block", Type: "list", Where: "https://b.example/x", State: "failing", Mode: "log", Direction: "in", Entries: 5, Ranges: 4, Suspects: 2, Bad: 22, Error: "read it: " + hostile, Since: at(-time.Minute),
			Failures: 2, Notes: []string{"a note"}, BadLines: []control.FeedBad{{Line: 3, Text: hostile, Why: "this is no address"}},
		},
		{Name: "allow.cdn", Use: "allow", Type: "cloudflare", State: "waiting", Ranges: 22},
	}
	return []control.Route{
		{Pattern: "GET /v1/feeds", Answer: func(*http.Request) (any, error) { return control.Feeds{Feeds: all}, nil }},
		{Pattern: "GET /v1/feeds/{name}", Answer: func(r *http.Request) (any, error) {
			for _, f := range all {
				if f.Name == r.PathValue("name") {
					return f, nil
				}
			}
			return nil, fmt.Errorf("%w: there is no list %q", control.ErrInvalid, r.PathValue("name"))
		}},
		{Pattern: "POST /v1/feeds/refresh", Answer: func(r *http.Request) (any, error) {
			req, err := control.Body[control.RefreshRequest](r)
			out := control.RefreshResult{Feeds: []control.Refreshed{}}
			for _, name := range req.Names {
				f := control.Refreshed{Name: name, Entries: 7}
				if name == "evil" {
					f.Error = hostile
				}
				out.Feeds = append(out.Feeds, f)
			}
			return out, err
		}},
		{Pattern: "GET /v1/exports", Answer: func(*http.Request) (any, error) {
			return control.Exports{Served: "https://192.0.2.1:8899", Exports: []control.ExportStatus{
				{Name: "nginx", Format: "nginx-deny", Path: "/etc/nginx/x.conf", Entries: 12, Bytes: 200, Written: at(-time.Minute), Writes: 3, Error: "test = nginx -t: " + hostile, Since: at(-time.Minute)},
				{Name: "edl", Format: "edl", Served: true, Entries: 9, Cut: 4, Held: true, Fetched: &control.ExportFetch{At: *at(-time.Hour), Peer: "192.0.2.9", Count: 5}},
			}}, nil
		}},
		{Pattern: "POST /v1/exports/write", Answer: func(r *http.Request) (any, error) {
			req, err := control.Body[control.ExportRequest](r)
			out := control.ExportResult{Exports: []control.ExportWritten{}}
			for _, name := range req.Names {
				out.Exports = append(out.Exports, control.ExportWritten{Name: name, Entries: 12})
			}
			return out, err
		}},
	}
}

func TestListsAndExportsAreShown(t *testing.T) {
	s := serve(t, "healthy")
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	json := filepath.Join(dir, "list.json")
	for path, text := range map[string]string{
		list: "8.8.8.8\n10.0.0.1\n" + strings.Repeat("9.9.9.9\n", 20) + "evil\x1b[2J\n", json: `{"threats":[{"ip":"8.8.8.8","s":90},{"ip":"9.9.9.9","s":0}]}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/list" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "\x1b[31mno\nno")
			return
		}
		fmt.Fprint(w, "8.8.8.8\n")
	}))
	defer web.Close()
	for _, c := range []struct {
		args string
		code int
		want string // what is said, or a part of it
	}{
		{"feed", 1, "spam       ok          1700     1690        3  drop, both ways  1h ago   in 11h  spamhaus-drop"},
		{"feed list", 1, "evil: read it: "},
		{"feed --json", 1, `"state": "failing"`},
		{"feed show spam", 0, "https://a.example/v6"},
		{"feed show spam", 0, "3  private space (RFC 1918)  10.0.0.1"},
		{"feed show evil", 0, "2 ranges, banned at the first failure"},
		{"feed show evil", 0, "… and 21 more"},
		{"feed show none", 1, `there is no list "none"`},
		{"feed refresh spam", 0, "spam: 7 entries"},
		{"feed refresh spam evil", 1, "evil: "},
		{"feed test " + list, 0, "1  private space (RFC 1918)  10.0.0.1"},
		{"feed test " + list, 0, "Would block:  2 ranges of addresses: 8.8.8.8/32, 9.9.9.9/32"},
		{"feed test " + list + " --json", 0, `"format": "plain"`},
		{"feed test " + json + " --entries threats[].ip --score s", 0, "Format:       json"},
		{"feed test " + json, 1, "is no list that a feed can take"},
		{"feed test " + web.URL + "/list", 0, "8.8.8.8/32"},
		{"feed test " + web.URL + "/other", 1, "the key, or its plan, is not for this list"},
		{"feed test " + dir + "/none", 1, "no such file"},
		{"feed test", 2, "name one list"},
		{"feed show", 2, "name one list"},
		{"feed fly", 2, "there are feed list, show, refresh and test"},
		{"feed list --format csv", 2, "belong to feed test"},
		{"feed --help", 0, "agentctl feed refresh spamhaus"},
		{"export", 1, "https://192.0.2.1:8899/edl.txt"},
		{"export list", 1, "nginx: test = nginx -t: "},
		{"export", 1, "edl: nothing is blocked; the list keeps what it had"},
		{"export --json", 1, `"held": true`},
		{"export show edl", 0, "1h ago by 192.0.2.9, 5 times since the start"},
		{"export show nginx", 0, "/etc/nginx/x.conf"},
		{"export show none", 1, `there is no export "none"`},
		{"export write nginx", 0, "nginx: 12 entries"},
		{"export preview nginx-deny", 0, "deny "},
		{"export preview yaml", 2, "there is no such format: there are plain, nginx-deny"},
		{"export preview plain --json", 2, "agentctl banned --feeds --json"},
		{"export list --owner x", 2, "--owner belongs to export preview"},
		{"export fly", 2, "see agentctl help export"},
		{"export --help", 0, "agentctl export preview nginx-deny"},
	} {
		code, out, talk := agentctl(t, append([]string{"-s", s}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(out+talk, c.want) {
			t.Errorf("agentctl %s: %d\n%s%s", c.args, code, out, talk)
		}
		if strings.ContainsRune(out+talk, '\x1b') {
			t.Errorf("agentctl %s lets an escape through: %q", c.args, out+talk)
		}
	}
}

func TestListsAndExportsAreCompleted(t *testing.T) {
	s := serve(t, "healthy")
	for typed, want := range map[string]string{
		"feed ":            "list show refresh test",
		"feed show ":       "spam evil allow.cdn",
		"feed refresh e":   "evil",
		"export ":          "list show write preview",
		"export preview n": "nginx-deny nginx-geo",
		"export show ":     "nginx edl",
		"export write e":   "edl",
	} {
		code, out, talk := agentctl(t, append([]string{"completion", "words", "--", "-s", s}, strings.Split(typed, " ")...)...)
		var words []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			words = append(words, word)
		}
		if got := strings.Join(words, " "); code != 0 || got != want {
			t.Errorf("%q: %d %q, want %q; %s", typed, code, got, want, talk)
		}
	}
}
