package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func decisionOf(scope, value, duration, more string) string {
	return fmt.Sprintf(`{"id":7,"origin":"x","type":"ban","scope":%q,"value":%q,"duration":%q,"scenario":"ssh"%s}`, scope, value, duration, more)
}

func TestDecisionsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		skipped    int
	}{
		"new":                 {`{"new":[` + decisionOf("Ip", "8.8.8.8", "4h", "") + `],"deleted":null}`, "8.8.8.8<2026-11-23T16:00:00>#ip 8.8.8.8", 0},
		"ranges":              {`{"new":[` + decisionOf("Range", "8.8.8.0/24", "90m", "") + `]}`, "8.8.8.0-8.8.8.255<2026-11-23T13:30:00>#range 8.8.8.0/24", 0},
		"deleted":             {`{"deleted":[` + decisionOf("ip", "8.8.8.8", "-5m1.5s", "") + `],"new":[]}`, "not:8.8.8.8#ip 8.8.8.8", 0},
		"taken back by value": {`{"deleted":[` + decisionOf("Ip", "8.8.8.8", "-1s", `,"id":3`) + `],"new":[` + decisionOf("ip", "8.8.8.8", "1h", `,"id":9`) + `]}`, "not:8.8.8.8#ip 8.8.8.8 8.8.8.8<2026-11-23T13:00:00>#ip 8.8.8.8", 0},
		"without an end":      {`{"new":[{"type":"ban","scope":"Ip","value":"2606::1"}]}`, "2606::1#ip 2606::1", 0},
		"other decisions": {`{"new":[` + decisionOf("Country", "XX", "4h", "") + `,` + decisionOf("Ip", "8.8.8.8", "4h", `,"type":"captcha"`) + `,` +
			decisionOf("Ip", "8.8.8.8", "4h", `,"simulated":true`) + `,` + decisionOf("Ip", "8.8.4.4", "4h", `,"simulated":false`) + `]}`, "8.8.4.4<2026-11-23T16:00:00>#ip 8.8.4.4", 3},
		"other members": {`{"links":{"new":[1]},"new":[` + decisionOf("Ip", "8.8.8.8", "4h", `,"x":{"value":"9.9.9.9"},"y":[1]`) + `]}`, "8.8.8.8<2026-11-23T16:00:00>#ip 8.8.8.8", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "crowdsec"}, Limits{Now: someTime}, c.text)
			if err != nil || got != c.want || p.BadCount != 0 || p.Skipped != c.skipped {
				t.Errorf("%q, %+v, %v; want %q", got, p, err, c.want)
			}
		})
	}
}

func TestWhatAreNoDecisionsIsRefusedWithItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
		says string
	}{
		"nothing new":        {`{"new":null,"deleted":null}`, ErrEmpty, ""},
		"nothing at all":     {``, ErrEmpty, ""},
		"only others":        {`{"new":[` + decisionOf("Country", "XX", "4h", "") + `]}`, ErrEmpty, ""},
		"an error":           {`{"message":"access forbidden","errors":"x"}`, ErrNotAList, "neither new nor deleted"},
		"a list":             {`[]`, ErrNotAList, `where '{' should be`},
		"no list":            {`{"new":{"a":1}}`, ErrNotAList, "neither new nor deleted"},
		"no decisions":       {`{"new":[1,"x",[]]}`, ErrNotAList, "this is no decision"},
		"no addresses":       {`{"new":[` + decisionOf("Ip", "evil", "4h", "") + `]}`, ErrNotAList, `"evil": this is no address`},
		"no durations":       {`{"new":[` + decisionOf("Ip", "8.8.8.8", "soon", "") + `]}`, ErrNotAList, `"soon": this is no duration`},
		"values of all size": {`{"new":[` + decisionOf("Ip", strings.Repeat("8", 100_000), "4h", "") + `]}`, ErrNotAList, "this is no address"},
		"cut":                {`{"new":[` + decisionOf("Ip", "8.8.8.8", "4h", ""), ErrNotAList, "it was cut off"},
		"more behind":        {`{"new":null}{}`, ErrNotAList, "behind its end"},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, err := parsed(t, Format{Kind: "crowdsec"}, Limits{Now: someTime}, c.text)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %+v", err, p)
			}
		})
	}
}

func TestNetworksOfDROPAreRead(t *testing.T) {
	const end = `{"type":"metadata","timestamp":1790000000,"size":100,"records":2,"terms":"x"}`
	for name, c := range map[string]struct {
		text, want string
		err        error
		says       string
	}{
		"lines":                {`{"cidr":"8.8.8.0\/24","sblid":"S1","rir":"x"}` + "\n" + `{"cidr":"2606::/32"}` + "\n" + end + "\n", "8.8.8.0-8.8.8.255 2606::-2606:0:ffff:ffff:ffff:ffff:ffff:ffff", nil, ""},
		"without the last one": {`{"cidr":"8.8.8.0/24"}`, "8.8.8.0-8.8.8.255", nil, ""},
		"fewer than it says":   {`{"cidr":"8.8.8.0/24"}` + "\n" + end, "", ErrNotAList, "it has 1 networks, and says in line 2 that there are 2"},
		"cut":                  {`{"cidr":"8.8.8.0/24"}` + "\n" + `{"cidr":"8.8.`, "", ErrNotAList, "it was cut off"},
		"of numbers":           {`{"asn":64496,"rir":"x"}` + "\n", "", ErrNotAList, `there is no "cidr"`},
		"nothing":              {`{"type":"metadata","records":0}`, "", ErrEmpty, ""},
		"text":                 {"; comment\n8.8.8.0/24 ; S1\n", "", ErrNotAList, `where '{' should be`},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "drop"}, Limits{}, c.text)
			if c.err == nil && (err != nil || got != c.want) || c.err != nil && (!errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%q, %+v, %v", got, p, err)
			}
		})
	}
}
