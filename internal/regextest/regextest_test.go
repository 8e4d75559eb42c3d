package regextest_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"github.com/palisade-agent/palisade/internal/regextest"
)

func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 3*regextest.MaxLine)
	l := regextest.NewLines(strings.NewReader("one\r\n\n"+long+"\nb\xffd\nlast"), nil)
	var got []string
	for {
		text, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, text)
	}
	if len(got) != 5 || got[0] != "one" || got[1] != "" || len(got[2]) != regextest.MaxLine || got[3] != "b\uFFFDd" || got[4] != "last" || l.Number != 5 || l.Cut != 1 || !l.Unfinished {
		t.Errorf("%d lines, %+v", len(got), l)
	}
	l = regextest.NewLines(strings.NewReader("\xe4\n"), charmap.ISO8859_1)
	if text, err := l.Next(); err != nil || text != "ä" || l.Unfinished {
		t.Errorf("%q, %v", text, err)
	}
}
