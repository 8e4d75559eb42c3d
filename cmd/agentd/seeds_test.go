package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// TestPacketInsteadOfScripts is the table of docs/SEEDS.md: what people write scripts and cron jobs for, the lines of
// configuration that replace them, and what follows from these in the kernel, in files and over HTTP.
func TestPacketInsteadOfScripts(t *testing.T) {
	survivors(t, func(g *guard) {
		outer := g.t // whose daemon it is
		p := newPublisher(g.t)
		threats := func(from, n, score int) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf(`{"ip_address":"44.%d.%d.%d","threat_score":%d}`, from, i/200, i%200, score))
			}
			return strings.Join(all, ",")
		}
		for name, seed := range map[string]func(t *testing.T){
			"single addresses and networks, by hand": func(t *testing.T) {
				t.Helper()
				g.ctl("ban", "all", "45.92.0.0/16", "46.1.1.1")
				g.shut("46.1.1.1")
				g.shut("45.92.77.1")
				g.t = outer
				g.end(syscall.SIGKILL) // and nothing has to be saved for a restart
				g.start()
				g.t = t
				g.shut("46.1.1.1")
				g.shut("45.92.77.1")
				g.ctl("unban", "45.92.0.0/16", "46.1.1.1")
				g.comesIn("45.92.77.1")
			},
			"an import of threats into a set": func(t *testing.T) {
				t.Helper()
				p.publish("/live", `{"threats":[`+threats(1, 500, 80)+`]}`)
				g.agentConf(p.http() + "[feed wayscloud]\ntype = wayscloud-portal\nurl = " + p.URL + "/live\n")
				g.shut("44.1.0.7")
				g.settled()
				g.want("with the list", "44.1.0.7", map[uint16]bool{22: false, 443: false})
				g.want("with the list", "44.1.2.99", map[uint16]bool{22: false})
				g.agentConf(p.http())
				g.comesIn("44.1.0.7")
			},
			"a blocker with a score and a bound": func(t *testing.T) {
				t.Helper()
				p.publish("/scored", `{"threats":[`+threats(2, 50, 59)+","+threats(3, 1500, 60)+`]}`)
				g.agentConf(p.http() + "[feed wayscloud]\ntype = wayscloud-portal\nurl = " + p.URL + "/scored\nmin_score = 60\nmax_entries = 1000\nexpires = 1d\n")
				g.loaded("wayscloud")
				if s := g.feeds()["wayscloud"]; s.Entries != 1000 || s.Refused != 50 {
					t.Errorf("%+v", s)
				}
				g.shut("44.3.0.1")
				g.settled()
				g.want("with the list", "44.2.0.1", map[uint16]bool{22: true})
				g.want("with the list", "44.3.0.1", map[uint16]bool{22: false})
				g.want("beyond max_entries", "44.3.7.1", map[uint16]bool{22: true})
			},
			"the worst of a country": func(t *testing.T) {
				t.Helper()
				p.publish("/country", `{"country":"RU","top_ips":[{"ip_address":"44.4.0.1"},{"ip_address":"44.4.0.2"},{"ip_address":"44.4.0.3"}]}`)
				g.agentConf(p.http() + "[feed country-RU]\ntype = wayscloud-country\ncountry = RU\nurl = " + p.URL + "/country\nmax_entries = 2\n")
				g.loaded("country-RU")
				g.shut("44.4.0.2")
				g.want("beyond max_entries", "44.4.0.3", map[uint16]bool{22: true})
			},
			"command servers, both ways": func(t *testing.T) {
				t.Helper()
				path := filepath.Join(g.dir, "c2")
				if err := os.WriteFile(path, []byte("198.18.5.0/24\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				out := packets.Packet{At: packets.Host, Proto: packets.TCP, From: netip.MustParseAddr(packets.Host4), To: netip.MustParseAddr("198.18.5.1"), Port: 443}
				arrives := func() bool { return g.network.Arrived(t, []packets.Packet{out})[0] == packets.Peers }
				if !arrives() {
					t.Fatal("nothing goes out")
				}
				g.agentConf("[feed c2]\npath = " + path + "\nprivate = yes\ndirection = both\n")
				waitFor(t, 30*time.Second, "nothing goes out to them", func() bool { return !arrives() })
				g.want("with the list", "198.18.5.9", map[uint16]bool{22: false})
			},
			"indicators over TAXII, only what is new": func(t *testing.T) {
				t.Helper()
				p.publish("/taxii/collections/malicious-ips/objects", `{"type":"bundle","objects":[{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '44.6.0.1'] OR [ipv4-addr:value = '44.6.0.2']"},`+
					`{"type":"indicator","id":"indicator--2","pattern":"[domain-name:value = 'x.example']"}]}`)
				conf := p.http() + "[feed ismalicious]\ntype = ismalicious-taxii\napikey = KEY\napisecret = SECRET\nurl = " + p.URL + "/taxii/collections/malicious-ips/objects\ndirection = both\n"
				g.agentConf(conf)
				g.loaded("ismalicious")
				g.shut("44.6.0.1")
				g.shut("44.6.0.2") // of a pattern with more than one
				asked := p.Asked()
				if h := asked[len(asked)-1].Header.Get("X-Api-Key"); h != "S0VZOlNFQ1JFVA==" {
					t.Errorf("the key is sent as %q", h)
				}
				g.agentConf(conf + "mode = log\n") // as before one trusts it
				g.comesIn("44.6.0.1")
			},
			"two jails for ssh": func(t *testing.T) {
				t.Helper()
				log := filepath.Join(g.dir, "auth.log")
				if err := os.WriteFile(log, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				conf := strings.ReplaceAll("[sshd]\nenabled = true\nport = ssh\nfilter = sshd\nlogpath = LOG\nmaxretry = 3\nbantime = 3600\nfindtime = 600\naction = iptables-multiport[port=\"%(port)s\"]\n\n"+
					"[sshd-aggressive]\nenabled = true\nport = ssh\nfilter = sshd\nlogpath = LOG\nmaxretry = 1\nbantime = 86400\nfindtime = 86400\naction = iptables-allports\n", "LOG", log)
				// The actions stand for those of a fail2ban that is there; a firewall of ours takes them over.
				for name, text := range map[string]string{
					"jail.d/ssh.local": conf, "action.d/iptables-multiport.conf": "[Definition]\nactionban = false\n", "action.d/iptables-allports.conf": "[Definition]\nactionban = false\n",
				} {
					path := filepath.Join(g.dir, "etc", name)
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				g.ctl("reload")
				line := time.Now().Format("Jan _2 15:04:05") + " host sshd[1]: Failed password for root from 46.7.7.7 port 4000 ssh2\n"
				if err := os.WriteFile(log, []byte(line), 0o644); err != nil {
					t.Fatal(err)
				}
				g.shut("46.7.7.7")
				g.want("after one failure", "46.7.7.7", map[uint16]bool{443: false})
				if s := g.tell("status", "sshd-aggressive"); !strings.Contains(s, "46.7.7.7") {
					t.Errorf("status: %s", s)
				}
				if err := os.Remove(filepath.Join(g.dir, "etc", "jail.d", "ssh.local")); err != nil {
					t.Fatal(err)
				}
				g.ctl("reload")
			},
			"lists for nginx, pfSense and Palo Alto": func(t *testing.T) {
				t.Helper()
				p.publish("/live8", `{"threats":[`+threats(8, 20, 80)+`]}`)
				p.publish("/list", "44.9.0.1\n44.9.0.0/24\n")
				dir := t.TempDir()
				g.agentConf(p.http() + "listen = 127.0.0.1:18901\nuser = pan\npassword = word\n[feed wayscloud]\ntype = wayscloud-portal\nurl = " + p.URL + "/live8\n" +
					"[feed ismalicious]\ntype = ismalicious\napikey = KEY\napisecret = SECRET\nurl = " + p.URL + "/list\n" +
					"[export deny]\nformat = nginx-deny\npath = " + dir + "/deny.conf\ncontents = feeds\nfeeds = wayscloud\nevery = 1s\nreload = true\n" +
					"[export geo]\nformat = nginx-geo\npath = " + dir + "/geo.conf\nevery = 1s\nreload = true\n" +
					"[export ismalicious-ips]\nformat = pfblocker\npath = " + dir + "/ismalicious-ips.txt\ncontents = feeds\nfeeds = ismalicious\nevery = 1s\n" +
					"[export edl]\nformat = edl\nserve = yes\nfamily = ipv4\nevery = 1s\n")
				g.loaded("wayscloud", "ismalicious")
				read := func(name string) string { b, _ := os.ReadFile(filepath.Join(dir, name)); return string(b) }
				waitFor(t, 30*time.Second, "the files are there", func() bool {
					return strings.Contains(read("deny.conf"), "\ndeny 44.8.0.16/30;\n") && !strings.Contains(read("deny.conf"), "44.9.0.0/24") &&
						strings.Contains(read("geo.conf"), "\n44.9.0.0/24 1;\n") && read("ismalicious-ips.txt") == "44.9.0.0/24\n"
				})
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:18901/edl.txt", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.SetBasicAuth("pan", "word")
				waitFor(t, 30*time.Second, "the list is served", func() bool {
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						return false
					}
					defer resp.Body.Close()
					b := make([]byte, 4096)
					n, _ := resp.Body.Read(b)
					return resp.StatusCode == 200 && strings.Contains(string(b[:n]), "44.9.0.0/24\n")
				})
			},
		} {
			if !t.Run(name, func(t *testing.T) {
				g.t = t
				defer func() { g.t = outer }()
				seed(t)
			}) {
				g.t.Errorf("%s: failed", name)
			}
		}
	})
}
