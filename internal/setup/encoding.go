package setup

import (
	"errors"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// errEncoding is for a name that means nothing, or an encoding in which a line does not end with the byte of
// a newline.
var errEncoding = errors.New("an unknown encoding, or one that lines cannot be read in")

// Encoding finds the character set of a log by the name that Python gives it; nil is UTF-8, as for auto.
func Encoding(name string) (encoding.Encoding, error) {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if number, is := strings.CutPrefix(name, "iso8859-"); is {
		name = "iso-8859-" + number
	}
	switch squeezed := strings.ReplaceAll(name, "-", ""); {
	case squeezed == "", squeezed == "auto", squeezed == "utf8", squeezed == "ascii", squeezed == "usascii":
		return nil, nil //nolint:nilnil // UTF-8
	case strings.HasPrefix(squeezed, "utf16"), strings.HasPrefix(squeezed, "utf32"):
		return nil, errEncoding
	case squeezed == "latin1":
		name = squeezed
	}
	// The names of the web come last: its ISO-8859-1 is another.
	if e, err := ianaindex.IANA.Encoding(name); err == nil && e != nil {
		return e, nil
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil, errEncoding
	}
	return e, nil
}
