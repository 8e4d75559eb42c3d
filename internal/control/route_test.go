package control_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/control"
)

func TestPartsAnswerOnRoutesOfTheirOwn(t *testing.T) {
	type thing struct {
		Name string `json:"name"`
	}
	path := filepath.Join(t.TempDir(), "run", "agentd.sock")
	server, err := control.Listen(t.Context(), path, control.ServerOptions{Service: &daemon{}, Routes: []control.Route{
		{Pattern: "GET /v1/things", Answer: func(r *http.Request) (any, error) { return thing{r.URL.Query().Get("name")}, nil }},
		{Pattern: "POST /v1/things", Answer: func(r *http.Request) (any, error) { return control.Body[thing](r) }},
		{Pattern: "GET /v1/wrong", Answer: func(*http.Request) (any, error) { return nil, fmt.Errorf("%w: such a thing", control.ErrInvalid) }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := control.NewClient(path)
	defer c.Close()
	var got thing
	if err := c.Get(t.Context(), "/v1/things", url.Values{"name": {"a"}}, &got); err != nil || got.Name != "a" {
		t.Errorf("asked for a: %+v, %v", got, err)
	}
	if err := c.Post(t.Context(), "/v1/things", thing{"b"}, &got); err != nil || got.Name != "b" {
		t.Errorf("sent b: %+v, %v", got, err)
	}
	if err := c.Post(t.Context(), "/v1/things", map[string]int{"no such": 1}, &got); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("a body with an unknown field: %v", err)
	}
	if err := c.Get(t.Context(), "/v1/wrong", nil, &got); !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), "such a thing") {
		t.Errorf("an asker's fault arrives as %v", err)
	}
}
