package control

import (
	"slices"
	"testing"
)

func TestShare(t *testing.T) {
	mail := func(jail string) Problem {
		return Problem{Severity: "warning", Jail: jail, File: "jail.local", Line: 3, Key: "action", Value: "mail", Message: "not run"}
	}
	other := mail("b")
	other.Line = 4
	got := Share([]Problem{mail("a"), mail(""), other, mail("b"), mail("a"), mail("")})
	want := [][]string{{"a", "b"}, nil, {"b"}, nil}
	if len(got) != len(want) {
		t.Fatalf("%d groups: %+v", len(got), got)
	}
	for i, g := range got {
		if !slices.Equal(g.Jails, want[i]) {
			t.Errorf("group %d: jails %q, want %q", i, g.Jails, want[i])
		}
	}
}
