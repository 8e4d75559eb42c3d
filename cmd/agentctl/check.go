package main

import (
	"context"
	"fmt"
	"io"

	"github.com/palisade-agent/palisade/internal/setup"
)

// check tells what is wrong with a configuration, or what is known of an address.
func check(ctx context.Context, c *call) error {
	if len(c.args) == 1 {
		return lookAt(ctx, c, c.args[0])
	}
	r, err := setup.New(c.config, c.named).Check()
	if err != nil {
		return err
	}
	err = c.print(r, func(w io.Writer) {
		for _, line := range r.Lines() {
			fmt.Fprintln(w, safe(line))
		}
	})
	if err == nil && !r.OK {
		err = errFound
	}
	return err
}
