package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// man writes the manual pages: one of agentctl, and one of each of fail2ban's programs that it answers for.
func man(_ context.Context, c *call) error {
	dir := c.args[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	for name, text := range manPages() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write a page: %w", err)
		}
	}
	return nil
}

// manPages are the pages by the names of their files.
func manPages() map[string]string {
	pages := map[string]string{"agentctl.1": manAgentctl()}
	for name, brief := range map[string]string{
		"fail2ban-client": "steers agentd, or fail2ban's own server, by fail2ban's commands",
		"fail2ban-server": "answers as fail2ban-server does; agentd is the daemon",
		"fail2ban-regex":  "tries a filter on a log",
	} {
		var b strings.Builder
		manHead(&b, "palisade-"+name, "1", brief)
		b.WriteString(".SH SYNOPSIS\n.B /usr/lib/palisade/bin/" + roff(name) + "\n[options] ...\n.SH DESCRIPTION\n")
		b.WriteString("A link to\n.BR agentctl (1),\nwhich answers by this name with the options, the output and the exit status of fail2ban's program.\n" +
			"Put /usr/lib/palisade/bin before /usr/bin in PATH to use it.\n")
		if name == "fail2ban-client" {
			b.WriteString(".nf\n" + roff(clientUsage) + ".fi\n")
		}
		b.WriteString(".SH SEE ALSO\n.BR agentctl (1),\n.BR agentd (8)\n")
		pages["palisade-"+name+".1"] = b.String()
	}
	return pages
}

func manHead(b *strings.Builder, name, section, brief string) {
	fmt.Fprintf(b, ".TH %s %s \"\" Palisade\n.SH NAME\n%s \\- %s\n", strings.ToUpper(roff(name)), section, roff(name), roff(brief))
}

func manAgentctl() string {
	var b strings.Builder
	manHead(&b, "agentctl", "1", "shows and steers agentd, and looks at fail2ban configurations without it")
	b.WriteString(".SH SYNOPSIS\n.B agentctl\n[\\-s SOCKET] [\\-c DIR] [\\-\\-json] COMMAND ...\n.SH OPTIONS\nThese may stand before or after the command.\n")
	for _, row := range globalOptions().rows {
		manItem(&b, strings.TrimSpace(row[0]), row[1])
	}
	b.WriteString(".SH COMMANDS\nAny other word is a command of fail2ban's, as in\n.BR \"agentctl set sshd banip 192.0.2.1\" .\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, ".SS %s\n%s.\n", roff("agentctl "+c.usage), roff(strings.ToUpper(c.brief[:1])+c.brief[1:]))
		if c.more != "" {
			b.WriteString(".PP\n" + roff(strings.ReplaceAll(c.more, "\n", " ")) + "\n")
		}
		for _, name := range c.options {
			o, _ := findOption(name)
			manItem(&b, "--"+strings.TrimSpace(o.name+" "+o.argument), o.brief)
		}
		b.WriteString(".PP\nExample:\n.nf\n.RS\n")
		for _, e := range c.examples {
			b.WriteString(roff(e) + "\n")
		}
		b.WriteString(".RE\n.fi\n")
	}
	b.WriteString(".SH EXIT STATUS\n0 done, 1 failed or found wrong, 2 wrong usage.\n.SH SEE ALSO\n.BR agentd (8)\n")
	return b.String()
}

func manItem(b *strings.Builder, what, text string) {
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(what), roff(text))
}

// roff writes a text so that troff takes none of it for its own.
func roff(s string) string {
	s = strings.NewReplacer(
		`\`, `\e`, "-", `\-`, "…", "...", "’", `\(aq`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`,
	).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
