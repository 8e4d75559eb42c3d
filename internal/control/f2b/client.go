package f2b

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
)

// maxAnswer bounds an answer: a list of a million bans fits.
const maxAnswer = 64 << 20

// Ask sends one command to the server on a socket and gives its answer. The server may be ours or fail2ban's
// own. An *ExceptionError is the server's; others say that there was no answer, and wrap what the system
// said. ctx bounds the whole.
func Ask(ctx context.Context, path string, command []any) (any, error) {
	request, err := Request(command)
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("reach the server: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(append(request, endOfCommand...)); err != nil {
		return nil, fmt.Errorf("send the command: %w", err)
	}
	answer, err := readAnswer(c)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for the answer: %w", ctx.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return Result(answer)
}

// Request is a command as it is sent, but for its end.
func Request(command []any) ([]byte, error) {
	b, err := pickle.Marshal(pickle.List(command))
	if err != nil {
		return nil, fmt.Errorf("write the command: %w", err)
	}
	return b, nil
}

func readAnswer(r io.Reader) ([]byte, error) {
	var b []byte
	part := make([]byte, 64<<10)
	for {
		n, err := r.Read(part)
		b = append(b, part[:n]...)
		if text, whole := bytes.CutSuffix(b, []byte(endOfCommand)); whole {
			return text, nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case len(b) > maxAnswer:
			return nil, fmt.Errorf("it has more than %d bytes", maxAnswer)
		}
	}
}

// Result takes an answer apart: a pair of 0 and a value, or of 1 and an exception, which is the error then.
func Result(answer []byte) (any, error) {
	v, err := pickle.UnmarshalLimits(answer, pickle.Limits{Bytes: maxAnswer, Values: maxAnswer / 4})
	if err != nil {
		return nil, fmt.Errorf("understand the answer: %w", err)
	}
	if text, ok := v.(string); ok {
		return nil, fmt.Errorf("the server did not understand: %.200s", text)
	}
	pair, ok := itemsOf(v)
	if !ok || len(pair) != 2 {
		return nil, fmt.Errorf("understand the answer: it is %.100s", Repr(v))
	}
	if pair[0] == int64(0) {
		return pair[1], nil
	}
	if e, ok := pair[1].(pickle.Exception); ok {
		return nil, (*ExceptionError)(&e)
	}
	return nil, &ExceptionError{Module: "builtins", Class: "Exception", Args: []any{pair[1]}}
}
