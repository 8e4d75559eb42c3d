package setup

import (
	"fmt"
	"testing"
)

func TestEncodingsByTheNamesOfPython(t *testing.T) {
	for name, want := range map[string]string{ // what the byte 0x9d is
		"": "UTF-8", "auto": "UTF-8", "utf-8": "UTF-8", "UTF8": "UTF-8", "us-ascii": "UTF-8",
		"latin1": "\u009d", "latin-1": "\u009d", "iso-8859-1": "\u009d", "ISO8859_15": "\u009d",
		"cp1252": "\uFFFD", "cp1251": "ќ", "koi8-r": "²", "koi8_u": "ґ",
		"utf-16": "refused", "utf_32_le": "refused", "nonsense": "refused",
	} {
		e, err := Encoding(name)
		got := "UTF-8"
		switch {
		case err != nil:
			got = "refused"
		case e != nil:
			b, err := e.NewDecoder().Bytes([]byte{0x9d})
			if got = string(b); err != nil {
				got = fmt.Sprint(err)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
