package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheManualPageHasEveryOption that --help has, and no other.
func TestTheManualPageHasEveryOption(t *testing.T) {
	page, err := os.ReadFile("../../packaging/agentd.8")
	if err != nil {
		t.Fatal(err)
	}
	options := func(text string) []string {
		found := regexp.MustCompile(`--[a-z][a-z0-9-]+`).FindAllString(text, -1)
		// The page names its help in its text alone.
		found = slices.DeleteFunc(found, func(o string) bool { return o == "--help" })
		slices.Sort(found)
		return slices.Compact(found)
	}
	got, want := options(strings.ReplaceAll(string(page), `\-`, "-")), options(usage)
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("the page has %q, --help %q", got, want)
	}
}
