package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// routes maps requests to the service. Streams end with ctx, and there are never more than have room in
// streams.
func (s *Server) routes(ctx context.Context, streams chan struct{}) *http.ServeMux {
	v := s.service
	mux := http.NewServeMux()
	// long answers go on until the peer or ctx ends them.
	long := func(w http.ResponseWriter, r *http.Request, answer func(context.Context)) {
		select {
		case streams <- struct{}{}:
			defer func() { <-streams }()
		default:
			fail(w, fmt.Errorf("too many are listening to events already (%d): end one of them", maxStreams))
			return
		}
		both, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		answer(both)
	}
	mux.HandleFunc("GET /v1/ping", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"ping": "pong"}) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { reply(w)(v.Status(r.Context())) })
	mux.HandleFunc("GET /v1/jails/{name}", func(w http.ResponseWriter, r *http.Request) {
		reply(w)(v.Jail(r.Context(), r.PathValue("name")))
	})
	mux.HandleFunc("GET /v1/banned", func(w http.ResponseWriter, r *http.Request) {
		limit, err := number(r, "limit")
		if err != nil {
			fail(w, err)
			return
		}
		reply(w)(v.Banned(r.Context(), r.URL.Query().Get("id"), limit))
	})
	mux.HandleFunc("GET /v1/firewall", func(w http.ResponseWriter, r *http.Request) {
		limit, err := number(r, "limit")
		if err != nil {
			fail(w, err)
			return
		}
		reply(w)(v.Firewall(r.Context(), limit))
	})
	mux.HandleFunc("GET /v1/blocked", func(w http.ResponseWriter, r *http.Request) {
		limit, err := number(r, "limit")
		if err != nil {
			fail(w, err)
			return
		}
		q := r.URL.Query()
		reply(w)(v.Blocked(r.Context(), BlockedQuery{
			Owner: q.Get("owner"), Within: q.Get("within"), Holds: q.Get("holds"), After: q.Get("after"), Limit: limit, Hits: q.Get("hits") == "1",
		}))
	})
	mux.HandleFunc("POST /v1/firewall/verify", func(w http.ResponseWriter, r *http.Request) {
		long(w, r, func(ctx context.Context) { verify(ctx, w, v) })
	})
	mux.HandleFunc("POST /v1/ban", func(w http.ResponseWriter, r *http.Request) { withBody(w, r, v.Ban) })
	mux.HandleFunc("POST /v1/unban", func(w http.ResponseWriter, r *http.Request) { withBody(w, r, v.Unban) })
	mux.HandleFunc("GET /v1/why", func(w http.ResponseWriter, r *http.Request) { reply(w)(v.Why(r.Context(), r.URL.Query().Get("id"))) })
	mux.HandleFunc("POST /v1/import", func(w http.ResponseWriter, r *http.Request) { withBody(w, r, v.Import) })
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) { reply(w)(v.Reload(r.Context())) })
	mux.HandleFunc("POST /v1/stop", func(w http.ResponseWriter, r *http.Request) {
		reply(w)(struct{}{}, v.Stop(r.Context(), r.URL.Query().Get("keep") == "1"))
	})
	mux.HandleFunc("POST /v1/fail2ban", func(w http.ResponseWriter, r *http.Request) {
		withBody(w, r, func(ctx context.Context, q Fail2banRequest) (a Fail2banAnswer, err error) {
			if s.fail2ban == nil {
				return a, errors.New("fail2ban's commands are not answered here")
			}
			a.Answer = s.fail2ban(ctx, q.Request)
			return a, nil
		})
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		long(w, r, func(ctx context.Context) { stream(ctx, w, v) })
	})
	for _, route := range s.routed {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { reply(w)(route.Answer(r)) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		failWith(w, http.StatusNotFound, wireError{Error: fmt.Sprintf("no such request: %.20q %.100q", r.Method, r.URL.Path)})
	})
	return mux
}

// wireError is the body of every answer that is not 200.
type wireError struct {
	Error string `json:"error"`
	Kind  string `json:"kind,omitempty"` // one that clients tell apart
}

// The kinds of errors.
const (
	kindNoJail  = "no_jail"
	kindInvalid = "invalid"
)

func number(r *http.Request, name string) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s=%.50q is no number", ErrInvalid, name, text)
	}
	return n, nil
}

func withBody[Request, Result any](w http.ResponseWriter, r *http.Request, f func(context.Context, Request) (Result, error)) {
	req, err := Body[Request](r)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w)(f(r.Context(), req))
}

// Body reads the body of a request. The error wraps ErrInvalid: it is not one JSON value of the type, or has
// fields that the type does not know.
func Body[T any](r *http.Request) (v T, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("%w: something follows its body", ErrInvalid)
	}
	return v, nil
}

func reply(w http.ResponseWriter) func(v any, err error) {
	return func(v any, err error) {
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, v)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, v)
}

func fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrNoJail):
		failWith(w, http.StatusNotFound, wireError{err.Error(), kindNoJail})
	case errors.Is(err, ErrInvalid):
		failWith(w, http.StatusBadRequest, wireError{err.Error(), kindInvalid})
	default:
		failWith(w, http.StatusInternalServerError, wireError{Error: err.Error()})
	}
}

func failWith(w http.ResponseWriter, status int, e wireError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, e)
}

// writeJSON writes v; a peer that has gone has nobody to tell.
func writeJSON(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v)
}

// verifyLine is a line of the answer to a verification: how far it is, or the end.
type verifyLine struct {
	Done   int           `json:"done,omitempty"`
	Total  int           `json:"total,omitempty"`
	Result *Verification `json:"result,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// verify answers with lines of JSON until the result is there.
func verify(ctx context.Context, w http.ResponseWriter, s Service) {
	_ = lines(w, func(say func(any) error) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		last := 0
		result, err := s.Verify(ctx, func(done, total int) {
			// A hundred lines are enough of progress.
			if done != total && done-last <= total/100 {
				return
			}
			last = done
			if say(verifyLine{Done: done, Total: total}) != nil {
				cancel() // the peer has gone
			}
		})
		if err != nil {
			return say(verifyLine{Error: err.Error()})
		}
		return say(verifyLine{Result: &result})
	})
}

// stream sends events as lines of JSON as they happen, until the peer goes or ctx ends.
func stream(ctx context.Context, w http.ResponseWriter, s Service) {
	_ = lines(w, func(say func(any) error) error {
		return s.Events(ctx, func(e Event) error { return say(e) })
	})
}

// lines answers with lines of JSON as they come.
func lines(w http.ResponseWriter, f func(say func(any) error) error) error {
	if a, ok := w.(*answerWriter); ok {
		a.stream = true
	}
	c := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	w.WriteHeader(http.StatusOK)
	if err := c.Flush(); err != nil {
		return err
	}
	encode := json.NewEncoder(w)
	return f(func(v any) error { return errors.Join(encode.Encode(v), c.Flush()) })
}
