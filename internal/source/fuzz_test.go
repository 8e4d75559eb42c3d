package source

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// cutWhole is what the lines of a file are by definition: cut all at once.
func cutWhole(content []byte, maxLine int) (lines []Line) {
	end := 0
	for raw := range bytes.Lines(content) {
		end += len(raw)
		text, whole := bytes.CutSuffix(raw, []byte("\n"))
		if !whole {
			break
		}
		text = bytes.TrimLeft(text, "\x00")
		cut := len(text) > maxLine
		text = bytes.TrimRight(text[:min(len(text), maxLine)], "\r")
		lines = append(lines, Line{Text: text, End: int64(end), Truncated: cut})
	}
	return lines
}

func sameLine(a, b Line) bool {
	return a.End == b.End && a.Truncated == b.Truncated && bytes.Equal(a.Text, b.Text)
}

// FuzzTailLines writes a file in chunks of any size, reads after each, starts again from the position
// now and then, and expects the lines of the whole file. The bytes of chunks are sizes; one that is
// divisible by 5 starts again.
func FuzzTailLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\nthree"), []byte{1, 5, 2})
	f.Add([]byte("\x00\x00one\n\x00\ntw\x00o\n\n\n"), []byte{3, 1, 1, 10, 1})
	f.Add(append(bytes.Repeat([]byte("x"), 100), "\nafter\n"...), []byte{7, 40, 30, 5})
	f.Add(append(make([]byte, 100), "after a hole\n"...), []byte{50, 49, 5, 3})
	f.Add([]byte("\r\n\r\r\n\n\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\n"), []byte{9})
	path := filepath.Join(f.TempDir(), "log")
	f.Fuzz(func(t *testing.T, content, chunks []byte) {
		const maxLine = 16
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		h, err := openHandle(path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()

		b := &block{size: 2 * maxLine, line: maxLine}
		var got []Line
		left := content
		for i := 0; len(left) > 0; i++ {
			n := len(left)
			if i < len(chunks) {
				n = min(n, int(chunks[i]))
			}
			if _, err := w.Write(left[:n]); err != nil {
				t.Fatal(err)
			}
			left = left[n:]
			for limit := h.size(); ; {
				p, err := h.next(b, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range p.lines {
					l.Text = bytes.Clone(l.Text)
					got = append(got, l)
				}
				before := *h
				h.accept(p)
				if !p.more {
					break
				}
				if h.offset == before.offset && h.read == before.read {
					t.Fatalf("no progress at %d of %d", h.read, limit)
				}
			}
			if i < len(chunks) && chunks[i]%5 == 0 && !h.standAt(h.place()) {
				t.Fatalf("cannot go on at %+v of %q", h.place(), content)
			}
		}
		want := cutWhole(content, maxLine)
		if !slices.EqualFunc(got, want, sameLine) {
			t.Errorf("read   %+v\nwant %+v", got, want)
		}
	})
}

// FuzzSearch compares the search for a time with reading all lines.
func FuzzSearch(f *testing.F) {
	f.Add(uint16(3000), uint16(1500), uint8(100), uint8(3))
	f.Add(uint16(0), uint16(0), uint8(0), uint8(0))
	f.Add(uint16(1), uint16(9), uint8(7), uint8(1))
	f.Add(uint16(40), uint16(20), uint8(255), uint8(0))
	path := filepath.Join(f.TempDir(), "log")
	f.Fuzz(func(t *testing.T, lines, since uint16, length, undated uint8) {
		var content []byte
		want := int64(0)
		for i := range int(lines % 4000) {
			line := append(time.Unix(int64(i/2), 0).UTC().AppendFormat(nil, time.RFC3339), ' ')
			line = append(line, bytes.Repeat([]byte("x"), int(length)*(i%7))...)
			content = append(append(content, line...), '\n')
			for range int(undated) % 4 {
				content = append(content, " continued\n"...)
			}
			if i/2 < int(since) {
				want = int64(len(content))
			}
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := openHandle(path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		asked := 0
		got, err := search(h, time.Unix(int64(since), 0), func(line []byte) (time.Time, bool) {
			asked++
			when, err := time.Parse(time.RFC3339, string(line[:min(len(line), 20)]))
			return when, err == nil
		}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		// Lines that continue one of the last older line may or may not be left out.
		for bytes.HasPrefix(content[got:], []byte(" continued\n")) {
			got += int64(len(" continued\n"))
		}
		if got != want {
			t.Errorf("search ends at %d, want %d of %d", got, want, len(content))
		}
	})
}
