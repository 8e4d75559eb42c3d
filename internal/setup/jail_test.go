package setup

import (
	"strings"
	"testing"
)

func TestIgnoreIPsThatSpareNobodyAreTold(t *testing.T) {
	for entry, want := range map[string]string{
		"192.0.2.1": "", "192.0.2.0/24": "", "192.0.2.0/255.255.255.0": "", "2001:db8::/32": "", "::1": "", "localhost": "", "3com.example": "",
		"0.0.0.0/0": "", "file:/etc/ours": "",
		"300.1.2.3": "nobody is spared", "10.0.0": "nobody is spared", "10.0.0.0/x": "nobody is spared", "2001:db8:::1": "nobody is spared",
		"our.example/24": "nobody is spared", "10.0.0.0/40": "counts as 10.0.0.0",
	} {
		if got := odd(entry); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", entry, got, want)
		}
	}
}
