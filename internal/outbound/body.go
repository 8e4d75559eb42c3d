package outbound

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// watched is a body that ends if nothing comes for a time.
type watched struct {
	io.ReadCloser
	watch *time.Timer
	idle  time.Duration
	ctx   context.Context //nolint:containedctx // it is that of the one request, and tells why it ended
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.watch.Reset(w.idle)
	}
	// Also at the end: a server that sees us go may end its answer as if it were whole, and be read.
	if err != nil {
		if cause := context.Cause(w.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// unpacked unpacks from its first read on, so that an error is that of reading.
type unpacked struct {
	from io.Reader
	once sync.Once
	zip  *gzip.Reader
	err  error
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	u.once.Do(func() { u.zip, u.err = gzip.NewReader(u.from) })
	if u.err != nil {
		if errors.Is(u.err, io.EOF) {
			return 0, io.ErrUnexpectedEOF // not even the beginning
		}
		return 0, u.err
	}
	return u.zip.Read(p)
}

// bounded gives ErrTooLarge where there is more than it may be.
type bounded struct {
	io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := io.ReadFull(b.Reader, one[:]); n == 0 {
			return 0, err
		}
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.Reader.Read(p)
	b.left -= int64(n)
	return n, err
}
