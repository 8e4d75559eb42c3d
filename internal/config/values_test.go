package config

import (
	"slices"
	"testing"
)

// TestATabSeparatesAddressesForUsAlone: what fail2ban is sent stays one word, as there; whom to spare is
// read as it was meant.
func TestATabSeparatesAddressesForUsAlone(t *testing.T) {
	for text, want := range map[string][2][]string{
		"a b,c\nd":      {{"a", "b", "c", "d"}, {"a", "b", "c", "d"}},
		" , a ,, b\n\n": {{"a", "b"}, {"a", "b"}},
		"a\tb, \tc\t":   {{"a\tb", "c"}, {"a", "b", "c"}},
		"a\u00a0b":      {{"a\u00a0b"}, {"a", "b"}},
		"":              {nil, nil},
		"\t":            {nil, nil},
	} {
		if got := sentWords(text); !slices.Equal(got, want[0]) {
			t.Errorf("%q is sent as %q, want %q", text, got, want[0])
		}
		if got := words(text); !slices.Equal(got, want[1]) {
			t.Errorf("%q is read as %q, want %q", text, got, want[1])
		}
	}
}
