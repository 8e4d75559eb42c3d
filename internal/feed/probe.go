package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/palisade-agent/palisade/internal/outbound"
)

// probeBytes bounds a document that is only looked at.
const probeBytes = 64 << 20

// Probe looks at a document, of the web or of a file, as a feed would, and changes nothing. Without a kind, all
// formats are tried that need no more to be said; Kind says which fits.
type Probe struct {
	Kind    string
	Parsed  Parsed
	Verdict Verdict
	Bytes   int
}

// Look reads a document for a Probe. Address is a URL, or the path of a file.
func Look(ctx context.Context, client *outbound.Client, address string, f Format, g Guards) (p Probe, err error) {
	var b []byte
	if isURL(address) {
		b, err = download(ctx, client, address)
	} else {
		b, err = readBounded(address)
	}
	if err != nil {
		return p, err
	}
	p.Bytes = len(b)
	kinds := []string{f.Kind}
	if f.Kind == "" {
		kinds = guess(b, f)
	}
	var errs []error
	for _, kind := range kinds {
		f.Kind = kind
		guard := NewGuard(g)
		parsed, err := Parse(bytes.NewReader(b), f, Limits{Entries: g.MaxEntries, Now: g.Now}, guard.Take)
		if err != nil {
			errs = append(errs, fmt.Errorf("as %s: %w", kind, err))
			continue
		}
		p.Kind, p.Parsed = kind, parsed
		p.Verdict, err = guard.Verdict(0)
		return p, err
	}
	return p, errors.Join(errs...)
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

func download(ctx context.Context, client *outbound.Client, address string) ([]byte, error) {
	r, err := client.Do(ctx, outbound.Request{URL: address, Limit: probeBytes})
	if err != nil {
		return nil, err
	}
	if !r.OK() {
		return nil, &StatusError{Status: r.Status, Text: outbound.Clean(string(r.Body), 200)}
	}
	return r.Body, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, probeBytes+1))
	if err == nil && len(b) > probeBytes {
		err = fmt.Errorf("%s: %w", path, outbound.ErrTooLarge)
	}
	return b, err
}

// guess names the formats that a document may have, by what it begins with and what is said of it.
func guess(b []byte, f Format) []string {
	b = bytes.TrimSpace(b)
	switch {
	case f.Path != "":
		return []string{"json"}
	case f.Column != "" || f.ScoreColumn != "" || f.Separator != 0:
		return []string{"csv"}
	case bytes.HasPrefix(b, []byte("{")):
		return []string{"stix", "crowdsec", "drop"}
	case bytes.HasPrefix(b, []byte("[")):
		return []string{"stix"}
	}
	return []string{"plain", "csv"}
}
