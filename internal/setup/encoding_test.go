package setup

import (
	"fmt"
	"testing"
)

func TestEncodingsByTheNamesOfPython(t *testing.T) {
	for name, want := range map[string]string{ // what the byte 0xa4 is in Python's
		"": "UTF-8", "auto": "UTF-8", "utf-8": "UTF-8", "UTF8": "UTF-8", "us-ascii": "UTF-8",
		"latin1": "¤", "latin-1": "¤", "iso-8859-1": "¤", "ISO8859_15": "€", "iso8859_2": "¤",
		"cp1252": "¤", "cp1251": "¤", "koi8-r": "╓", "koi8_u": "є",
		"utf-16": "refused", "utf_32_le": "refused", "nonsense": "refused",
	} {
		e, err := Encoding(name)
		got := "UTF-8"
		switch {
		case err != nil:
			got = "refused"
		case e != nil:
			b, err := e.NewDecoder().Bytes([]byte{0xa4})
			if got = string(b); err != nil {
				got = fmt.Sprint(err)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
