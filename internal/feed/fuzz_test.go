package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// hold reads a document as a whole and byte by byte, and demands what Parse promises of any bytes.
func hold(t *testing.T, f Format, text []byte) {
	t.Helper()
	limits := Limits{Entries: 1000, LineBytes: 300, Now: someTime}
	read := func(r io.Reader) (all []Entry, p Parsed, err error) {
		p, err = Parse(r, f, limits, func(e Entry) { all = append(all, e) })
		return all, p, err
	}
	all, p, err := read(bytes.NewReader(text))
	if p.Entries != len(all) || len(all) > limits.Entries || len(p.Bad) > badShown || len(p.Bad) > p.BadCount || len(p.Next) > maxNext {
		t.Fatalf("%d entries handed over, %+v", len(all), p)
	}
	for _, b := range p.Bad {
		if len(b.Text) > badText || b.Why == "" || b.Line < 1 {
			t.Fatalf("%+v", b)
		}
	}
	for _, e := range all {
		sound := e.First.IsValid() && e.Last.IsValid() && e.First.Is4() == e.Last.Is4() && !e.First.Is4In6() && !e.Last.Is4In6() && e.First.Zone()+e.Last.Zone() == "" && !e.Last.Less(e.First)
		if !sound && !e.Revoked || e.Revoked && e.ID == "" || e.Score < Unscored || e.Score > 100 || len(e.ID) > maxID || len(e.Note) > maxID || e.Line < 1 {
			t.Fatalf("%+v", e)
		}
	}
	if err == nil && len(all) == 0 && !p.More {
		t.Fatalf("nothing, and no error: %+v", p)
	}
	if err != nil && len(err.Error()) > 2500 {
		t.Fatalf("an error of %d bytes", len(err.Error()))
	}
	again, q, errAgain := read(iotest.OneByteReader(bytes.NewReader(text)))
	if !slices.Equal(all, again) || !reflect.DeepEqual(p, q) || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
		t.Fatalf("byte by byte it is another list: %v and %v, %+v and %+v, %v and %v", all, again, p, q, err, errAgain)
	}
	broken := errors.New("broken")
	if _, _, err := read(io.MultiReader(bytes.NewReader(text), iotest.ErrReader(broken))); err == nil {
		t.Fatal("a reader's error is not told")
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"8.8.8.8\n", "8.8.8.0\t8.8.8.255\t24\n", "# c\n8.8.8.0/24 ; x\r\n2606::1-2606::5", "ip,x\n8.8.8.8,1", "\xef\xbb\xbf1.2.3.4/255.255.0.0", "::ffff:1.2.3.4/100"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { hold(t, Format{Kind: "plain"}, text) })
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("id,ip,score\n1,8.8.8.8,5\n"), "ip", "score", ",")
	f.Add([]byte("# a;b\n\"x\n\"\"y\";8.8.8.8\n"), "2", "", ";")
	f.Fuzz(func(t *testing.T, text []byte, column, score, separator string) {
		if len(column)+len(score) > 100 {
			return
		}
		r, _ := utf8.DecodeRuneInString(separator)
		if separator == "" {
			r = 0
		}
		hold(t, Format{Kind: "csv", Column: column, ScoreColumn: score, Separator: r}, text)
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"threats":[{"ip":"8.8.8.8","s":5}]}`), "threats[].ip", "s")
	f.Add([]byte(`[["8.8.8.8"],["8.8.4.4"]]`), "[][]", "")
	f.Add([]byte(`{"p":[{"q":["8.8.8.8"],"k":"v","x":{"s":1}}]}`), "p[k=v|w].q[]|p[].r", "x.s|s")
	f.Add([]byte("{\"ip\":\"8.8.8.8\"}\n{\"ip\":\"\\u0038.8.4.4\"}"), "ip", "")
	f.Fuzz(func(t *testing.T, text []byte, path, score string) {
		hold(t, Format{Kind: "json", Path: path, ScorePath: score}, text)
	})
}

func FuzzDROP(f *testing.F) {
	f.Add([]byte("{\"cidr\":\"8.8.8.0\\/24\",\"sblid\":\"S1\"}\n{\"type\":\"metadata\",\"records\":1}\n"))
	f.Fuzz(func(t *testing.T, text []byte) { hold(t, Format{Kind: "drop"}, text) })
}

func FuzzSTIX(f *testing.F) {
	f.Add([]byte(stixObjects(stixIndicator("1", "8.8.8.8", `,"confidence":5,"valid_until":"2026-12-01T00:00:00Z"`), stixIndicator("2", "8.8.4.4", `,"revoked":true`))), false)
	f.Add([]byte(`{"more":true,"next":"x","objects":[{"type":"indicator","pattern":"[a:b = 1 OR ipv4-addr:value IN ('8.8.8.8')]"}]}`), true)
	f.Fuzz(func(t *testing.T, text []byte, page bool) {
		kind := "stix"
		if page {
			kind = "taxii"
		}
		hold(t, Format{Kind: kind}, text)
	})
}

func FuzzCrowdSec(f *testing.F) {
	f.Add([]byte(`{"new":[` + decisionOf("Ip", "8.8.8.8", "4h", "") + `],"deleted":[` + decisionOf("Range", "8.8.8.0/24", "-1h", "") + `]}`))
	f.Fuzz(func(t *testing.T, text []byte) { hold(t, Format{Kind: "crowdsec"}, text) })
}

// FuzzPattern demands that what is named by a pattern stands in it.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"[ipv4-addr:value = '8.8.8.8' OR a:b[*].'c' NOT IN (1, h'ff')]", "([a:b = 1] AND [a:c LIKE 'x']) REPEATS 5 TIMES WITHIN 1.5 SECONDS /* x */", "[EXISTS a:b] FOLLOWEDBY [NOT EXISTS a:b] // x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		all, why := patternAddresses(pattern)
		if why != "" && len(all) > 0 {
			t.Fatalf("%q is bad (%s), and names %v", pattern, why, all)
		}
		if len(all) > 0 && (!strings.Contains(pattern, "addr:value") && !strings.Contains(pattern, "_ref.value") || !strings.Contains(pattern, "'")) {
			t.Fatalf("%q names %v", pattern, all)
		}
	})
}

// FuzzScanner compares with encoding/json: both take the same documents, and read the same texts.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,true,null,"x\u00e4\n"],"b":{}}`, `[] {} 1`, `"\ud83d\ude00\ud83d"`, `[01]`, `[1.]`, `{"a":1,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) || deeper(text) {
			return
		}
		// In a list, since encoding/json takes values for several that have no blank between them.
		inList := slices.Concat([]byte("["), text, []byte("]"))
		mine := scan(inList, func(s *scanner) error { return s.skip() })
		if (mine == nil) != json.Valid(inList) && !longNumber(text) {
			t.Fatalf("%q: %v, and for encoding/json it is %v", inList, mine, json.Valid(inList))
		}
		var want string
		if len(text) == 0 || text[0] != '"' || json.Unmarshal(text, &want) != nil || !utf8.Valid(text) || strings.ContainsRune(want, utf8.RuneError) {
			return
		}
		var got string
		err := scan(text, func(s *scanner) error {
			b, _, err := s.scalar(1 << 20)
			got = string(b)
			return err
		})
		if err != nil || got != want {
			t.Fatalf("%q is %q, not %q: %v", text, got, want, err)
		}
	})
}

// scan reads one value, behind which nothing follows.
func scan(text []byte, value func(*scanner) error) error {
	p := &parser{limits: Limits{LineBytes: 1 << 20}, in: newReader(bytes.NewReader(text))}
	s := p.scanner()
	if err := value(s); err != nil {
		return err
	}
	return s.end()
}

// deeper reports whether a document may be nested deeper than is read.
func deeper(text []byte) bool {
	return bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > maxDepth
}

// longNumber reports whether there may be a number that is longer than is read.
func longNumber(text []byte) bool {
	n := 0
	for _, c := range text {
		if n++; strings.IndexByte(",:[]{} \t\r\n\"", c) >= 0 {
			n = 0
		}
		if n > maxNumber {
			return true
		}
	}
	return false
}

// FuzzSpan compares with package netip.
func FuzzSpan(f *testing.F) {
	for _, s := range []string{"8.8.8.8", "8.8.8.0/24", "::ffff:8.8.8.8", "2606::/32", "8.8.8.1-8.8.8.9", "8.8.8.0/255.255.255.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, why := span([]byte(s))
		a, err := netip.ParseAddr(s)
		if ok := err == nil && a.Zone() == ""; ok && (why != "" || e.First != a.Unmap() || e.Last != a.Unmap()) {
			t.Fatalf("%q is %v to %v, %s", s, e.First, e.Last, why)
		}
		p, err := netip.ParsePrefix(s)
		if err == nil && !p.Addr().Is4In6() && (why != "" || e.First != p.Masked().Addr() || !p.Contains(e.Last) || e.Last.Next().IsValid() && p.Contains(e.Last.Next())) {
			t.Fatalf("%q is %v to %v, %s", s, e.First, e.Last, why)
		}
		if why == "" && (e.Last.Less(e.First) || e.First.Is4() != e.Last.Is4()) {
			t.Fatalf("%q is %v to %v", s, e.First, e.Last)
		}
	})
}
