package setup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/control"
)

// fail2ban runs such a jail, for bans by hand; here it is more likely a mistake.
func TestAJailThatSeesNothingIsAnError(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	for path, text := range map[string]string{
		log: "",
		filepath.Join(dir, "jail.local"): "[DEFAULT]\nenabled = true\naction = nftables[port=ssh]\n[nofilter]\nlogpath = " + log +
			"\n[nolog]\nfailregex = ^ failure from <HOST>$\n[ok]\nlogpath = " + log + "\nfailregex = ^ failure from <HOST>$\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := New(dir, false).Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Jails) != 1 || o.Jails[0].Name() != "ok" {
		t.Errorf("%d jails can run: %+v", len(o.Jails), o.Problems)
	}
	for jail, want := range map[string]string{"nofilter": "there is nothing to look for", "nolog": "the jail has no log to read"} {
		if !slices.ContainsFunc(o.Problems, func(p control.Problem) bool { return p.Jail == jail && strings.Contains(p.Message, want) }) {
			t.Errorf("[%s]: nobody says %q: %+v", jail, want, o.Problems)
		}
	}
}
