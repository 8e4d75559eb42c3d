package firewall_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// services knows a few names, as a machine's table of services would.
func services(name, proto string) (uint16, bool) {
	known := map[string]uint16{
		"ssh/tcp": 22, "http/tcp": 80, "https/tcp": 443, "https/udp": 443,
		"ftp-data/tcp": 20, "odd/tcp": 700, "odd/udp": 701,
	}
	port, ok := known[name+"/"+proto]
	return port, ok
}

func TestParsePorts(t *testing.T) {
	for text, want := range map[string]string{
		"22":                    "22",
		"ssh":                   "22",
		"ssh,http,https":        "22 80 443",
		"ssh , 2222,":           "22 2222",
		"0:65535":               "0-65535",
		"6000-6010":             "6000-6010",
		"ssh:http":              "22-80",
		"ftp-data,ssh":          "20 22",
		"1024:":                 "1024-65535",
		":1023":                 "0-1023",
		"odd":                   "700 701",
		"":                      "",
		"65535":                 "65535",
		"65536":                 "error: unknown port \"65536\"",
		"no-such,22":            "22 error: unknown port \"no-such\"",
		"80:22":                 "error: port range \"80:22\" ends before it begins",
		":":                     "error: unknown port \":\"",
		"1:2:3":                 "error: unknown port \"1:2:3\"",
		"-1":                    "0-1",
		"%(port)s":              "error: unknown port \"%(port)s\"",
		strings.Repeat("9", 99): fmt.Sprintf("error: unknown port %q", strings.Repeat("9", 99)),
	} {
		ports, err := firewall.ParsePorts(text, services)
		var got []string
		for _, p := range ports {
			got = append(got, p.String())
		}
		if err != nil {
			got = append(got, "error: "+err.Error())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q gives %q, want %q", text, strings.Join(got, " "), want)
		}
	}
}

func TestParsePortsNamesEveryUnknownWord(t *testing.T) {
	_, err := firewall.ParsePorts("nope,22,never", services)
	if err == nil || !strings.Contains(err.Error(), "nope") || !strings.Contains(err.Error(), "never") {
		t.Errorf("error %v", err)
	}
}

func TestParseProtocols(t *testing.T) {
	for text, want := range map[string]string{
		"tcp": "[tcp]", "TCP,udp": "[tcp udp]", "all": "[all]", "0": "[0]", "47": "[47]", "ipv6-icmp": "[ipv6-icmp]",
		"": "[]", "nonsense": `[] unknown protocol "nonsense"`, "tcp 256": `[tcp] unknown protocol "256"`,
	} {
		list, err := firewall.ParseProtocols(text)
		got := fmt.Sprint(list)
		if err != nil {
			got += " " + err.Error()
		}
		if got != want {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{"ssh,22", "0:65535", "a-b", ":-:", "6000-6010,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ports, _ := firewall.ParsePorts(text, services)
		for _, p := range ports {
			if p.First > p.Last {
				t.Errorf("%q gives %v", text, p)
			}
		}
		if again, err := firewall.ParsePorts(join(ports), services); err != nil || join(again) != join(ports) {
			t.Errorf("%q gives %v, which gives %v, %v", text, ports, again, err)
		}
	})
}

func join(ports []firewall.PortRange) string {
	var s []string
	for _, p := range ports {
		s = append(s, p.String())
	}
	return strings.Join(s, ",")
}
