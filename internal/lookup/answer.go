package lookup

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
)

const (
	textBytes = 120 // of a name
	noteBytes = 300
	maxNames  = 20 // of categories, flags and notes each
)

// errNoScore is that of an answer without a score that could be believed: it may be any document.
var errNoScore = errors.New("there is no score from 0 to 100 in it")

// score reads one; nil is none.
func score(n *float64) *int {
	if n == nil || math.IsNaN(*n) || *n < 0 || *n > 100 {
		return nil
	}
	v := int(math.Round(*n))
	return &v
}

// count reads how many; nil is not said.
func count(n *float64) *int {
	if n == nil || math.IsNaN(*n) || *n < 0 || *n > math.MaxInt32 {
		return nil
	}
	v := int(*n)
	return &v
}

func clean(s string) string { return outbound.Clean(s, textBytes) }

// names are cleaned, in their order, each once.
func names(all ...string) (out []string) {
	for _, s := range all {
		if s = clean(s); s != "" && !slices.Contains(out, s) && len(out) < maxNames {
			out = append(out, s)
		}
	}
	return out
}

// yes are the names of what is true.
func yes(flags map[string]any) []string {
	var all []string
	for name, v := range flags {
		if v == true {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return names(all...)
}

func network(asn float64) string {
	if asn < 1 || asn > math.MaxUint32 {
		return ""
	}
	return fmt.Sprintf("AS%d", uint32(asn))
}

func moment(s string) *time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return nil
	}
	t = t.UTC()
	return &t
}

// wayscloudThreat is what both of WAYSCloud's calls may say.
type wayscloudThreat struct {
	Hostname string `json:"hostname"`
	Geo      struct {
		Country string `json:"country"`
	} `json:"geo"`
	Network struct {
		ASN float64 `json:"asn"`
		ISP string  `json:"isp"`
		Org string  `json:"org"`
	} `json:"network"`
	Threat struct {
		Score      *float64 `json:"score"`
		Level      string   `json:"level"`
		Categories []string `json:"categories"`
	} `json:"threat"`
	Flags map[string]any `json:"flags"`
}

func readWayscloud(b []byte) (Answer, error) {
	var v wayscloudThreat
	if err := json.Unmarshal(b, &v); err != nil {
		return Answer{}, unreadable(err)
	}
	out := Answer{
		Score: score(v.Threat.Score), Level: clean(v.Threat.Level), Categories: names(v.Threat.Categories...), Flags: yes(v.Flags), Owner: clean(cmp.Or(v.Network.Org, v.Network.ISP)),
		Network: network(v.Network.ASN), Country: clean(v.Geo.Country), Hostname: clean(v.Hostname),
	}
	if out.Score == nil {
		return Answer{}, errNoScore
	}
	return out, nil
}

func readPortal(b []byte) (Answer, error) {
	var v struct {
		Data struct {
			Score      *float64 `json:"threat_score"`
			Level      string   `json:"threat_level"`
			Categories []string `json:"categories"`
			Country    string   `json:"country"`
			Code       string   `json:"country_code"`
			ISP        string   `json:"isp"`
			Org        string   `json:"org"`
			Reports    *float64 `json:"report_count"`
		} `json:"intelligence_data"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return Answer{}, unreadable(err)
	}
	d := v.Data
	out := Answer{
		Score: score(d.Score), Level: clean(d.Level), Categories: names(d.Categories...), Owner: clean(cmp.Or(d.Org, d.ISP)), Country: clean(cmp.Or(d.Code, d.Country)),
		Reports: count(d.Reports),
	}
	if out.Score == nil {
		return Answer{}, errNoScore
	}
	return out, nil
}

func readAbuseIPDB(b []byte) (Answer, error) {
	var v struct {
		Data struct {
			Score     *float64 `json:"abuseConfidenceScore"`
			Country   string   `json:"countryCode"`
			Usage     string   `json:"usageType"`
			ISP       string   `json:"isp"`
			Domain    string   `json:"domain"`
			Hostnames []string `json:"hostnames"`
			Tor       bool     `json:"isTor"`
			Good      bool     `json:"isWhitelisted"`
			Reports   *float64 `json:"totalReports"`
			Users     *float64 `json:"numDistinctUsers"`
			Last      string   `json:"lastReportedAt"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return Answer{}, unreadable(err)
	}
	d := v.Data
	out := Answer{Score: score(d.Score), Owner: clean(d.ISP), Country: clean(d.Country), Reports: count(d.Reports), Last: moment(d.Last)}
	if out.Score == nil {
		return Answer{}, errNoScore
	}
	if len(d.Hostnames) > 0 {
		out.Hostname = clean(d.Hostnames[0])
	}
	if d.Domain != "" && out.Owner != "" {
		out.Owner = clean(out.Owner + " (" + d.Domain + ")")
	}
	flags := []string{d.Usage}
	if d.Tor {
		flags = append(flags, "tor")
	}
	if d.Good {
		flags = append(flags, "on its list of the good")
	}
	out.Flags = names(flags...)
	if n := count(d.Users); n != nil && *n > 0 {
		out.Notes = []string{fmt.Sprintf("reported by %d different users in 90 days", *n)}
	}
	return out, nil
}

// noEvidence are classes of isMalicious' sources that say what an address is, not that it attacks.
func noEvidence(class string) bool {
	return class == "infrastructure" || class == "policy" || class == "allowlist"
}

func readIsMalicious(b []byte) (Answer, error) {
	var v struct {
		Risk struct {
			Score *float64 `json:"score"`
			Level string   `json:"level"`
		} `json:"riskScore"`
		Categories     []string `json:"categories"`
		Classification struct {
			Primary string `json:"primary"`
		} `json:"classification"`
		Sources []struct {
			Name  string `json:"name"`
			Class string `json:"threatClass"`
		} `json:"sources"`
		Infrastructure struct {
			Attributes []string `json:"attributes"`
		} `json:"infrastructure"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return Answer{}, unreadable(err)
	}
	out := Answer{
		Score: score(v.Risk.Score), Level: clean(v.Risk.Level), Flags: names(v.Infrastructure.Attributes...),
		Categories: names(append([]string{v.Classification.Primary}, v.Categories...)...),
	}
	if out.Score == nil {
		return Answer{}, errNoScore
	}
	var attack []string
	for _, s := range v.Sources {
		if !noEvidence(s.Class) {
			attack = append(attack, s.Name)
		}
	}
	if len(attack) > 0 {
		out.Notes = []string{outbound.Clean(fmt.Sprintf("on lists of attackers: %d, as %s", len(attack), strings.Join(names(attack...), ", ")), noteBytes)}
	}
	return out, nil
}

// readCrowdSec reads the decisions about an address; null, with none, is how the LAPI says that there are none.
func readCrowdSec(b []byte) (Answer, error) {
	var all []struct {
		Origin   string `json:"origin"`
		Type     string `json:"type"`
		Value    string `json:"value"`
		Duration string `json:"duration"`
		Scenario string `json:"scenario"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return Answer{}, unreadable(err)
	}
	out := Answer{Level: "no decision"}
	for i, d := range all {
		out.Level = "decided"
		if i == maxNames {
			out.Notes = append(out.Notes, fmt.Sprintf("… and %d more", len(all)-i))
			break
		}
		out.Categories = names(append(out.Categories, d.Scenario)...)
		out.Notes = append(out.Notes, outbound.Clean(fmt.Sprintf("%s of %s by %s, for %s more", d.Type, d.Value, d.Origin, d.Duration), noteBytes))
	}
	return out, nil
}

// complaint is what an answer that is no success says in its own words. Services write it in different places.
func complaint(b []byte) string {
	var v struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Errors  []struct {
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(b, &v) != nil {
		return ""
	}
	var text string
	var inner struct {
		Message string `json:"message"`
	}
	switch {
	case len(v.Errors) > 0:
		text = v.Errors[0].Detail
	case v.Message != "":
		text = v.Message
	case json.Unmarshal(v.Error, &text) == nil && text != "":
	case json.Unmarshal(v.Error, &inner) == nil && inner.Message != "":
		text = inner.Message
	case json.Unmarshal(v.Detail, &text) == nil:
	default:
		text = string(v.Detail)
	}
	return outbound.Clean(text, noteBytes)
}

// unreadable says what an answer is that cannot be read; json's own errors may quote it.
func unreadable(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("at %.60q there is a value of another type", wrong.Field)
	}
	return errors.New("it is no JSON")
}
