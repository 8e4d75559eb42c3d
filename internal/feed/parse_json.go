package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxElement bounds an element of an array, in bytes.
	maxElement = 1 << 20
	// maxDepth bounds how deep objects and arrays lie in each other outside of elements.
	maxDepth = 64
)

// errElement says that an element is larger than any sane one.
var errElement = fmt.Errorf("%w: an element of the JSON has more than %d bytes", ErrNotAList, maxElement)

// jsonPath is one alternative of a path: keys to an array, which of its elements count, and keys from there.
//
//	path     = alternative { "|" alternative }
//	alternative = { key "." } [ key ] "[" [ key "=" value { "|" value } ] "]" { step }
//	step     = "." key | "[" … "]"
//
// An array at the top of the document has no key before it: "[].ip".
type jsonPath struct {
	text  string
	steps []step
}

// step is a key, or the elements of an array.
type step struct {
	key    string
	array  bool
	filter string // the key that must have one of the values; empty is none
	values []string
}

// parsePaths reads the alternatives of a path.
func parsePaths(text string) (all []jsonPath, err error) {
	for _, alternative := range splitOutside(text, '|') {
		p := jsonPath{text: strings.TrimSpace(alternative)}
		arrays := 0
		for _, part := range splitOutside(p.text, '.') {
			key, rest, isArray := strings.Cut(part, "[")
			if key != "" {
				p.steps = append(p.steps, step{key: key})
			}
			for isArray {
				inner, after, closed := strings.Cut(rest, "]")
				if !closed {
					return nil, fmt.Errorf("the path %q has a [ without its ]", p.text)
				}
				s := step{array: true}
				if inner != "" {
					name, values, ok := strings.Cut(inner, "=")
					if !ok || name == "" {
						return nil, fmt.Errorf("the path %q: write [key=value], or [] for all elements", p.text)
					}
					s.filter, s.values = name, strings.Split(values, "|")
				}
				p.steps = append(p.steps, s)
				arrays++
				if after != "" && after[0] != '[' {
					return nil, fmt.Errorf("the path %q has %q after a ]: write a point between them", p.text, after)
				}
				rest, isArray = strings.CutPrefix(after, "[")
			}
			if key == "" && part == "" {
				return nil, fmt.Errorf("the path %q has an empty part", p.text)
			}
		}
		if arrays == 0 {
			return nil, fmt.Errorf("the path %q leads to one value: write [] after what is an array", p.text)
		}
		all = append(all, p)
	}
	return all, nil
}

// splitOutside splits at a sign, but not within brackets.
func splitOutside(s string, at byte) (all []string) {
	depth, begin := 0, 0
	for i := range len(s) {
		switch {
		case s[i] == '[':
			depth++
		case s[i] == ']':
			depth--
		case s[i] == at && depth == 0:
			all = append(all, s[begin:i])
			begin = i + 1
		}
	}
	return append(all, s[begin:])
}

// json reads a document of JSON with the addresses at the format's path.
func (p *parser) json() error {
	paths, err := parsePaths(p.format.Path)
	if err != nil {
		return err
	}
	var scores [][]string
	if p.format.ScorePath != "" {
		for alternative := range strings.SplitSeq(p.format.ScorePath, "|") {
			scores = append(scores, strings.Split(strings.TrimSpace(alternative), "."))
		}
	}
	found := false
	err = p.elements(func(at []string) bool {
		return slices.ContainsFunc(paths, func(j jsonPath) bool { return j.passes(at) })
	},
		func(at []string, element any) {
			for _, j := range paths {
				if rest, ok := j.from(at); ok {
					found = true
					if p.within(element, element, rest, scores) {
						break
					}
				}
			}
		}, func(at []string) {
			found = found || slices.ContainsFunc(paths, func(j jsonPath) bool { _, ok := j.from(at); return ok })
		}, nil)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: there is nothing at %s", ErrNotAList, p.format.Path)
	}
	return nil
}

// passes reports whether an array at a place is on the way, or what is above it.
func (j jsonPath) passes(at []string) bool {
	for i, key := range at {
		if i >= len(j.steps) || j.steps[i].array || j.steps[i].key != key {
			return false
		}
	}
	return true
}

// from gives the steps from the array at a place on, its own among them.
func (j jsonPath) from(at []string) ([]step, bool) {
	if !j.passes(at) || len(j.steps) <= len(at) || !j.steps[len(at)].array {
		return nil, false
	}
	return j.steps[len(at):], true
}

// within hands over what is at the end of steps, the first of which is the array that the element is of. It is
// false if there is nothing. Home is the object that scores are sought in.
func (p *parser) within(home, element any, steps []step, scores [][]string) bool {
	if s := steps[0]; s.array {
		if s.filter != "" {
			v, _ := member(element, s.filter)
			if !slices.Contains(s.values, asText(v)) {
				return true // it is of the list, and not meant
			}
		}
		home = element
	}
	for i, s := range steps[1:] {
		if s.array {
			list, ok := element.([]any)
			any := false
			for _, e := range list {
				any = p.within(home, e, steps[1+i:], scores) || any
			}
			return ok && any
		}
		var ok bool
		if element, ok = member(element, s.key); !ok {
			return false
		}
	}
	text, ok := element.(string)
	if !ok {
		return false
	}
	e, why := span([]byte(strings.TrimSpace(text)))
	if why != "" {
		p.bad(p.Lines, []byte(text), why)
		return true
	}
	e.Line, e.Score = p.Lines, NoScore
	if scores != nil {
		e.Score = scoreAt(home, scores)
	}
	p.entry(e)
	return true
}

// scoreAt is the first score that there is; who has none where others have one has zero.
func scoreAt(home any, paths [][]string) int {
	for _, keys := range paths {
		v, ok := home, true
		for _, k := range keys {
			if v, ok = member(v, k); !ok {
				break
			}
		}
		if n, isScore := score(v); ok && isScore {
			return n
		}
	}
	return 0
}

// score reads a number, or a text that is one, as a score.
func score(v any) (int, bool) {
	f, err := strconv.ParseFloat(asText(v), 64)
	if err != nil || math.IsNaN(f) {
		return 0, false
	}
	return int(math.Round(min(max(f, 0), 100))), true
}

func member(v any, key string) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	v, ok = m[key]
	return v, ok && v != nil
}

// asText is a value as a path or a score wants it; what is no simple value is empty.
func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// elements walks through a document as it comes and gives the elements of arrays one by one, with the keys that
// lead to their array. Arrays and objects that wanted does not want are passed over, and array is told of each
// that is not, also if it is empty. Plain, if it is not nil, is told of values that are no objects or arrays.
func (p *parser) elements(wanted func(at []string) bool, each func(at []string, element any), array func(at []string), plain func(at []string, v any)) error {
	bounded := &tokenBound{r: p.in}
	d := json.NewDecoder(bounded)
	d.UseNumber()
	bounded.d = d
	w := walk{p: p, d: d, wanted: wanted, each: each, array: array, plain: plain}
	if err := w.value(nil); err != nil {
		return jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		if err == nil {
			return fmt.Errorf("%w: there is more after the JSON", ErrNotAList)
		}
		return jsonError(err)
	}
	return nil
}

// jsonError tells what is no JSON from what could not be read.
func jsonError(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w: this is no JSON, at byte %d: %w", ErrNotAList, e.Offset, err)
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tokenBound ends the reading of a value that has too many bytes: a Decoder keeps it whole.
type tokenBound struct {
	r    io.Reader
	d    *json.Decoder
	read int64
}

// Read implements io.Reader.
func (b *tokenBound) Read(p []byte) (int, error) {
	if b.read-b.d.InputOffset() > maxElement {
		return 0, errElement
	}
	n, err := b.r.Read(p[:min(len(p), 64<<10)])
	b.read += int64(n)
	return n, err
}

type walk struct {
	p      *parser
	d      *json.Decoder
	wanted func([]string) bool
	each   func([]string, any)
	array  func([]string)
	plain  func([]string, any)
}

func (w *walk) value(at []string) error {
	if len(at) > maxDepth {
		return fmt.Errorf("%w: the JSON is deeper than %d", ErrNotAList, maxDepth)
	}
	t, err := w.d.Token()
	if err != nil {
		return err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		if w.plain != nil {
			w.plain(at, t)
		}
		return nil
	}
	if delim == '[' {
		w.array(at)
		for w.d.More() {
			var element any
			if err := w.d.Decode(&element); err != nil {
				return err
			}
			w.p.Lines++
			w.each(at, element)
		}
	} else {
		for w.d.More() {
			key, err := w.d.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			below := append(slices.Clone(at), name)
			if !w.wanted(below) {
				if err := w.skip(); err != nil {
					return err
				}
				continue
			}
			if err := w.value(below); err != nil {
				return err
			}
		}
	}
	_, err = w.d.Token() // its end
	return err
}

// skip passes over a value, however large, token by token.
func (w *walk) skip() error {
	for depth := 0; ; {
		t, err := w.d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if depth > maxElement {
			return errElement
		}
	}
}

// drop reads Spamhaus' lists: an object on each line, with the network at "cidr", and one at the end that
// describes the list.
func (p *parser) drop() error {
	for {
		b, long, err := p.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Lines++
		if b = bytes.TrimSpace(b); len(b) == 0 {
			continue
		}
		var v struct {
			CIDR string `json:"cidr"`
			Type string `json:"type"`
			SBL  string `json:"sblid"`
		}
		if err := json.Unmarshal(b, &v); err != nil || long {
			p.bad(p.Lines, b, "this is no JSON")
			continue
		}
		if v.Type == "metadata" {
			continue
		}
		e, why := span([]byte(v.CIDR))
		if why != "" {
			p.bad(p.Lines, b, why)
			continue
		}
		e.Line, e.Score, e.Note = p.Lines, NoScore, bounded(v.SBL, maxID)
		p.entry(e)
	}
}

// bounded is the beginning of a text.
func bounded(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
