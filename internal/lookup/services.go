package lookup

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/palisade-agent/palisade/internal/outbound"
)

// kind is how the services of a type are asked.
type kind struct {
	name   string
	url    string // of the service itself
	path   func(netip.Addr) string
	header string // of the key
	pair   bool   // key and secret become one
	open   bool   // no key is needed
	ours   bool   // it runs on one's own machines, so that it may be asked about any address
	page   string // what people can look at, but for the address
	read   func([]byte) (Answer, error)
}

// kinds are all that there are.
func kinds() []kind {
	return []kind{
		{
			// The whole answer is documented.
			name: "wayscloud", url: "https://api.wayscloud.services", path: func(a netip.Addr) string { return "/v1/ip/" + a.String() },
			header: "X-API-Key", page: "https://ip.wayscloud.services/ip-intelligence/", read: readWayscloud,
		},
		{
			// Of the answer, intelligence_data.threat_score is documented; what else is read is assumed.
			name: "wayscloud-portal", url: "https://ip.wayscloud.services", path: func(a netip.Addr) string { return "/api/v1/ip/" + a.String() },
			header: "X-API-Key", open: true, page: "https://ip.wayscloud.services/ip-intelligence/", read: readPortal,
		},
		{
			name: "abuseipdb", url: "https://api.abuseipdb.com", path: func(a netip.Addr) string {
				return "/api/v2/check?" + url.Values{"ipAddress": {a.String()}, "maxAgeInDays": {"90"}}.Encode()
			},
			header: "Key", page: "https://www.abuseipdb.com/check/", read: readAbuseIPDB,
		},
		{
			name: "ismalicious", url: "https://api.ismalicious.com", path: func(a netip.Addr) string {
				return "/check?" + url.Values{"query": {a.String()}, "enrichment": {"standard"}}.Encode()
			},
			header: "X-API-KEY", pair: true, read: readIsMalicious,
		},
		{
			name: "crowdsec", url: "http://127.0.0.1:8080", path: func(a netip.Addr) string { return "/v1/decisions?" + url.Values{"ip": {a.String()}}.Encode() },
			header: "X-Api-Key", ours: true, read: readCrowdSec,
		},
	}
}

// Types are the types of services.
func Types() (all []string) {
	for _, k := range kinds() {
		all = append(all, k.name)
	}
	return all
}

// Home is where a service of a type is asked that names no other place; empty if there is no such type.
func Home(typ string) string {
	k, _ := kindOf(typ)
	return k.url
}

func kindOf(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

func (k kind) request(s Service, a netip.Addr) (outbound.Request, error) {
	r := outbound.Request{URL: cmp.Or(s.URL, k.url) + k.path(a), Header: http.Header{"Accept": {"application/json"}}}
	switch {
	case s.Key == nil && k.open:
		return r, nil
	case s.Key == nil:
		return r, errors.New("there is no key: write apikey = file:/etc/agentd/" + k.name + ".key into agent.conf")
	case k.pair && s.Secret == nil:
		return r, errors.New("there is no secret: write apisecret = file:/etc/agentd/" + k.name + ".secret into agent.conf")
	}
	key, err := s.Key()
	if err != nil {
		return r, err
	}
	if k.pair {
		secret, err := s.Secret()
		if err != nil {
			return r, err
		}
		key = base64.StdEncoding.EncodeToString([]byte(key + ":" + secret))
	}
	r.Key = outbound.HeaderKey(k.header, key)
	return r, nil
}
