package filter

import "testing"

func TestTagsExpand(t *testing.T) {
	tests := []struct{ name, regex, want string }{
		{"own group", `<F-USER>\S+</F-USER>`, `(?P<user>\S+)`},
		{"id and port have other names", `<F-ID>a</F-ID><F-PORT>b</F-PORT>`, `(?P<fid>a)(?P<fport>b)`},
		{"short forms", `<F-ID/> <F-PORT/> <F-CIDR/>`, `(?P<fid>\S+) (?P<fport>\w+) (?P<cidr>\d+)`},
		{"own address regex", `<F-IP4>\S+</F-IP4>`, `(?P<ip4>\S+)`},
		{"end without a begin", `a</F-USER>`, `a</F-USER>`},
		{"short form that is none", `<F-USER/>`, `<F-USER/>`},
		{"lower case is no group", `<F-user>`, `<F-user>`},
		{"unknown tags", `<FID> <HOST-X> <b>`, `<FID> <HOST-X> <b>`},
		{"skipped lines are numbered", `a<SKIPLINES>b<SKIPLINES>c`, `a\n(?P<skiplines0>(?:(?:.*\n)*?))b\n(?P<skiplines1>(?:(?:.*\n)*?))c`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := expandTags(tt.regex, DNSWarn); got != tt.want {
				t.Errorf("%s gives %s, want %s", tt.regex, got, tt.want)
			}
		})
	}
	if got := expandTags("<HOST>", DNSNo); got != expandTags("<ADDR>", DNSWarn) {
		t.Errorf("HOST under usedns no gives %s", got)
	}
}

func TestInnerGlobalFlagsBecomeLocal(t *testing.T) {
	tests := []struct{ regex, want string }{
		{`((?i)x)`, `(?i:x)`},
		{`(?:(?i)x)`, `(?i:x)`},
		{`((?i)x((?s).))`, `(?i:x(?s:.))`},
		{`((?i)((?s)x))`, `(?i:(?s:x))`},
		{`\((?i)x`, `\((?i)x`},
		{`(?i)x`, `(?i)x`},
		{`((?i:x))`, `((?i:x))`},
	}
	for _, tt := range tests {
		if got := localFlags(tt.regex); got != tt.want {
			t.Errorf("%s gives %s, want %s", tt.regex, got, tt.want)
		}
	}
}
