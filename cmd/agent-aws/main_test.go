package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// cloud is AWS WAF as far as it documents IP sets.
type cloud struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	sets   map[string]*ipSet
	writes int
	fail   func(call, set string) (code string, status int) // empty: it works
}

type ipSet struct {
	v6        bool
	addresses []string
	token     int
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, sets: map[string]*ipSet{}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-aws")
	t.Setenv("AWS_REGION", "eu-north-1")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var q struct {
		ID                                                   string `json:"Id"`
		Name, Scope, LockToken, NextMarker, IPAddressVersion string
		Addresses                                            []string
	}
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &q); err != nil || !strings.Contains(r.Header.Get("Authorization"), "AKIDEXAMPLE") {
		c.t.Errorf("%s: %v, %s", call, err, r.Header.Get("Authorization"))
	}
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":%q,"message":"on purpose"}`, code)
	}
	if c.fail != nil {
		if code, status := c.fail(call, q.Name); code != "" {
			refuse(status, code)
			return
		}
	}
	if len(q.Addresses) > 10_000 {
		refuse(400, "WAFLimitsExceededException")
		return
	}
	s := c.sets[q.Name]
	switch call {
	case "ListIPSets":
		var names []string
		for name := range c.sets {
			names = append(names, name)
		}
		slices.Sort(names)
		at, _ := slices.BinarySearch(names, q.NextMarker)
		if q.NextMarker == "" {
			at = 0
		}
		page := names[at:min(at+1, len(names))] // a page of one: all of them have to be asked for
		out := map[string]any{"IPSets": []any{}}
		for _, name := range page {
			out["IPSets"] = []any{map[string]any{"Name": name, "Id": "id-" + name, "LockToken": "x"}}
		}
		if at+1 < len(names) {
			out["NextMarker"] = names[at+1]
		}
		_ = json.NewEncoder(w).Encode(out)
	case "GetIPSet":
		_ = json.NewEncoder(w).Encode(map[string]any{"LockToken": strconv.Itoa(s.token), "IPSet": map[string]any{"Name": q.Name, "Id": q.ID, "Addresses": s.addresses, "IPAddressVersion": "IPV4", "ARN": "a"}})
	case "CreateIPSet":
		c.writes++
		c.sets[q.Name] = &ipSet{addresses: q.Addresses, v6: q.IPAddressVersion == "IPV6"}
		fmt.Fprint(w, "{}")
	case "UpdateIPSet":
		if q.LockToken != strconv.Itoa(s.token) {
			refuse(400, "WAFOptimisticLockException")
			return
		}
		c.writes++
		s.addresses, s.token = q.Addresses, s.token+1
		fmt.Fprint(w, `{"NextLockToken":"n"}`)
	default:
		refuse(400, "UnknownOperation")
	}
}

func (c *cloud) hold(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sets[name]; s != nil {
		return strings.Join(s.addresses, " ")
	}
	return "(none)"
}

// call runs the program.
func (c *cloud) call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(c.t.Context(), append(args, "--endpoint", c.URL, "--name", "p"), &out, &errs)
	if strings.Contains(out.String()+errs.String(), "a-secret-of-aws") {
		c.t.Error("the key is shown")
	}
	return code, out.String(), errs.String()
}

func listOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSetsFollowAList(t *testing.T) {
	c := newCloud(t)
	list := listOf(t, "# written by agentd\n8.8.8.8\n9.9.9.0/24\n2606:4700::/32\n")
	if code, _, errs := c.call("sync", "--list", list); code != 1 || !strings.Contains(errs, "there is no such IP set: p-v4 in scope REGIONAL: make it in the console, or let agent-aws with --create") {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, errs := c.call("plan", "--list", list, "--create"); code != 0 || !strings.Contains(out, "p-v4: would be made: 2 added, 0 removed, 2 in all") || c.writes != 0 {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, out, errs := c.call("sync", "--list", list, "--create"); code != 0 || !strings.Contains(out, "p-v6: was made: 1 added") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if c.hold("p-v4") != "8.8.8.8/32 9.9.9.0/24" || c.hold("p-v6") != "2606:4700::/32" || !c.sets["p-v6"].v6 {
		t.Errorf("sets hold %s and %s", c.hold("p-v4"), c.hold("p-v6"))
	}
	writes := c.writes
	if code, out, _ := c.call("sync", "--list", list); code != 0 || out != "2 sets are as they should be\n" || c.writes != writes {
		t.Errorf("%d %s, %d writes", code, out, c.writes-writes)
	}
	if code, out, errs := c.call("sync", "--list", listOf(t, "8.8.8.8\n1.1.1.1\n2606:4700::/32\n"), "--json"); code != 0 || !strings.Contains(out, `"set":"p-v4","id":"id-p-v4","add":1,"remove":1,"holds":2,"done":true`) {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if c.hold("p-v4") != "1.1.1.1/32 8.8.8.8/32" || c.writes != writes+1 {
		t.Errorf("the set holds %s", c.hold("p-v4"))
	}
	// Never emptied by accident.
	empty := listOf(t, "# nothing\n")
	if code, _, errs := c.call("sync", "--list", empty); code != 1 || !strings.Contains(errs, "the sets hold 3 entries: they stay as they are") || c.hold("p-v4") == "" {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := c.call("sync", "--list", empty, "--allow-empty"); code != 0 || c.hold("p-v4") != "" {
		t.Errorf("%d %s", code, errs)
	}
}

func TestALongListIsSpreadOverSets(t *testing.T) {
	c := newCloud(t)
	var b strings.Builder
	for i := range 10_001 {
		fmt.Fprintf(&b, "9.%d.%d.1\n", i/250, i%250)
	}
	list := listOf(t, b.String())
	if code, _, errs := c.call("sync", "--list", list, "--create"); code != 1 || !strings.Contains(errs, "1 entries are left out: a set holds 10000; raise --shards") || len(c.sets["p-v4"].addresses) != 10_000 {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := c.call("sync", "--list", list, "--create", "--shards", "3"); code != 0 || len(c.sets["p-v4-2"].addresses) != 1 || c.sets["p-v4-3"] != nil {
		t.Errorf("%d %s", code, errs)
	}
	// What is not needed any more is emptied, since the list as a whole is not.
	if code, _, errs := c.call("sync", "--list", listOf(t, "8.8.8.8\n"), "--shards", "3"); code != 0 || c.hold("p-v4") != "8.8.8.8/32" || c.hold("p-v4-2") != "" {
		t.Errorf("%d %s: %s", code, errs, c.hold("p-v4-2"))
	}
}

func TestBadDaysOfAWS(t *testing.T) {
	c := newCloud(t)
	c.sets = map[string]*ipSet{"p-v4": {addresses: []string{"1.1.1.1/32"}}, "p-v6": {}}
	list := listOf(t, "8.8.8.8\n2606:4700::1\n")
	// Somebody else writes in between, twice.
	locks := 0
	c.fail = func(call, set string) (string, int) {
		if call == "UpdateIPSet" && set == "p-v4" && locks < 2 {
			locks++
			c.sets[set].token++
			return "WAFOptimisticLockException", 400
		}
		return "", 0
	}
	if code, _, errs := c.call("sync", "--list", list); code != 0 || c.hold("p-v4") != "8.8.8.8/32" || locks != 2 {
		t.Errorf("%d %s, %d locks", code, errs, locks)
	}
	// One set fails, the other is done, and the next run mends it.
	c.fail = func(call, set string) (string, int) {
		if call == "UpdateIPSet" && set == "p-v4" {
			return "WAFInternalErrorException", 500
		}
		return "", 0
	}
	more := listOf(t, "8.8.8.8\n9.9.9.9\n2606:4700::1\n2606:4700::2\n")
	if code, out, errs := c.call("sync", "--list", more); code != 1 || !strings.Contains(errs, "IP set p-v4") || !strings.Contains(out, "p-v4: not changed") || c.hold("p-v6") != "2606:4700::1/128 2606:4700::2/128" {
		t.Errorf("%d %s %s", code, out, errs)
	}
	c.fail = nil
	if code, _, _ := c.call("sync", "--list", more); code != 0 || c.hold("p-v4") != "8.8.8.8/32 9.9.9.9/32" {
		t.Errorf("%s", c.hold("p-v4"))
	}
	// No permission.
	c.fail = func(string, string) (string, int) { return "AccessDeniedException", 400 }
	if code, _, errs := c.call("check"); code != 1 || !strings.Contains(errs, "agent-aws policy tells what is needed") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := c.call("sync", "--list", more); code != 1 || !strings.Contains(errs, "AccessDenied") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := c.call("sync", "--list", filepath.Join(t.TempDir(), "none")); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("%d %s", code, errs)
	}
	c.fail = nil
	if code, out, errs := c.call("check"); code != 0 || !strings.Contains(out, "eu-north-1") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

func TestAListIsReadOverHTTPWithItsToken(t *testing.T) {
	c := newCloud(t)
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, "8.8.8.8")
	}))
	defer served.Close()
	t.Setenv("THE_TOKEN", "tok")
	if code, _, errs := c.call("sync", "--list", served.URL+"/aws.txt", "--token", "env:THE_TOKEN", "--create"); code != 0 || c.hold("p-v4") != "8.8.8.8/32" {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := c.call("sync", "--list", served.URL+"/aws.txt"); code != 1 || !strings.Contains(errs, "401") || c.hold("p-v4") != "8.8.8.8/32" {
		t.Errorf("%d %s", code, errs)
	}
}

func TestWhatIsWrittenWronglyIsTold(t *testing.T) {
	newCloud(t)
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"":                                     {0, "Usage:"},
		"--help":                               {0, "Examples:"},
		"sync --help":                          {0, "Examples:"},
		"policy":                               {0, `"wafv2:UpdateIPSet"`},
		"security-group":                       {1, "can only allow"},
		"fly --name p":                         {2, `there is no command "fly"`},
		"sync --name p":                        {2, "--list is missing"},
		"sync --list x":                        {2, "--name is missing"},
		"sync --list x --name p --scope WORLD": {2, "--scope is REGIONAL or CLOUDFRONT"},
		"sync --list x --name p --shards 0":    {2, "--shards is 1 to 100"},
		"watch --list x --name p --every 1s":   {2, "--every is 60s or more"},
		"sync --list x --name p --colour":      {2, "flag provided but not defined"},
		"sync --list x --name p more":          {2, `"more" belongs to nothing`},
		"sync --list x --name a/b":             {2, "--name is of letters"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != want.code || !strings.Contains(out.String()+errs.String(), want.says) {
			t.Errorf("%s: %d %s %s", args, code, out.String(), errs.String())
		}
	}
}

// TestTheDaemonLinksNoCloud: what it does not link it cannot be attacked through.
func TestTheDaemonLinksNoCloud(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../agentd", "../agentctl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name := range strings.Lines(string(out)) {
		if strings.Contains(name, "aws") {
			t.Errorf("linked: %s", name)
		}
	}
}
