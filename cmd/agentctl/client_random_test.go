package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// letters are what random texts are made of: all that Python's repr and its pretty printer treat apart.
// Each percent sign is doubled, as a configuration wants it.
func letters() []string {
	return append(strings.Split("abc  '\"\\=,<>^$.()\t-[]", ""),
		"%%", "ü", "€", "😀", "\u00ad", "\u200b", "\u2028x", "\u00a0", "\a", "\x1b", "\x7f", "<HOST>", "%%d", `\n`, `'"`, "   ", " , ")
}

// randomText is of at most so many letters, without white space at its ends.
func randomText(r *rand.Rand, most int) string {
	var b strings.Builder
	all := letters()
	for range 1 + r.IntN(most) {
		b.WriteString(all[r.IntN(len(all))])
	}
	if text := strings.TrimSpace(b.String()); text != "" {
		return text
	}
	return "x"
}

// randomTexts are some, a line each.
func randomTexts(r *rand.Rand, most ...int) string {
	var all []string
	for range 1 + r.IntN(4) {
		all = append(all, randomText(r, most[r.IntN(len(most))]))
	}
	return strings.Join(all, "\n     ")
}

// TestRandomDumpsAreFail2bans: short texts and such as the pretty printer breaks into pieces.
func TestRandomDumpsAreFail2bans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		dir := t.TempDir()
		var jails strings.Builder
		jails.WriteString("[DEFAULT]\nenabled = true\nbackend = polling\n")
		for i := range 4 {
			fmt.Fprintf(&jails, "[j%d]\nfailregex = %s\nignorecommand = %s\nignoreip = %s\nmaxretry = %d\naction = a[name=\"%s\", x='it']\n", i,
				randomTexts(r, 5, 60, 1500), randomText(r, 1300), randomText(r, 20), 1+r.IntN(9), strings.ReplaceAll(randomText(r, 9), `"`, ""))
		}
		for name, text := range map[string]string{
			"jail.conf":       jails.String(),
			"fail2ban.conf":   "[Definition]\nsyslogsocket = " + randomText(r, 6) + "\nlogtarget = x\nallowipv6 = auto\ndbfile = None\n",
			"action.d/a.conf": "[Definition]\nactionban = " + randomTexts(r, 5, 60, 700) + "\nactionstart = " + randomText(r, 30) + "\n[Init]\nblocktype = " + randomText(r, 8) + "\n",
		} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, option := range []string{"-d", "--dp"} {
			wantCode, want, talk := realClient(t, "-c", dir, option)
			code, got, _ := asClient(t, "-c", dir, option)
			if wantCode != 0 || code != 0 || !strings.Contains(want, "'addaction'") {
				t.Fatalf("%s: exit %d, fail2ban's %d: %s\n%s", option, code, wantCode, talk, jails.String())
			}
			compareLines(t, got, want)
		}
	}
}
