package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/setup"
)

const (
	// wayscloudReporters is where WAYSCloud takes reporters, as it documents it.
	wayscloudReporters = "https://api.wayscloud.services/v1/ip"
	registerTimeout    = 30 * time.Second
	registerBytes      = 16 << 10
	// maxReporterID bounds what a service calls us; WAYSCloud's are UUIDs.
	maxReporterID = 100
)

// reporterOptions are those of report register and report verify alone.
func reporterOptions() []string {
	return []string{"name", "contact", "intent", "domain", "source", "yes", "db"}
}

// reporter is what is kept of a registration, in a file beside the database.
type reporter struct {
	ID         string    `json:"reporter_id"`
	Trust      float64   `json:"trust_score"` // 0 to 1, as it was said then
	Status     string    `json:"status"`
	Registered time.Time `json:"registered"`
}

// registration is what WAYSCloud is told, as it documents it.
type registration struct {
	Name    string `json:"name"`
	Source  string `json:"source_type"`
	Contact string `json:"contact"`
	Intent  string `json:"intent"`
	Domain  string `json:"domain,omitempty"`
}

// registry is a destination's place for reporters.
type registry struct {
	conf   config.ReportConf
	url    string // without a slash at its end
	file   string // of the reporter
	client *outbound.Client
}

// openRegistry finds the destination that is meant.
func (c *call) openRegistry() (*registry, error) {
	l := setup.New(c.config, c.named)
	if _, err := l.Read(); err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(slices.Clone(l.Agent().Reports), func(r config.ReportConf) bool {
		return r.Type != "wayscloud" || !r.Enabled || c.values["to"] != "" && r.Name != c.values["to"]
	})
	switch {
	case len(all) == 0:
		return nil, errors.New("agent.conf has no such section: write [report wayscloud] with type = wayscloud, apikey = file:/etc/agentd/wayscloud.key and jails = …")
	case len(all) > 1:
		return nil, usagef("there are several destinations of type wayscloud: name one by --to")
	case !all[0].Key.Given():
		return nil, fmt.Errorf("[report %s] has no apikey: write apikey = file:/etc/agentd/wayscloud.key", all[0].Name)
	}
	r := registry{conf: all[0], url: wayscloudReporters}
	if r.conf.URL != "" {
		var ok bool
		if r.url, ok = strings.CutSuffix(r.conf.URL, "/report"); !ok {
			return nil, fmt.Errorf("url of [report %s] does not end in /report, so that it is not known where it takes reporters", r.conf.Name)
		}
	}
	db := defaultDatabase
	if c.values["db"] != "" {
		db = c.values["db"]
	}
	r.file = filepath.Join(filepath.Dir(db), "reporter-"+r.conf.Name+".json")
	var err error
	r.client, err = c.web(l)
	return &r, err
}

// post sends to the service, once.
func (r *registry) post(ctx context.Context, path string, body []byte) (*outbound.Response, error) {
	key, err := r.conf.Key.Read()
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: r.url + path, Key: outbound.HeaderKey("X-API-Key", key), Body: body, Limit: registerBytes, Timeout: registerTimeout,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return nil, err
	}
	if !resp.OK() {
		hint := ""
		if resp.Status == http.StatusUnauthorized || resp.Status == http.StatusForbidden {
			hint = ": see apikey of [report " + r.conf.Name + "]"
		}
		return nil, fmt.Errorf("%s answers with status %d: %q%s", r.url+path, resp.Status, outbound.Clean(string(resp.Body), 300), hint)
	}
	return resp, nil
}

// load reads what is kept of a registration; false: there is none.
func (r *registry) load() (out reporter, ok bool, err error) {
	b, err := os.ReadFile(r.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return out, false, nil
	case err != nil:
		return out, false, fmt.Errorf("read the registration: %w", err)
	}
	if err := json.Unmarshal(b, &out); err != nil || out.ID == "" {
		return out, false, fmt.Errorf("the registration in %s cannot be read: move the file away and ask WAYSCloud for your reporter_id", r.file)
	}
	return out, true, nil
}

// registerReporter makes us known to WAYSCloud, once.
func registerReporter(ctx context.Context, c *call) error {
	r, err := c.openRegistry()
	if err != nil {
		return err
	}
	defer r.client.Close()
	if known, ok, err := r.load(); err != nil {
		return err
	} else if ok {
		return fmt.Errorf("registered already, as %s on %s (%s): a second registration would begin without trust", known.ID, known.Registered.UTC().Format(time.DateOnly), r.file)
	}
	or := func(name, otherwise string) string {
		if v := c.values[name]; v != "" {
			return v
		}
		return otherwise
	}
	what := registration{
		Name: or("name", r.conf.Organisation), Source: or("source", "automated"), Contact: or("contact", r.conf.Contact), Domain: or("domain", r.conf.Domain),
		Intent: or("intent", "bans of our own servers, by Palisade"),
	}
	switch {
	case what.Name == "" || what.Contact == "":
		return usagef("report register: say who you are: --name NAME --contact MAIL, or organisation and contact in [report %s]", r.conf.Name)
	case !slices.Contains([]string{"automated", "hybrid", "manual"}, what.Source):
		return usagef("report register: --source is automated, hybrid or manual")
	}
	body, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return fmt.Errorf("write the registration: %w", err)
	}
	// A registration whose number is lost cannot be made again, so the room for it comes first.
	room, err := os.CreateTemp(filepath.Dir(r.file), ".reporter-*")
	if err != nil {
		return fmt.Errorf("the registration could not be kept: %w (run this as root, or name agentd's database by --db)", err)
	}
	defer os.Remove(room.Name())
	defer room.Close()
	if ok, err := c.sure(fmt.Sprintf("This goes to %s/reporters/register:\n%s\n", r.url, body)); !ok {
		return err
	}
	resp, err := r.post(ctx, "/reporters/register", body)
	if err != nil {
		return err
	}
	var got reporter
	if err := json.Unmarshal(resp.Body, &got); err != nil || got.ID == "" || got.ID != outbound.Clean(got.ID, maxReporterID) {
		return fmt.Errorf("WAYSCloud has answered without a reporter_id: %q; ask them before you try again", outbound.Clean(string(resp.Body), 300))
	}
	got.Status, got.Registered = outbound.Clean(got.Status, maxReporterID), c.now()
	kept, err := json.MarshalIndent(got, "", "  ")
	if err == nil {
		_, err = room.Write(append(kept, '\n'))
	}
	if err = errors.Join(err, room.Sync(), os.Rename(room.Name(), r.file)); err != nil {
		return fmt.Errorf("registered as %s, which could not be kept: write it down: %w", got.ID, err)
	}
	return c.print(got, func(w io.Writer) {
		var f facts
		f.add("Registered as", got.ID)
		f.add("Trust", fmt.Sprintf("%g of 1", got.Trust))
		f.add("Status", got.Status)
		f.add("Kept in", r.file)
		f.write(w)
		fmt.Fprintln(w, "\nProve that the domain is yours, for more trust: agentctl report verify")
	})
}

// verifyReporter asks WAYSCloud to look at our domain, and shows what it says.
func verifyReporter(ctx context.Context, c *call) error {
	r, err := c.openRegistry()
	if err != nil {
		return err
	}
	defer r.client.Close()
	known, ok, err := r.load()
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("not registered yet (%s is not there): agentctl report register", r.file)
	}
	// That the call exists is documented; its body is assumed.
	body, err := json.Marshal(map[string]string{"reporter_id": known.ID})
	if err != nil {
		return fmt.Errorf("write the question: %w", err)
	}
	if ok, err := c.sure(fmt.Sprintf("This goes to %s/reporters/verify:\n%s\n", r.url, body)); !ok {
		return err
	}
	resp, err := r.post(ctx, "/reporters/verify", body)
	if err != nil {
		return err
	}
	said := struct {
		Answer json.RawMessage `json:"answer"`
	}{resp.Body}
	if !json.Valid(resp.Body) {
		return fmt.Errorf("WAYSCloud's answer is no JSON: %q", outbound.Clean(string(resp.Body), 300))
	}
	return c.print(said, func(w io.Writer) {
		var pretty bytes.Buffer
		_ = json.Indent(&pretty, resp.Body, "", "  ") // it is valid
		fmt.Fprintln(w, "WAYSCloud says:")
		for line := range strings.SplitSeq(pretty.String(), "\n") {
			fmt.Fprintln(w, "  "+safe(line))
		}
	})
}

// sure asks whether something is to be done, unless --yes says so. False without an error: it is not.
func (c *call) sure(what string) (bool, error) {
	if c.flags["yes"] {
		return true, nil
	}
	for line := range strings.SplitSeq(what, "\n") {
		fmt.Fprintln(c.stderr, safe(line))
	}
	fmt.Fprint(c.stderr, "Send it? [yes/no] ")
	line, err := bufio.NewReader(io.LimitReader(c.stdin, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if w := strings.ToLower(strings.TrimSpace(line)); w == "yes" || w == "y" {
		return true, nil
	}
	return false, errors.New("nothing was sent (--yes does without the question)")
}
