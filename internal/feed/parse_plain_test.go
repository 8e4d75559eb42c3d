package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// parsed reads a document and writes its entries down.
func parsed(t *testing.T, f Format, l Limits, text string) (string, Parsed, error) {
	t.Helper()
	var all []string
	p, err := Parse(strings.NewReader(text), f, l, func(e Entry) { all = append(all, written(e)) })
	if p.Entries != len(all) {
		t.Errorf("%d entries are said to be %d", len(all), p.Entries)
	}
	return strings.Join(all, " "), p, err
}

func written(e Entry) string {
	text := e.First.String()
	if e.Last != e.First {
		text += "-" + e.Last.String()
	}
	if e.Score != NoScore {
		text += fmt.Sprintf("(%d)", e.Score)
	}
	if !e.Until.IsZero() {
		text += e.Until.UTC().Format("<2006-01-02T15:04:05>")
	}
	if e.Revoked {
		text = "not:" + text
	}
	if e.ID != "" {
		text += "#" + e.ID
	}
	return text
}

func TestPlainListsAreRead(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"addresses":       {"8.8.8.8\n2606:4700::1\n", "8.8.8.8 2606:4700::1"},
		"no last end":     {"8.8.8.8\n8.8.4.4", "8.8.8.8 8.8.4.4"},
		"networks":        {"8.8.8.0/24\n8.8.4.4/31\n2606:4700::/32\n", "8.8.8.0-8.8.8.255 8.8.4.4-8.8.4.5 2606:4700::-2606:4700:ffff:ffff:ffff:ffff:ffff:ffff"},
		"host bits":       {"8.8.8.8/24", "8.8.8.0-8.8.8.255"},
		"masks":           {"8.8.8.0/255.255.255.128", "8.8.8.0-8.8.8.127"},
		"ranges":          {"8.8.8.1-8.8.8.9\n8.8.4.1 - 8.8.4.9\n2606::1-2606::5", "8.8.8.1-8.8.8.9 8.8.4.1-8.8.4.9 2606::1-2606::5"},
		"comments":        {"# a\n; b\n// c\n\n8.8.8.8 # why\n8.8.4.4;why\n8.8.4.5\twhy\n8.8.4.6,why\n8.8.4.7 2026-01-01 seen\n", "8.8.8.8 8.8.4.4 8.8.4.5 8.8.4.6 8.8.4.7"},
		"line ends":       {"8.8.8.8\r\n8.8.4.4\r\n", "8.8.8.8 8.8.4.4"},
		"a byte order":    {"\xef\xbb\xbf8.8.8.8\n", "8.8.8.8"},
		"mapped":          {"::ffff:8.8.8.8\n::ffff:8.8.8.0/120\n", "8.8.8.8 8.8.8.0-8.8.8.255"},
		"DShield":         {"# c\nStart\tEnd\tNetmask\tAttacks\n8.8.8.0\t8.8.8.255\t24\t301\tNAME\tUS\ta@b.example\n", "8.8.8.0-8.8.8.255"},
		"two addresses":   {"8.8.8.8 8.8.4.4\n8.8.4.0\t8.8.4.255\n8.8.4.0\t9.8.4.255\t24\n8.8.4.1\t8.8.4.255\t24\n8.8.4.0 8.8.4.255 24", "8.8.8.8 8.8.4.0 8.8.4.0 8.8.4.1 8.8.4.0-8.8.4.255"},
		"numbers beside":  {"8.8.8.8 5\n8.8.4.4 1 2 3", "8.8.8.8 8.8.4.4"},
		"everything":      {"0.0.0.0/0\n::/0\n", "0.0.0.0-255.255.255.255 ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		"a heading":       {"ip,first_seen\n8.8.8.8,2026-01-01\n", "8.8.8.8"},
		"blanks in front": {"  8.8.8.8\n\t8.8.4.4", "8.8.8.8 8.8.4.4"},
	} {
		t.Run(name, func(t *testing.T) {
			got, p, err := parsed(t, Format{Kind: "plain"}, Limits{}, c.text)
			if err != nil || got != c.want || p.BadCount != 0 {
				t.Errorf("%q, %+v, %v; want %q", got, p, err, c.want)
			}
		})
	}
}

func TestBadLinesAreCountedWithTheirNumber(t *testing.T) {
	text := strings.Repeat("8.8.8.8\n", 50) + "evil\x1b[2J\n[2606::1]:443\n8.8.8.8:22\n8.8.8.8/33\n8.8.8.9-8.8.8.1\nfe80::1%eth0\n8.8.8.8/255.0.255.0\n\xff\xfe\n" + strings.Repeat("1", 20000) + "\n8.8.4.4\n"
	got, p, err := parsed(t, Format{Kind: "plain"}, Limits{}, text)
	if err != nil || p.BadCount != 9 || p.Lines != 60 || !strings.HasSuffix(got, " 8.8.4.4") {
		t.Fatalf("%+v, %v", p, err)
	}
	for i, want := range []string{"51 this is no address", "52 an address with a port", "53 an address with a port", "54 this is no length of a prefix", "55 the range ends before", "56 an address with a zone", "57 this is no length", "58 this is no address", "59 the line is too long"} {
		if got := fmt.Sprint(p.Bad[i].Line, " ", p.Bad[i].Why); !strings.HasPrefix(got, want) {
			t.Errorf("%s, not %s", got, want)
		}
		if len(p.Bad[i].Text) > 100 {
			t.Errorf("line %d is told with %d bytes", p.Bad[i].Line, len(p.Bad[i].Text))
		}
	}
}

// A line of any length costs no more than what is kept of it, also as the last one.
func TestEndlessLinesAreBoundedAndPassed(t *testing.T) {
	long := strings.Repeat("x", 300_000)
	for name, text := range map[string]string{"bad": "8.8.8.8\n" + long + "\n8.8.4.4\n", "a comment": "8.8.8.8\n#" + long + "\n8.8.4.4\n", "behind an entry": "8.8.8.8\n8.8.4.4 " + long + "\n", "the last": "8.8.8.8\n8.8.4.4\n" + long} {
		got, p, err := parsed(t, Format{Kind: "plain"}, Limits{}, text)
		if bad := strings.Count(name, "bad") + strings.Count(name, "last"); err != nil || got != "8.8.8.8 8.8.4.4" || p.BadCount != bad {
			t.Errorf("%s: %q, %+v, %v", name, got, p.BadCount, err)
		}
	}
}

func TestWhatIsNoListIsRefusedWithItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
		says string
	}{
		"a page":          {"<!DOCTYPE html><html><body>8.8.8.8</body></html>", ErrNotAList, "page of the web"},
		"a page, later":   {"\n\n  <HTML>\n8.8.8.8\n", ErrNotAList, "page of the web"},
		"XML":             {"<?xml version='1.0'?>", ErrNotAList, "page of the web"},
		"packed":          {"\x1f\x8b\x08\x00", ErrNotAList, "packed"},
		"UTF-16":          {"\xff\xfe8\x00.\x00", ErrNotAList, "UTF-16"},
		"zeros":           {"8.8.8.8\n\x00\x00", ErrNotAList, "no text"},
		"empty":           {"", ErrEmpty, ""},
		"comments alone":  {"# nothing today\n", ErrEmpty, ""},
		"names":           {"evil1.example\nevil2.example\n", ErrNotAList, `2 of 2 entries are none, the first in line 1: "evil1.example"`},
		"JSON":            {`{"error":"quota 1"}`, ErrNotAList, "the first in line 1"},
		"too many bad":    {strings.Repeat("8.8.8.8\nevil1\n", 20), ErrNotAList, "20 of 40"},
		"unknown formats": {"", ErrKind, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := Format{Kind: "plain"}
			if errors.Is(c.want, ErrKind) {
				f.Kind = "yaml"
			}
			_, p, err := parsed(t, f, Limits{}, c.text)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %+v", err, p)
			}
		})
	}
}

func TestAListIsCutAtItsLimit(t *testing.T) {
	got, p, err := parsed(t, Format{Kind: "plain"}, Limits{Entries: 2}, "8.8.8.1\n8.8.8.2\n8.8.8.3\n8.8.8.4\n")
	if err != nil || got != "8.8.8.1 8.8.8.2" || !p.Truncated {
		t.Errorf("%q, %+v, %v", got, p, err)
	}
}

func TestAReadersErrorIsTold(t *testing.T) {
	broken := errors.New("broken")
	_, err := Parse(&failing{[]byte("8.8.8.8\n8.8.8"), broken}, Format{Kind: "plain"}, Limits{}, func(Entry) {})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failing struct {
	text []byte
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if len(f.text) == 0 {
		return 0, f.err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

// host4 is for speed: it may leave an address to the general way, but never read another one.
func TestTheFastWayReadsWhatTheGeneralOneDoes(t *testing.T) {
	for _, text := range []string{"0.0.0.0", "255.255.255.255", "8.8.8.8", "10.20.30.40"} {
		if a, ok := host4([]byte(text)); !ok || a.String() != text {
			t.Errorf("%s is %s, %v", text, a, ok)
		}
	}
	for _, text := range []string{"", ".", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.4.5", ".1.2.3", "1..2.3", "256.1.1.1", "1.1.1.256", "1.1.1.1000", "01.2.3.4", "1.2.3.00", "1.2.3.4 ", "1.2.3.-4", "1.2.3.a", "::1"} {
		if a, ok := host4([]byte(text)); ok {
			t.Errorf("%s is %s", text, a)
		}
	}
}
