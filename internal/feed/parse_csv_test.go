package feed

import (
	"errors"
	"strings"
	"testing"
)

func TestColumnsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		f          Format
		text, want string
	}{
		"the first column":           {Format{}, "8.8.8.8,a,1\n8.8.4.0/24,b,2\n", "8.8.8.8 8.8.4.0-8.8.4.255"},
		"a column by its number":     {Format{Column: "2"}, "a,8.8.8.8\nb,8.8.4.4", "8.8.8.8 8.8.4.4"},
		"a column by its name":       {Format{Column: "dst_ip4"}, "first_seen,dst_ip4,port\n2026-01-01,8.8.8.8,443\n", "8.8.8.8"},
		"a name in other letters":    {Format{Column: "IP"}, "id,ip\n1,8.8.8.8\n", "8.8.8.8"},
		"a name in the last comment": {Format{Column: "ip"}, "# a list, of ip\n# id,ip\n1,8.8.8.8\n# 2,9.9.9.9\n3,8.8.4.4\n", "8.8.8.8 8.8.4.4"},
		"a heading by a number":      {Format{Column: "2"}, "id,address1\n1,8.8.8.8\n", "8.8.8.8"},
		"quotes":                     {Format{Column: "2"}, "\"a, \"\"b\"\"\",\"8.8.8.8\"\n \"c\" , \"8.8.4.4\" \n", "8.8.8.8 8.8.4.4"},
		"quotes in an address":       {Format{Column: "1"}, "\"8.8.8.8\",\"\"\"\"\n", "8.8.8.8"},
		"line ends in quotes":        {Format{Column: "2"}, "\"a\nb\n\nc\",8.8.8.8\nd,8.8.4.4\n", "8.8.8.8 8.8.4.4"},
		"semicolons":                 {Format{Column: "2", Separator: ';'}, "a,b;8.8.8.8;c\n", "8.8.8.8"},
		"bars with blanks":           {Format{Column: "3", Separator: '|'}, "1  |  NAME |  8.8.8.8  | x\n", "8.8.8.8"},
		"tabs, the first empty":      {Format{Column: "2", Separator: '\t'}, "\t8.8.8.8\tx\n", "8.8.8.8"},
		"blanks":                     {Format{Column: "2", Separator: ' '}, "a 8.8.8.8 b\n", "8.8.8.8"},
		"a wide separator":           {Format{Column: "2", Separator: '\u00a6'}, "a\u00a68.8.8.8\n", "8.8.8.8"},
		"scores by number":           {Format{Column: "1", ScoreColumn: "3"}, "8.8.8.8,x,70\n8.8.4.4,y,7.9\n8.8.4.5,z,\"12\"\n8.8.4.6,z,55%\n", "8.8.8.8(70) 8.8.4.4(7) 8.8.4.5(12) 8.8.4.6(55)"},
		"scores by name":             {Format{Column: "ip", ScoreColumn: "score"}, "score,ip\n70,8.8.8.8\n,8.8.4.4\nhigh,8.8.4.5\n", "8.8.8.8(70) 8.8.4.4(-2) 8.8.4.5(-2)"},
		"other line ends":            {Format{Column: "2"}, "\xef\xbb\xbfa,8.8.8.8\r\nb,8.8.4.4\r\n", "8.8.8.8 8.8.4.4"},
		"IPv6":                       {Format{Column: "2"}, "a,2606:4700::1\n", "2606:4700::1"},
	} {
		t.Run(name, func(t *testing.T) {
			c.f.Kind = "csv"
			got, p, err := parsed(t, c.f, Limits{}, c.text)
			if err != nil || got != c.want || p.BadCount != 0 {
				t.Errorf("%q, %+v, %v; want %q", got, p, err, c.want)
			}
		})
	}
}

func TestBadRowsAreCountedWithTheirLine(t *testing.T) {
	text := "id,ip\n" + strings.Repeat("1,8.8.8.8\n", 50) + "2\n3,evil\n4,8.8.8.8:22\n5," + strings.Repeat("x", 20_000) + "\n6,8.8.4.4\n7,\"8.8.8.8\n" + strings.Repeat("1,8.8.8.8\n", 3)
	_, p, err := parsed(t, Format{Kind: "csv", Column: "ip"}, Limits{}, text)
	if err != nil || p.BadCount != 5 || p.Entries != 51 || p.Lines != 60 {
		t.Fatalf("%+v, %v", p, err)
	}
	for i, want := range []struct {
		line int
		why  string
	}{{52, "1 columns only"}, {53, "no address"}, {54, "with a port"}, {55, "no address"}, {57, "does not end"}} {
		if b := p.Bad[i]; b.Line != want.line || !strings.Contains(b.Why, want.why) || len(b.Text) > 100 {
			t.Errorf("%+v, not %+v", b, want)
		}
	}
}

// A quote that does not end costs what a line may have, not the document.
func TestAQuoteThatDoesNotEndIsBounded(t *testing.T) {
	text := "a,8.8.8.8\nb,\"" + strings.Repeat("x,8.8.8.8\n", 10_000)
	for bytes, lost := range map[int]int{100: 10, 0: maxQuoted} {
		_, p, err := parsed(t, Format{Kind: "csv", Column: "2"}, Limits{LineBytes: bytes}, text)
		if err != nil || p.BadCount != 1 || p.Entries != 10_001-lost {
			t.Errorf("%d entries, %d bad, %v", p.Entries, p.BadCount, err)
		}
	}
}

func TestWhatIsNoTableIsRefusedWithItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		f    Format
		text string
		want error
		says string
	}{
		"no such column":    {Format{Column: "ip"}, "id,address\n1,8.8.8.8\n", ErrNotAList, `there is no column "ip": there are ["id" "address"]`},
		"no such score":     {Format{ScoreColumn: "score"}, "ip,points\n8.8.8.8,5\n", ErrNotAList, `there is no column "score"`},
		"column zero":       {Format{Column: "0"}, "8.8.8.8", ErrFormat, "counted from 1"},
		"too far a column":  {Format{Column: "1001"}, "8.8.8.8", ErrFormat, "counted from 1 to 1000"},
		"a short table":     {Format{Column: "3"}, "a,8.8.8.8\nb,8.8.8.9\n", ErrNotAList, "there are 2 columns only"},
		"another separator": {Format{Column: "2"}, "a;8.8.8.8\nb;8.8.4.4\n", ErrNotAList, "1 columns only"},
		"the wrong column":  {Format{Column: "1"}, "x.example,8.8.8.8\ny.example,8.8.4.4\n", ErrNotAList, `"x.example,8.8.8.8": this is no address`},
		"a page":            {Format{}, "<!doctype html>", ErrNotAList, "page of the web"},
		"nothing":           {Format{}, "", ErrEmpty, ""},
		"names alone":       {Format{Column: "ip"}, "# nothing today\nid,ip\n", ErrEmpty, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.f.Kind = "csv"
			_, p, err := parsed(t, c.f, Limits{}, c.text)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %+v", err, p)
			}
		})
	}
}
