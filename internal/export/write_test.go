package export

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

func set(texts ...string) cidr.Ranges {
	var b cidr.Builder
	for _, t := range texts {
		b.Add(netip.MustParsePrefix(t))
	}
	return b.Ranges()
}

func written(t *testing.T, s cidr.Ranges, f Format, o Options) (string, Written) {
	t.Helper()
	var b strings.Builder
	done, err := Write(&b, s, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), done
}

func some() cidr.Ranges {
	return set("9.9.9.9/32", "1.2.3.0/24", "8.8.8.8/32", "8.8.8.9/32", "2606:4700::/32", "2606:4701::1/128")
}

func TestFormatsAreAsTheirReadersWantThem(t *testing.T) {
	for f, want := range map[Format]string{
		Plain:      "# T\n1.2.3.0/24\n8.8.8.8/31\n9.9.9.9\n2606:4700::/32\n2606:4701::1\n",
		NginxDeny:  "# T\ndeny 1.2.3.0/24;\ndeny 8.8.8.8/31;\ndeny 9.9.9.9;\ndeny 2606:4700::/32;\ndeny 2606:4701::1;\n",
		NginxGeo:   "# T\n1.2.3.0/24 1;\n8.8.8.8/31 1;\n9.9.9.9 1;\n2606:4700::/32 1;\n2606:4701::1 1;\n",
		HAProxyACL: "# T\n1.2.3.0/24\n8.8.8.8/31\n9.9.9.9\n2606:4700::/32\n2606:4701::1\n",
		HAProxyMap: "# T\n1.2.3.0/24 1\n8.8.8.8/31 1\n9.9.9.9/32 1\n2606:4700::/32 1\n2606:4701::1/128 1\n",
		Apache:     "# T\nRequire not ip 1.2.3.0/24\nRequire not ip 8.8.8.8/31\nRequire not ip 9.9.9.9\nRequire not ip 2606:4700::/32\nRequire not ip 2606:4701::1\n",
		Caddy:      "# T\n@palisade remote_ip 1.2.3.0/24 8.8.8.8/31 9.9.9.9 2606:4700::/32 2606:4701::1\nabort @palisade\n",
		EDL:        "1.2.3.0/24\n8.8.8.8/31\n9.9.9.9\n2606:4700::/32\n2606:4701::1\n",
		PFBlocker:  "1.2.3.0/24\n8.8.8.8/31\n9.9.9.9\n2606:4700::/32\n2606:4701::1\n",
		FortiGate:  "1.2.3.0/24\n8.8.8.8/31\n9.9.9.9\n2606:4700::/32\n2606:4701::1\n",
	} {
		if got, done := written(t, some(), f, Options{IPv4: true, IPv6: true, Title: "T"}); got != want || done.Entries != 5 || done.Cut != 0 {
			t.Errorf("%s:\n%s%+v", f, got, done)
		}
		if got, _ := written(t, cidr.Ranges{}, f, Options{IPv4: true, IPv6: true}); got != "" {
			t.Errorf("%s, of nothing: %q", f, got)
		}
	}
	if _, err := Write(&strings.Builder{}, some(), "yaml", Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
	if got, want := fmt.Sprint(config.ExportFormats()), fmt.Sprint(Formats()); got != want {
		t.Errorf("the configuration knows %s, not %s", got, want)
	}
}

func TestFamiliesPagesAndBounds(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
		cut  int
	}{
		{Options{IPv4: true}, "1.2.3.0/24 8.8.8.8/31 9.9.9.9", 0},
		{Options{IPv6: true}, "2606:4700::/32 2606:4701::1", 0},
		{Options{}, "", 0},
		{Options{IPv4: true, IPv6: true, Most: 2}, "1.2.3.0/24 8.8.8.8/31", 3},
		{Options{IPv4: true, IPv6: true, Most: 2, From: 2}, "9.9.9.9 2606:4700::/32", 1},
		{Options{IPv4: true, IPv6: true, Most: 2, From: 4}, "2606:4701::1", 0},
		{Options{IPv4: true, IPv6: true, From: 9}, "", 0},
	} {
		got, done := written(t, some(), EDL, c.o)
		if got = strings.Join(strings.Fields(got), " "); got != c.want || done.Cut != c.cut {
			t.Errorf("%+v: %q, %+v", c.o, got, done)
		}
	}
	if got, _ := written(t, some(), Plain, Options{IPv4: true, IPv6: true, Most: 4}); !strings.HasSuffix(got, "# 1 more entries are left out: there may be 4\n") {
		t.Errorf("%q", got)
	}
}

// TestTheRealProgramsTakeOurFiles has each read a file of ours and say what it thinks of it.
func TestTheRealProgramsTakeOurFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, f := range Formats() {
		text, _ := written(t, some(), f, Options{IPv4: true, IPv6: true, Title: "T"})
		file(string(f), text)
	}
	for name, c := range map[string]struct {
		program string
		conf    string
		args    []string
	}{
		"nginx": {"nginx", fmt.Sprintf("pid %[1]s/pid; error_log stderr; events {} http { geo $remote_addr $bad { default 0; include %[1]s/nginx-geo; } include %[1]s/nginx-deny; access_log off;"+
			" client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e; server { listen 127.0.0.1:8765; if ($bad) { return 444; } } }", dir), []string{"-t", "-c", "CONF"}},
		"haproxy": {"haproxy", fmt.Sprintf("defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend f\n bind 127.0.0.1:8766\n acl bad src -f %[1]s/haproxy-acl\n http-request deny if bad\n http-request deny if { src,map_ip(%[1]s/haproxy-map,0) -m int 1 }\n", dir), []string{"-c", "-f", "CONF"}},
		"apache": {"apache2", fmt.Sprintf("ServerRoot %[1]s\nPidFile %[1]s/apid\nServerName x\nListen 127.0.0.1:8767\nErrorLog %[1]s/err\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n"+
			"LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\nLoadModule authz_host_module /usr/lib/apache2/modules/mod_authz_host.so\n<Location />\n<RequireAll>\nRequire all granted\nInclude %[1]s/apache\n</RequireAll>\n</Location>\n", dir), []string{"-t", "-f", "CONF"}},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := exec.LookPath(c.program)
			if err != nil {
				if program, err = exec.LookPath("/usr/sbin/" + c.program); err != nil {
					t.Skipf("there is no %s here", c.program)
				}
			}
			conf := file(name+".conf", c.conf)
			var args []string
			for _, a := range c.args {
				args = append(args, strings.ReplaceAll(a, "CONF", conf))
			}
			if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
