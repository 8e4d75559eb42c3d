package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/feed/catalog"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/outbound"
)

// feedOwner is the name that a feed's addresses have in the firewall.
func feedOwner(name string) string { return "feed:" + name }

func feedScope(f config.FeedConf) firewall.Scope {
	verdict := firewall.Drop
	switch f.Mode {
	case "reject":
		verdict = firewall.Reject
	case "log":
		verdict = firewall.Log
	}
	return firewall.Scope{Owner: feedOwner(f.Name), Feed: true, Both: f.Outbound, Verdict: verdict}
}

// feedSource makes of a section what a Runner follows. The section is one that can work.
func feedSource(f config.FeedConf) feed.Source {
	l, known := catalog.Find(catalog.Feeds(), f.Type)
	between, _ := config.Separator(f.Separator)
	s := feed.Source{
		Name: f.Name, Type: f.Type, Path: f.Path, Accept: l.Accept, Key: feedKey(f, l), KeyFrom: fmt.Sprint(f.Key, f.Secret, f.User, f.Password, f.KeyHeader),
		Interval: cmp.Or(f.Interval, l.Every, feed.DefaultInterval), Least: l.Least, Expires: cmp.Or(f.Expires, l.Expires, feed.DefaultExpires),
		Timeout: cmp.Or(f.Timeout, feed.DefaultTimeout), MaxBytes: feed.DefaultBytes, ShortTime: f.ShortTime,
		Format: feed.Format{Kind: cmp.Or(f.Format, "plain"), Column: f.Column, ScoreColumn: f.Score, Separator: between, Path: f.Entries, ScorePath: f.Score},
		Guards: feed.Guards{
			Private: f.Private, Min4: f.Min4, Min6: f.Min6, MaxEntries: cmp.Or(f.MaxEntries, l.Max, feed.DefaultEntries), MayEmpty: l.MayEmpty,
			MayShrink: float64(f.MaxShrink) / 100, MinScore: l.MinScore, ShortScore: f.ShortScore, CountScore: f.CountScore,
		},
	}
	if f.MaxSize > 0 {
		s.MaxBytes = int64(f.MaxSize) << 20
	}
	if f.MinScore >= 0 {
		s.Guards.MinScore = f.MinScore
	}
	if f.Path != "" {
		// What stands in one's own files is meant, also if it is much less than before.
		s.Interval, s.Expires = cmp.Or(f.Interval, feed.LocalInterval), cmp.Or(f.Expires, -1)
		s.Guards.MayEmpty, s.Guards.MayShrink = true, 1
		return s
	}
	if !known {
		for _, u := range f.URLs {
			s.Documents = append(s.Documents, feed.Document{URL: u, Format: s.Format})
		}
		return s
	}
	s.Documents = documents(l, f.URLs, map[string]string{
		"max": strconv.Itoa(s.Guards.MaxEntries), "country": f.Country, "name": cmp.Or(f.List, l.List),
	})
	return s
}

// documents are those of a published list, at other places if there are any.
func documents(l catalog.List, urls []string, values map[string]string) (all []feed.Document) {
	for i, p := range l.Parts {
		d := feed.Document{URL: catalog.Fill(p.URL, values), Format: feed.Format{Kind: p.Kind, Path: catalog.Fill(p.Path, values), ScorePath: p.Score, Column: p.Column}}
		switch {
		case len(urls) > i:
			d.URL = urls[i]
		case len(urls) > 0:
			continue
		}
		all = append(all, d)
	}
	return all
}

// feedKey is how a feed's key is sent; nil if it has none.
func feedKey(f config.FeedConf, l catalog.List) func() (outbound.Key, error) {
	switch {
	case f.Password.Given():
		return func() (outbound.Key, error) {
			p, err := f.Password.Read()
			return outbound.BasicKey(f.User, p), err
		}
	case !f.Key.Given():
		return nil
	}
	header, form := cmp.Or(f.KeyHeader, l.Header), l.Form
	if header == "" {
		header, form = "Authorization", catalog.Bearer
	}
	return func() (outbound.Key, error) {
		key, err := f.Key.Read()
		if err != nil {
			return outbound.Key{}, err
		}
		switch form {
		case catalog.Pair:
			secret, err := f.Secret.Read()
			if err != nil {
				return outbound.Key{}, err
			}
			key = base64.StdEncoding.EncodeToString([]byte(key + ":" + secret))
		case catalog.Bearer:
			key = "Bearer " + key
		case catalog.AsIs, catalog.Basic: // that has a password
		}
		return outbound.HeaderKey(header, key), nil
	}
}

// allowSources are what a section of [allow] has a Runner follow.
func allowSources(a config.AllowConf) (all []feed.Source) {
	l, known := catalog.Find(catalog.Allows(), a.Type)
	base := feed.Source{
		Type: a.Type, Use: feed.ForAllowing, Least: l.Least, Expires: -1, Timeout: feed.DefaultTimeout, MaxBytes: 64 << 20,
		Format: feed.Format{Kind: cmp.Or(a.Format, "plain"), Path: a.Entries},
		Guards: feed.Guards{Private: true, Min4: 8, Min6: 16, MaxEntries: 200_000, MayShrink: 0.5, ShortScore: feed.NoScore, CountScore: feed.NoScore},
	}
	add := func(suffix string, change func(*feed.Source)) {
		s := base
		s.Name = allowPrefix + a.Name + suffix
		change(&s)
		all = append(all, s)
	}
	every := cmp.Or(a.Interval, l.Every, feed.DefaultInterval)
	switch {
	case known:
		add("", func(s *feed.Source) {
			services := strings.Join(a.Services, "|")
			s.Documents = documents(l, a.URLs, map[string]string{"services": cmp.Or(services, "CLOUDFRONT|ROUTE53_HEALTHCHECKS")})
			s.Interval, s.Pinned = every, l.Pinned
		})
	case len(a.URLs) > 0:
		add("", func(s *feed.Source) {
			for _, u := range a.URLs {
				s.Documents = append(s.Documents, feed.Document{URL: u, Format: s.Format})
			}
			s.Interval = every
		})
	}
	if a.Path != "" {
		add(".files", func(s *feed.Source) {
			s.Path, s.Interval = a.Path, cmp.Or(a.Interval, feed.LocalInterval)
			s.Guards.MayEmpty, s.Guards.MayShrink = true, 1
		})
	}
	if len(a.Hosts) > 0 {
		add(".hosts", func(s *feed.Source) {
			s.Hosts, s.Interval, s.Guards.MayShrink = a.Hosts, cmp.Or(a.Interval, hostsEvery), 1
		})
	}
	return all
}
