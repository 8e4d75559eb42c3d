package destination

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/report"
)

// Template is a text with {names} for what a report says:
//
//	{ip} {family}                          the address; 4 or 6
//	{category} {service} {jail}            what was attacked
//	{abuseipdb}                            AbuseIPDB's numbers for the category
//	{comment} {lines}                      texts
//	{failures} {port} {protocol} {source_port}
//	{first} {last} {banned}                times, as RFC 3339
//	{first_unix} {last_unix} {banned_unix} times, as seconds since 1970
//	{id}                                   of the report, here
//
// Other braces stay as they are, so that JSON needs no doubling. Values are escaped for the place that the
// template is for.
type Template struct{ text string }

// templateNames are the names that a template may use.
func templateNames() []string {
	return []string{
		"ip", "family", "category", "service", "jail", "abuseipdb", "comment", "lines", "failures", "port", "protocol", "source_port",
		"first", "last", "banned", "first_unix", "last_unix", "banned_unix", "id",
	}
}

// maxTemplate bounds a template, in bytes.
const maxTemplate = 16 << 10

// ParseTemplate checks a template: what looks like one of its names and is none is an error, since it would be
// sent as it stands.
func ParseTemplate(text string) (Template, error) {
	if len(text) > maxTemplate {
		return Template{}, fmt.Errorf("%w: a template has more than %d bytes", ErrOptions, maxTemplate)
	}
	rest := text
	for {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return Template{text}, nil
		}
		rest = after
		name, _, closed := strings.Cut(after, "}")
		if !closed || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			continue
		}
		if _, known := values(report.Report{})[name]; !known {
			return Template{}, fmt.Errorf("%w: a template has no {%s}: there are {%s}", ErrOptions, name, strings.Join(templateNames(), "}, {"))
		}
	}
}

func values(r report.Report) map[string]string {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	unix := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	family := "6"
	if r.Addr.Is4() {
		family = "4"
	}
	return map[string]string{
		"ip": r.Addr.String(), "family": family, "category": string(r.Category), "service": r.Service, "jail": r.Jail, "abuseipdb": abuseNumbers(r.Category),
		"comment": r.Comment, "lines": strings.Join(r.Lines, "\n"), "failures": strconv.Itoa(r.Failures), "port": strconv.Itoa(int(r.Port)), "protocol": r.Protocol,
		"source_port": strconv.Itoa(int(r.SourcePort)), "first": stamp(r.First), "last": stamp(r.Last), "banned": stamp(r.Banned),
		"first_unix": unix(r.First), "last_unix": unix(r.Last), "banned_unix": unix(r.Banned), "id": strconv.FormatUint(r.ID, 10),
	}
}

func (t Template) fill(r report.Report, escape func(string) string) string {
	var pairs []string
	for name, v := range values(r) {
		pairs = append(pairs, "{"+name+"}", escape(v))
	}
	return strings.NewReplacer(pairs...).Replace(t.text)
}

// JSON fills the template; values are escaped as within a string of JSON.
func (t Template) JSON(r report.Report) string {
	return t.fill(r, func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			return ""
		}
		return string(b[1 : len(b)-1])
	})
}

// Form fills the template; values are escaped as in a query or a form.
func (t Template) Form(r report.Report) string { return t.fill(r, url.QueryEscape) }

// Path fills the template; values are escaped as a part of a path.
func (t Template) Path(r report.Report) string { return t.fill(r, url.PathEscape) }

// Text fills the template; values are on one line and without quotes.
func (t Template) Text(r report.Report) string { return t.fill(r, quoted) }
