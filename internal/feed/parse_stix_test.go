package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPatternsNameAddressesThatAreEnoughByThemselves(t *testing.T) {
	deep := strings.Repeat("(", 31) + "[ipv4-addr:value = '8.8.8.8']" + strings.Repeat(")", 31)
	for pattern, want := range map[string]string{
		"[ipv4-addr:value = '8.8.8.8']":               "8.8.8.8",
		"[ipv4-addr:value='8.8.8.8']":                 "8.8.8.8",
		"[ipv4-addr:value == '8.8.8.0/24']":           "8.8.8.0-8.8.8.255",
		"[ipv6-addr:value = '2606:4700::1']":          "2606:4700::1",
		"[ipv4-addr:value ISSUBSET '8.8.8.0/24']":     "8.8.8.0-8.8.8.255",
		"[ipv4-addr:value in ('8.8.8.1', '8.8.8.2')]": "8.8.8.1 8.8.8.2",
		"[ipv4-addr:value IN ()]":                     "",
		"[ipv4-addr:value = '8.8.8.1' OR ipv6-addr:value = '2606::1' or ipv4-addr:value = '8.8.8.3']": "8.8.8.1 2606::1 8.8.8.3",
		"[ipv4-addr:value = '8.8.8.1'] OR [ipv4-addr:value = '8.8.8.2']":                              "8.8.8.1 8.8.8.2",
		"([ipv4-addr:value = '8.8.8.1'] OR ([(ipv4-addr:value = '8.8.8.2')]))":                        "8.8.8.1 8.8.8.2",
		"[network-traffic:src_ref.value = '8.8.8.8']":                                                 "8.8.8.8",
		"[network-traffic:dst_ref.value = '8.8.8.8']":                                                 "8.8.8.8",
		" /* why */ [ ipv4-addr:value // so\n = '8.8.8.8' ] ":                                         "8.8.8.8",
		`[ipv4-addr:value = '8.8\.8.8' OR file:name = 'a\'] OR [b\\']`:                                "8.8.8.8",
		deep: "8.8.8.8",
		// Of what is joined by OR, one is enough; other things beside it are no condition.
		"[domain-name:value = 'x.example' OR ipv4-addr:value = '8.8.8.8']":                                    "8.8.8.8",
		"[ipv4-addr:value = '8.8.8.8'] OR [file:hashes.'SHA-256' = 'ab']":                                     "8.8.8.8",
		"[ipv4-addr:value = '8.8.8.8' OR a:b = 1 AND ipv4-addr:value = '9.9.9.9']":                            "8.8.8.8",
		"[a:b = 1 AND ipv4-addr:value = '9.9.9.9' OR ipv4-addr:value = '8.8.8.8']":                            "8.8.8.8",
		"[ipv4-addr:value = '9.9.9.9'] AND [a:b = 1] OR [ipv4-addr:value = '8.8.8.8']":                        "8.8.8.8",
		"[ipv4-addr:value = '8.8.8.8'] OR [ipv4-addr:value = '9.9.9.9'] REPEATS 5 TIMES WITHIN 600.5 SECONDS": "8.8.8.8",
		// These say more than an address.
		"[ipv4-addr:value = '9.9.9.9' AND network-traffic:dst_port = 22]":                                  "",
		"[network-traffic:dst_port = 22 AND (ipv4-addr:value = '9.9.9.9' OR ipv4-addr:value = '9.9.9.8')]": "",
		"[ipv4-addr:value = '9.9.9.9'] FOLLOWEDBY [ipv4-addr:value = '9.9.9.8']":                           "",
		"[ipv4-addr:value = '9.9.9.9'] AND [ipv4-addr:value = '9.9.9.8']":                                  "",
		"([ipv4-addr:value = '9.9.9.9'] OR [ipv4-addr:value = '9.9.9.8']) REPEATS 3 TIMES":                 "",
		"[ipv4-addr:value = '9.9.9.9'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'":         "",
		"[ipv4-addr:value != '9.9.9.9']":                                                                   "",
		"[ipv4-addr:value NOT = '9.9.9.9']":                                                                "",
		"[ipv4-addr:value NOT IN ('9.9.9.9')]":                                                             "",
		"[ipv4-addr:value > '9.9.9.9']":                                                                    "",
		"[ipv4-addr:value LIKE '9.9.%']":                                                                   "",
		"[ipv4-addr:value MATCHES '^9']":                                                                   "",
		"[ipv4-addr:value ISSUPERSET '9.9.9.9/32']":                                                        "",
		"[EXISTS ipv4-addr:value]":                                                                         "",
		"[NOT EXISTS ipv4-addr:value]":                                                                     "",
		"[domain-name:value = '9.9.9.9']":                                                                  "",
		"[domain-name:resolves_to_refs[*].value = '9.9.9.9']":                                              "",
		"[x-thing:'odd name'.'v[0]'[3].value = '9.9.9.9']":                                                 "",
		"[a:b = h'ff' OR a:b = b'AA==' OR a:b = -1.5 OR a:b = t'2026-01-01T00:00:00Z' OR a:b = true]":      "",
	} {
		all, why := patternAddresses(pattern)
		var got []string
		for _, e := range all {
			e.Score = NoScore
			got = append(got, written(e))
		}
		if text := strings.Join(got, " "); text != want || why != "" {
			t.Errorf("%s: %q, %s; want %q", pattern, text, why, want)
		}
	}
}

func TestWhatIsNoPatternIsBad(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                  "no pattern",
		"8.8.8.8":                           "no pattern",
		"[]":                                "no pattern",
		"[ipv4-addr:value = '8.8.8.8'":      "no pattern",
		"ipv4-addr:value = '8.8.8.8'":       "no pattern",
		"[ipv4-addr:value = '8.8.8.8']]":    "no pattern",
		"[ipv4-addr:value = '8.8.8.8' OR]":  "no pattern",
		"[ipv4-addr:value = '8.8.8.8":       "no pattern",
		"[ipv4-addr:value '8.8.8.8']":       "no pattern",
		"[ipv4-addr:value = ]":              "no pattern",
		"[ipv4-addr:value IN '8.8.8.8']":    "no pattern",
		"[ipv4-addr:value IN ('8.8.8.8']":   "no pattern",
		"[ipv4-addr:value IN ('8.8.8.8',)]": "no pattern",
		"[ipv4-addr = '8.8.8.8']":           "no pattern",
		"[ipv4-addr: = '8.8.8.8']":          "no pattern",
		"[a:b[ = '8.8.8.8']":                "no pattern",
		"[NOT a:b = 1]":                     "no pattern",
		"[a:b = 1] OR":                      "no pattern",
		"[a:b = 1] [a:c = 2]":               "no pattern",
		"/* [a:b = 1]":                      "no pattern",
		"[ipv4-addr:value = 'evil']":        "this is no address",
		"[ipv4-addr:value = '8.8.8.8/33']":  "no length of a prefix",
		"[ipv4-addr:value = '8.8.8.8' OR ipv4-addr:value = 'evil']": "this is no address",
		strings.Repeat("(", 100_000):                                "nested too deep",
		"[" + strings.Repeat("(", 100_000):                          "nested too deep",
		"[a:b = 1" + strings.Repeat(" OR a:b = 1", 20_000):          "no pattern",
	} {
		all, why := patternAddresses(pattern)
		if len(all) != 0 || !strings.Contains(why, want) {
			t.Errorf("%.60s: %d, %q; want %q", pattern, len(all), why, want)
		}
	}
}

func stixObjects(objects ...string) string {
	return `{"type":"bundle","id":"bundle--1","objects":[` + strings.Join(objects, ",\n") + `]}`
}

func stixIndicator(id, address, more string) string {
	return fmt.Sprintf(`{"type":"indicator","spec_version":"2.1","id":"indicator--%s","pattern":"[ipv4-addr:value = '%s']","pattern_type":"stix"%s}`, id, address, more)
}

func TestBundlesOfSTIXAreRead(t *testing.T) {
	now := Limits{Now: someTime}
	for name, c := range map[string]struct{ text, want string }{
		"a bundle":             {stixObjects(stixIndicator("1", "8.8.8.8", ""), stixIndicator("2", "8.8.4.4", "")), "8.8.8.8#indicator--1 8.8.4.4#indicator--2"},
		"a list":               {"[" + stixIndicator("1", "8.8.8.8", "") + "]", "8.8.8.8#indicator--1"},
		"confidence":           {stixObjects(stixIndicator("1", "8.8.8.8", `,"confidence":85`), stixIndicator("2", "8.8.4.4", `,"confidence":null`)), "8.8.8.8(85)#indicator--1 8.8.4.4#indicator--2"},
		"an end":               {stixObjects(stixIndicator("1", "8.8.8.8", `,"valid_until":"2026-12-01T00:00:00.123Z"`)), "8.8.8.8<2026-12-01T00:00:00>#indicator--1"},
		"a beginning":          {stixObjects(stixIndicator("1", "8.8.8.8", `,"valid_from":"2026-01-01T00:00:00Z"`)), "8.8.8.8#indicator--1"},
		"not yet":              {stixObjects(stixIndicator("1", "8.8.8.8", `,"valid_from":"2027-01-01T00:00:00Z"`)), "not:0.0.0.0#indicator--1"},
		"clocks that differ":   {stixObjects(stixIndicator("1", "8.8.8.8", `,"valid_from":"2026-11-23T12:30:00Z"`)), "8.8.8.8#indicator--1"},
		"revoked":              {stixObjects(stixIndicator("1", "8.8.8.8", `,"revoked":true`), stixIndicator("2", "8.8.4.4", `,"revoked":false`)), "not:0.0.0.0#indicator--1 8.8.4.4#indicator--2"},
		"older STIX":           {stixObjects(`{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '8.8.8.8']"}`), "8.8.8.8#indicator--1"},
		"other objects":        {stixObjects(`{"type":"identity","id":"identity--1","name":"x"}`, stixIndicator("1", "8.8.8.8", ""), `{"type":"ipv4-addr","value":"9.9.9.9"}`), "8.8.8.8#indicator--1"},
		"members in any order": {`{"objects":[{"pattern":"[ipv4-addr:value = '8.8.8.8']","labels":["a",{"type":"x"}],"x":{"type":"y"},"id":"indicator--1","type":"indicator"}],"type":"bundle"}`, "8.8.8.8#indicator--1"},
		"several addresses":    {stixObjects(`{"type":"indicator","id":"a","pattern":"[ipv4-addr:value IN ('8.8.8.1','8.8.8.2')]"}`), "8.8.8.1#a 8.8.8.2#a"},
		"no ID":                {stixObjects(`{"type":"indicator","pattern":"[ipv4-addr:value = '8.8.8.8']"}`), "8.8.8.8"},
		"a long ID":            {stixObjects(`{"type":"indicator","id":"` + strings.Repeat("x", 300) + `","pattern":"[ipv4-addr:value = '8.8.8.8']"}`), "8.8.8.8#" + strings.Repeat("x", 200)},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "stix"}, now, c.text)
			if got = strings.ReplaceAll(got, "invalid IP", "0.0.0.0"); err != nil || got != c.want || p.BadCount != 0 {
				t.Errorf("%q, %+v, %v; want %q", got, p, err, c.want)
			}
		})
	}
}

// A collection is mostly of other things: names, hashes, rules. They are no reason to refuse it.
func TestIndicatorsOfOtherThingsAreSkipped(t *testing.T) {
	objects := []string{stixIndicator("1", "8.8.8.8", "")}
	for range 100 {
		objects = append(objects, `{"type":"indicator","id":"indicator--d","pattern":"[domain-name:value = 'x.example']","pattern_type":"stix"}`,
			`{"type":"indicator","id":"indicator--y","pattern":"rule x { condition: true }","pattern_type":"yara"}`)
	}
	objects = append(objects, `{"type":"indicator","id":"indicator--bad","pattern":"[ipv4-addr:value = 'evil']"}`, `{"type":"indicator","id":"indicator--late","pattern":"[ipv4-addr:value = '9.9.9.9']","valid_until":"tomorrow"}`,
		`{"type":"indicator","id":"indicator--more","pattern":"[ipv4-addr:value = '9.9.9.9' AND a:b = 1]"}`, "17")
	got, p, err := parsed(t, Format{Kind: "stix"}, Limits{}, stixObjects(objects...))
	if err != nil || strings.ReplaceAll(got, "invalid IP", "0.0.0.0") != "8.8.8.8#indicator--1 not:0.0.0.0#indicator--more" || p.Skipped != 201 || p.BadCount != 3 || p.Lines != 205 {
		t.Errorf("%q, %+v, %v", got, p, err)
	}
	for i, line := range []int{202, 203, 205} {
		if p.Bad[i].Line != line {
			t.Errorf("%+v, not in line %d", p.Bad[i], line)
		}
	}
}

func TestPagesOfTAXIIAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		text, want, next string
		more             bool
		err              error
	}{
		"the last page":            {`{"objects":[` + stixIndicator("1", "8.8.8.8", "") + `]}`, "8.8.8.8#indicator--1", "", false, nil},
		"a page with a next":       {`{"more":true,"next":"abc","objects":[` + stixIndicator("1", "8.8.8.8", "") + `]}`, "8.8.8.8#indicator--1", "abc", true, nil},
		"a number as next":         {`{"more":true,"next":7,"objects":[` + stixIndicator("1", "8.8.8.8", "") + `]}`, "8.8.8.8#indicator--1", "7", true, nil},
		"next behind":              {`{"objects":[` + stixIndicator("1", "8.8.8.8", "") + `],"next":null,"more":true}`, "8.8.8.8#indicator--1", "", true, nil},
		"nothing":                  {`{}`, "", "", false, ErrEmpty},
		"nothing, in words":        {`{"more":false,"objects":[]}`, "", "", false, ErrEmpty},
		"null":                     {`{"more":false,"objects":null}`, "", "", false, ErrEmpty},
		"nothing of ours, yet":     {`{"more":true,"next":"b","objects":[{"type":"identity"}]}`, "", "b", true, nil},
		"nothing of ours, at last": {`{"more":false,"objects":[{"type":"identity"}]}`, "", "", false, ErrEmpty},
		"a bundle":                 {stixObjects(stixIndicator("1", "8.8.8.8", "")), "8.8.8.8#indicator--1", "", false, nil},
		"an error":                 {`{"title":"Not Acceptable","http_status":"406"}`, "", "", false, ErrNotAList},
		"objects of another kind":  {`{"objects":{"a":1}}`, "", "", false, ErrNotAList},
		"cut":                      {`{"more":true,"objects":[{"type":"indicator"`, "", "", true, ErrNotAList},
		"more behind":              {`{"objects":[]} x`, "", "", false, ErrNotAList},
		"deep":                     {`{"objects":` + strings.Repeat("[", 1000), "", "", false, ErrNotAList},
		"a long next":              {`{"next":"` + strings.Repeat("x", 5000) + `"}`, "", "", false, ErrNotAList},
		"a page of the web":        {`<!DOCTYPE html>`, "", "", false, ErrNotAList},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "taxii"}, Limits{}, c.text)
			if !errors.Is(err, c.err) || got != c.want || p.More != c.more || p.Next != c.next {
				t.Errorf("%q, %+v, %v; want %+v", got, p, err, c)
			}
		})
	}
}
