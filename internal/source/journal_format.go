package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The fields of an entry that matter; see systemd.journal-fields(7).
const (
	fieldMessage         = "MESSAGE"
	fieldHost            = "_HOSTNAME"
	fieldIdentifier      = "SYSLOG_IDENTIFIER"
	fieldComm            = "_COMM"
	fieldSyslogPID       = "SYSLOG_PID"
	fieldPID             = "_PID"
	fieldSource          = "_SOURCE_REALTIME_TIMESTAMP"
	fieldSourceMonotonic = "_SOURCE_MONOTONIC_TIMESTAMP"
	fieldCursor          = "__CURSOR"
	fieldRealtime        = "__REALTIME_TIMESTAMP"
	fieldMonotonic       = "__MONOTONIC_TIMESTAMP"
)

const (
	// journalBuffer is what is read of journalctl at once.
	journalBuffer = 64 << 10
	// maxCursor is the longest cursor that is kept: they have some 120 bytes.
	maxCursor = 1 << 10
)

// journalReader reads journalctl's export format: an entry is lines of FIELD=value, ended by an empty
// line. A value that is no plain text stands as the field's name alone on a line, then eight bytes of
// length, the value, and a newline.
type journalReader struct {
	in      *bufio.Reader
	maxLine int
	fields  map[string][]byte // of the entry being read; several values are joined by blanks
	cut     bool              // the message is not whole
}

func newJournalReader(r io.Reader, maxLine int) *journalReader {
	return &journalReader{in: bufio.NewReaderSize(r, journalBuffer), maxLine: maxLine, fields: map[string][]byte{}}
}

// more reports whether another entry has come already, at least in part.
func (r *journalReader) more() bool { return r.in.Buffered() > 0 }

// next reads an entry. io.EOF is the end between two entries.
func (r *journalReader) next() (e Entry, cursor string, err error) {
	clear(r.fields)
	r.cut = false
	for some := false; ; {
		name, rest, err := r.nameLine()
		switch {
		case err != nil && (some || !errors.Is(err, io.EOF)):
			return Entry{}, "", fmt.Errorf("read the journal: %w", noEnd(err))
		case err != nil:
			return Entry{}, "", io.EOF
		case name == "" && !some:
			continue // an empty line more
		case name == "":
			e, err = r.entry()
			return e, string(r.fields[fieldCursor]), err
		}
		some = true
		if err := r.value(name, rest); err != nil {
			return Entry{}, "", fmt.Errorf("read the journal: %w", noEnd(err))
		}
	}
}

// noEnd makes an end within an entry an error.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// How a field's value stands in the format.
type valueForm uint8

const (
	inText   valueForm = iota // behind the name's "=", up to the line's end
	inBinary                  // counted, on its own
)

// maxName is the longest name of a field; journald allows 64 bytes.
const maxName = 128

// nameLine reads a field's name, up to "=" or the line's end. An empty name is an empty line.
func (r *journalReader) nameLine() (name string, form valueForm, err error) {
	var b []byte
	for len(b) <= maxName {
		c, err := r.in.ReadByte()
		switch {
		case err != nil && len(b) > 0:
			return "", 0, io.ErrUnexpectedEOF
		case err != nil:
			return "", 0, err
		case c == '=':
			return string(b), inText, nil
		case c == '\n':
			return string(b), inBinary, nil
		}
		b = append(b, c)
	}
	return "", 0, fmt.Errorf("a field with a name of more than %d bytes", maxName)
}

// value reads the value of a field, and keeps what matters of it.
func (r *journalReader) value(name string, form valueForm) error {
	keep := r.room(name)
	if form == inText {
		v, whole, err := r.line(keep)
		r.take(name, v, whole)
		return err
	}
	var size [8]byte
	if _, err := io.ReadFull(r.in, size[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > 1<<40 {
		return fmt.Errorf("the field %s has %d bytes", name, n)
	}
	v := make([]byte, min(n, uint64(keep)))
	if _, err := io.ReadFull(r.in, v); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r.in, int64(n-uint64(len(v)))); err != nil {
		return err
	}
	r.take(name, v, uint64(len(v)) == n)
	if c, err := r.in.ReadByte(); err != nil || c != '\n' {
		return errors.Join(err, fmt.Errorf("the field %s does not end where it should", name))
	}
	return nil
}

// line reads up to the line's end and gives what of it there is room for.
func (r *journalReader) line(room int) (v []byte, whole bool, err error) {
	whole = true
	for {
		part, err := r.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, false, err
		}
		text := bytes.TrimSuffix(part, []byte("\n"))
		if left := room - len(v); len(text) > left {
			text, whole = text[:left], false
		}
		v = append(v, text...)
		if err == nil {
			return v, whole, nil
		}
	}
}

// room is how much is kept of a field.
func (r *journalReader) room(name string) int {
	most := 0
	switch name {
	case fieldMessage:
		most = r.maxLine
	case fieldCursor:
		most = maxCursor
	case fieldHost, fieldIdentifier, fieldComm, fieldSyslogPID, fieldPID, fieldSource, fieldSourceMonotonic, fieldRealtime, fieldMonotonic:
		most = 256
	}
	return max(most-len(r.fields[name])-1, 0) // and a blank between two values
}

func (r *journalReader) take(name string, v []byte, whole bool) {
	if name == fieldMessage && !whole {
		r.cut = true
	}
	old, there := r.fields[name]
	switch {
	case there:
		r.fields[name] = append(append(old, ' '), v...)
	case len(v) > 0 || name == fieldMessage:
		r.fields[name] = v
	}
}

// entry makes a line of the fields, as syslog would have written it without its date: fail2ban's filters
// are written for that.
func (r *journalReader) entry() (Entry, error) {
	e := Entry{Truncated: r.cut}
	stamp := r.fields[fieldSource]
	if len(stamp) == 0 {
		stamp = r.fields[fieldRealtime]
	}
	micros, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil || len(r.fields[fieldCursor]) == 0 {
		return e, errors.New("read the journal: an entry without its time or cursor")
	}
	e.Time = time.UnixMicro(micros)
	var words []string
	word := func(v []byte, after string) {
		if len(v) > 0 {
			words = append(words, string(v)+after)
		}
	}
	word(r.fields[fieldHost], "")
	identifier := first(r.fields[fieldIdentifier], r.fields[fieldComm])
	pid := first(r.fields[fieldSyslogPID], r.fields[fieldPID])
	switch {
	case len(pid) > 0:
		word(identifier, "["+string(pid)+"]:")
	case string(identifier) == "kernel":
		word(identifier, ":")
		since := first(r.fields[fieldSourceMonotonic], r.fields[fieldMonotonic])
		if micros, err := strconv.ParseUint(string(since), 10, 64); err == nil {
			words = append(words, fmt.Sprintf("[%5d.%06d]", micros/1e6, micros%1e6))
		}
	default:
		word(identifier, ":")
	}
	words = append(words, string(r.fields[fieldMessage]))
	text := strings.ReplaceAll(strings.Join(words, " "), "\n", `\n`)
	e.Text = strings.ToValidUTF8(text, "\uFFFD")
	return e, nil
}

func first(values ...[]byte) []byte {
	for _, v := range values {
		if len(v) > 0 {
			return v
		}
	}
	return nil
}
