package feed

import (
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/feed/catalog"
	"github.com/palisade-agent/palisade/internal/feed/jsonpath"
)

// Documents as the publishers of the catalog write them, with addresses that are nobody's fault.
func TestListsOfTheCatalogAreReadAsTheyArePublished(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"wayscloud":         {`{"count":2,"threats":[{"ip_address":"8.8.8.8","threat_score":87,"category":"ssh_bruteforce"},{"ip":"2606::1","threat":{"score":12}}]}`, "8.8.8.8(87) 2606::1(12)"},
		"wayscloud-portal":  {`{"threats":[{"ip_address":"8.8.8.8","threat_score":60.5}]}`, "8.8.8.8(60)"},
		"wayscloud-country": {`{"country":"XX","top_ips":[{"ip_address":"8.8.8.8","reports":3}]}`, "8.8.8.8(-2)"},
		"ismalicious":       {"8.8.8.8\n8.8.4.0/24\n", "8.8.8.8 8.8.4.0-8.8.4.255"},
		"ismalicious-taxii": {stixObjects(stixIndicator("1", "8.8.8.8", `,"confidence":70`)), "8.8.8.8(70)#indicator--1"},
		"abuseipdb":         {`{"meta":{"generatedAt":"2026-11-23T00:00:00+00:00"},"data":[{"ipAddress":"8.8.8.8","countryCode":"XX","abuseConfidenceScore":100,"lastReportedAt":"2026-11-22T00:00:00+00:00"}]}`, "8.8.8.8(100)"},
		"blocklist-de":      {"8.8.8.8\n2606::1\n", "8.8.8.8 2606::1"},
		"spamhaus-drop":     {`{"cidr":"8.8.8.0\/24","sblid":"S1","rir":"x"}` + "\n" + `{"type":"metadata","timestamp":1,"size":9,"records":1}`, "8.8.8.0-8.8.8.255"},
		"dshield":           {"# a\nStart\tEnd\tNetblock\tAttacks\tName\tCountry\temail\n8.8.8.0\t8.8.8.255\t24\t301\tNAME\tXX\ta@b.example\n", "8.8.8.0-8.8.8.255"},
		"firehol-level1":    {"#\n# name\n#\n8.8.8.8\n8.8.4.0/22\n", "8.8.8.8 8.8.4.0-8.8.7.255"},
		"feodo":             {"# a\n# Last updated\n8.8.8.8\n# END 1 entries\n", "8.8.8.8"},
		"tor-exits":         {"8.8.8.8\n", "8.8.8.8"},
		"crowdsec":          {`{"deleted":null,"new":[{"duration":"1h","id":1,"origin":"x","scenario":"y","scope":"Ip","type":"ban","value":"8.8.8.8"}]}`, "8.8.8.8<2026-11-23T13:00:00>#ip 8.8.8.8"},
		"cloudflare":        {"8.8.8.0/24\n8.8.4.0/24\n", "8.8.8.0-8.8.8.255 8.8.4.0-8.8.4.255"},
		"fastly":            {`{"addresses":["8.8.8.0/24"],"ipv6_addresses":["2606::/128"]}`, "8.8.8.0-8.8.8.255 2606::"},
		"aws": {`{"syncToken":"1","createDate":"x","prefixes":[{"ip_prefix":"8.8.8.0/24","region":"GLOBAL","service":"CLOUDFRONT","network_border_group":"GLOBAL"},{"ip_prefix":"9.9.9.0/24","region":"x","service":"EC2"}],
			"ipv6_prefixes":[{"ipv6_prefix":"2606::/128","service":"ROUTE53_HEALTHCHECKS"}]}`, "8.8.8.0-8.8.8.255 2606::"},
		"google":  {`{"syncToken":"1","creationTime":"x","prefixes":[{"ipv4Prefix":"8.8.8.0/24"},{"ipv6Prefix":"2606::/128"}]}`, "8.8.8.0-8.8.8.255 2606::"},
		"bingbot": {`{"creationTime":"x","prefixes":[{"ipv4Prefix":"8.8.8.0/31"}]}`, "8.8.8.0-8.8.8.1"},
		"stripe":  {`{"WEBHOOKS":["8.8.8.8"]}`, "8.8.8.8"},
		"github":  {`{"verifiable_password_authentication":false,"hooks":["8.8.8.8/32"],"web":["9.9.9.9/32"]}`, "8.8.8.8"},
	} {
		t.Run(name, func(t *testing.T) {
			l, ok := catalog.Find(append(catalog.Feeds(), catalog.Allows()...), name)
			if !ok {
				t.Fatal("it is not in the catalog")
			}
			part := l.Parts[0]
			path := catalog.Fill(part.Path, map[string]string{"services": "CLOUDFRONT|ROUTE53_HEALTHCHECKS"})
			got, p, err := parsed(t, Format{Kind: part.Kind, Path: path, ScorePath: part.Score, Column: part.Column}, Limits{Now: someTime}, c.text)
			if err != nil || got != c.want || p.BadCount != 0 {
				t.Errorf("%q, %+v, %v; want %q", got, p, err, c.want)
			}
		})
	}
}

func TestPathsOfTheCatalogAreSound(t *testing.T) {
	for _, l := range append(catalog.Feeds(), catalog.Allows()...) {
		for _, part := range l.Parts {
			if part.Kind != "json" {
				continue
			}
			if _, err := jsonpath.Parse(strings.ReplaceAll(part.Path, "{services}", "A|B")); err != nil {
				t.Errorf("%s: %q: %v", l.Name, part.Path, err)
			}
			if part.Score == "" {
				continue
			}
			if p, err := jsonpath.Parse(part.Score); err != nil || !p.Members() {
				t.Errorf("%s: %q: %v", l.Name, part.Score, err)
			}
		}
	}
}
