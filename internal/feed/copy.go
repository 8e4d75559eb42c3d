package feed

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// copies are the last good copies of lists, in a folder: NAME.list holds the entries before anything is refused,
// so that other guards need no other copy; NAME.json says where they came from and when. The list is written
// first and named by its sum in the other file: after a crash in between, the list is used and asked for anew.
type copies struct{ dir string }

const (
	copyMagic = "palisade list 1"
	copyLine  = 1024 // bytes of a line, at most
)

// origin is what is known of a copy.
type origin struct {
	Source  string    `json:"source"`  // what it is a copy of, see Source.identity
	Fetched time.Time `json:"fetched"` // the last good answer, also that nothing has changed
	Changed time.Time `json:"changed"`
	Sum     uint32    `json:"sum"`
	Entries int       `json:"entries"`
	Parts   []partTag `json:"parts"`
	Resync  time.Time `json:"resync,omitzero"` // of lists that come as changes: when all of it was asked for
}

// partTag is by what a publisher knows which version of a document we have.
type partTag struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	Cursor   string `json:"cursor,omitempty"` // of lists that come as changes
	Lines    int    `json:"lines"`
	Bad      []Bad  `json:"bad,omitempty"`
	BadCount int    `json:"bad_count,omitempty"`
}

func (c copies) path(name, ext string) string { return filepath.Join(c.dir, name+ext) }

// origin reads what is known of a copy; false if there is none.
func (c copies) origin(name string) (o origin, ok bool) {
	b, err := os.ReadFile(c.path(name, ".json"))
	if err != nil || json.Unmarshal(b, &o) != nil {
		return origin{}, false
	}
	return o, true
}

// kept is an entry of a copy.
type kept struct {
	Entry
	part  int
	since time.Time // of an entry that is blocked for a short time: when it appeared; else zero
}

// read gives the entries of a copy. The error says why there are no, or not all, entries; what was read up to
// it may be wrong.
func (c copies) read(name string, each func(kept)) (sum uint32, err error) {
	f, err := os.Open(c.path(name, ".list"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	crc := crc32.NewIEEE()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), copyLine)
	if !lines.Scan() || lines.Text() != copyMagic {
		return 0, fmt.Errorf("%s: this is no copy of a list", f.Name())
	}
	n := 0
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "end "); ok {
			want := fmt.Sprintf("%d %08x", n, crc.Sum32())
			if rest != want {
				return 0, fmt.Errorf("%s: the copy is damaged", f.Name())
			}
			return crc.Sum32(), nil
		}
		_, _ = crc.Write(lines.Bytes())
		k, err := parseKept(line)
		if err != nil {
			return 0, fmt.Errorf("%s: entry %d: %w", f.Name(), n+1, err)
		}
		n++
		each(k)
	}
	return 0, errors.Join(fmt.Errorf("%s: the copy is cut off", f.Name()), lines.Err())
}

func parseKept(line string) (k kept, err error) {
	var fields [6]string
	for i := range fields {
		fields[i], line, _ = strings.Cut(line, " ")
	}
	first, last, isRange := strings.Cut(fields[1], "-")
	if !isRange {
		last = first
	}
	var errs [6]error
	k.part, errs[0] = strconv.Atoi(fields[0])
	k.First, errs[1] = netip.ParseAddr(first)
	k.Last, errs[2] = netip.ParseAddr(last)
	k.Score, errs[3] = strconv.Atoi(fields[2])
	k.Until, errs[4] = parseUnix(fields[3])
	k.since, errs[5] = parseUnix(fields[4])
	if fields[5] != "" {
		if k.ID, err = strconv.Unquote(fields[5] + suffix(line)); err != nil {
			return k, err
		}
	}
	return k, errors.Join(errs[:]...)
}

func suffix(rest string) string {
	if rest == "" {
		return ""
	}
	return " " + rest
}

func parseUnix(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}, err
	}
	return time.Unix(n, 0).UTC(), nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// copyWriter writes a new copy beside the old one.
type copyWriter struct {
	copies
	name string
	file *os.File
	out  *bufio.Writer
	crc  uint32
	n    int
	buf  []byte
	err  error
}

func (c copies) write(name string) (*copyWriter, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(c.dir, "."+name+"-*")
	if err != nil {
		return nil, err
	}
	w := &copyWriter{copies: c, name: name, file: f, out: bufio.NewWriterSize(f, 256<<10)}
	_, w.err = w.out.WriteString(copyMagic + "\n")
	return w, nil
}

func (w *copyWriter) add(k kept) {
	if w.err != nil {
		return
	}
	b := strconv.AppendInt(w.buf[:0], int64(k.part), 10)
	b = append(b, ' ')
	b = k.First.AppendTo(b)
	if k.Last != k.First {
		b = append(b, '-')
		b = k.Last.AppendTo(b)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(k.Score), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, unix(k.Until), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, unix(k.since), 10)
	b = append(b, ' ')
	if k.ID != "" {
		b = strconv.AppendQuoteToASCII(b, k.ID)
	}
	w.crc = crc32.Update(w.crc, crc32.IEEETable, b)
	w.n++
	b = append(b, '\n')
	w.buf = b
	_, w.err = w.out.Write(w.buf)
}

// drop gives a copy up that is not to be.
func (w *copyWriter) drop() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// commit puts the copy in the place of the old one.
func (w *copyWriter) commit(o origin) (origin, error) {
	o.Sum, o.Entries = w.crc, w.n
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.out, "end %d %08x\n", w.n, w.crc)
	}
	err := errors.Join(w.err, w.out.Flush(), w.file.Sync(), w.file.Close())
	if err == nil {
		err = os.Rename(w.file.Name(), w.path(w.name, ".list"))
	}
	if err == nil {
		err = w.note(w.name, o)
	}
	if err != nil {
		_ = os.Remove(w.file.Name())
		return o, fmt.Errorf("keep a copy of the list: %w", err)
	}
	return o, nil
}

// note writes what is known of a copy.
func (c copies) note(name string, o origin) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, "."+name+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.path(name, ".json"))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	d, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// remove removes a copy.
func (c copies) remove(name string) {
	for _, ext := range []string{".json", ".list"} {
		_ = os.Remove(c.path(name, ext)) // what stays is removed at the next start
	}
}

// sweep removes the copies of lists that are not among these, and what crashes have left.
func (c copies) sweep(names map[string]bool) error {
	files, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(f.Name(), ".list"), ".json")
		if name != f.Name() && names[name] || !f.Type().IsRegular() {
			continue
		}
		if name != f.Name() || strings.HasPrefix(f.Name(), ".") {
			err = errors.Join(err, os.Remove(filepath.Join(c.dir, f.Name())))
		}
	}
	return err
}
