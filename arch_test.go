// Package palisade_test holds the rules of the house that a compiler cannot check: who may import
// whom, and that the core stays pure. A change that needs a new line here needs a reason in docs/adr.
package palisade_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/palisade-agent/palisade/"

// imports lists, for every package of the project, which of the project's packages and which
// foreign modules it may import. The standard library is free, but see pure.
var imports = map[string][]string{
	"filters":              {},
	"jails":                {},
	"internal/ident":       {},
	"internal/pytext":      {},
	"internal/filter/pyre": {"internal/pytext", "github.com/dlclark/regexp2/v2"},
	"internal/filter/date": {"internal/filter/pyre"},
	"internal/filter":      {"internal/ident", "internal/pytext", "internal/filter/pyre", "internal/filter/date"},
	"internal/jail":        {"internal/ident"},
	"internal/config":      {"internal/ident", "internal/secret", "internal/feed/catalog", "internal/feed/jsonpath"},
	// Where keys of other services are; never shown.
	"internal/secret": {},
	// Asking other machines over HTTP.
	"internal/outbound": {},
	// What is blocked, for other programs.
	"internal/export":            {"internal/firewall/cidr"},
	"internal/export/serve":      {"internal/control", "internal/export", "internal/firewall/cidr"},
	"internal/export/cloudflare": {"internal/firewall/cidr", "internal/outbound"},
	"internal/export/taxii":      {},
	// IP sets of AWS, for agent-aws alone.
	"internal/export/waf": {"github.com/aws/aws-sdk-go-v2"},
	"cmd/agent-aws":       {"internal/export/waf", "internal/feed", "internal/outbound", "internal/secret", "github.com/aws/aws-sdk-go-v2"},
	// Reports to others.
	"internal/report":             {"internal/firewall/cidr", "internal/outbound", "internal/store"},
	"internal/report/destination": {"internal/outbound", "internal/report"},
	// What services know of an address.
	"internal/lookup": {"internal/firewall/cidr", "internal/outbound"},
	// Lists that others publish.
	"internal/feed": {"internal/feed/catalog", "internal/feed/jsonpath", "internal/firewall/cidr", "internal/outbound"},
	// Published lists by name.
	"internal/feed/catalog": {},
	// Where in a document of JSON something is.
	"internal/feed/jsonpath": {},
	"internal/source":        {"github.com/nxadm/tail"},
	"internal/store":         {"internal/ident", "internal/jail", "internal/source", "go.etcd.io/bbolt"},
	"internal/firewall":      {"internal/firewall/cidr"},
	// Sets of addresses, compact.
	"internal/firewall/cidr": {},
	"internal/firewall/nft": {
		"internal/netlink", "internal/firewall", "golang.org/x/sys", "github.com/google/nftables", "github.com/mdlayher/netlink",
	},
	"internal/firewall/ipset": {"internal/netlink", "internal/firewall", "golang.org/x/sys"},
	"internal/firewall/hooks": {"internal/netlink", "golang.org/x/sys"},
	"internal/firewall/cut":   {"internal/netlink", "internal/firewall", "golang.org/x/sys"},
	// The kernel's messages, for those who talk to it.
	"internal/netlink":            {"golang.org/x/sys"},
	"internal/control":            {"golang.org/x/sys"},
	"internal/control/f2b/pickle": {},
	// fail2ban's commands, on the daemon's own control service.
	"internal/control/f2b/executor": {
		"internal/config", "internal/control", "internal/control/f2b", "internal/control/f2b/pickle", "internal/filter", "internal/ident",
		"internal/setup", "internal/source",
	},
	"internal/control/f2b": {"internal/control/f2b/pickle", "internal/pytext"},
	// The file of events for SIEMs, and the numbers for Prometheus.
	"internal/eventlog": {},
	"internal/metrics":  {"internal/action", "internal/agent", "internal/control", "internal/eventlog", "internal/feed", "internal/firewall/cut", "internal/report"},
	// Action scripts as fail2ban runs them.
	"internal/action": {"internal/ident", "internal/pytext", "golang.org/x/sys"},
	"internal/agent": {
		"internal/action", "internal/ident", "internal/filter", "internal/jail", "internal/source", "internal/store",
		"internal/firewall", "internal/firewall/cidr", "internal/control", "golang.org/x/sync", "golang.org/x/text",
	},
	// What is made of a configuration, for the daemon and for the tools that judge without it.
	"internal/setup": {
		"internal/action", "internal/config", "internal/agent", "internal/control", "internal/filter", "internal/filter/date", "internal/firewall", "internal/lookup", "internal/replay", "internal/secret",
		"internal/ident", "internal/jail", "internal/source", "filters", "jails", "golang.org/x/text",
	},
	"internal/regextest": {"internal/filter", "internal/filter/date", "internal/ident", "internal/control/f2b", "internal/control/f2b/pickle", "golang.org/x/text"},
	// fail2ban's database, for agentctl alone: the daemon links no SQLite.
	"internal/movein": {"internal/control", "modernc.org/sqlite"},
	// What is wrong with a machine, before and after Palisade takes over.
	"internal/doctor": {
		"internal/action", "internal/agent", "internal/config", "internal/control", "internal/filter", "internal/firewall", "internal/firewall/hooks", "internal/firewall/ipset", "internal/firewall/nft",
		"internal/ident", "internal/replay", "internal/setup", "internal/source", "golang.org/x/sys", "golang.org/x/text",
	},
	"internal/replay": {"internal/filter", "internal/ident", "internal/jail", "golang.org/x/text"},
	"cmd/agentd":      {"internal/*", "filters", "jails", "golang.org/x/sys", "golang.org/x/text"},
	"cmd/agentctl":    {"internal/*", "filters", "jails", "golang.org/x/sys", "golang.org/x/text"},
	"demo":            {"internal/control", "golang.org/x/sys"},
	// For tests only: nothing but test files may import them.
	"internal/oracle":           {},
	"internal/outbound/baddays": {},
	"internal/firewall/bench":   {}, // measures; all but its story is in test files
	"internal/firewall/packets": {"golang.org/x/sys", "github.com/vishvananda/netlink", "github.com/vishvananda/netns"},
}

// pure names what is free of effects: a folder with all below it, or single files of a folder.
var pure = []string{
	"internal/ident/", "internal/pytext/", "internal/filter/", "internal/jail/", "internal/firewall/table*.go", "internal/firewall/cidr/",
	"internal/firewall/ports.go", "internal/feed/catalog/", "internal/export/write*.go", "internal/lookup/answer.go", "internal/report/rules.go", "internal/report/category.go", "internal/report/scrub.go", "internal/feed/jsonpath/", "internal/feed/entry.go", "internal/feed/parse*.go", "internal/feed/guard*.go",
}

// forbiddenInPure are the packages whose import makes an effect possible.
var forbiddenInPure = []string{"os", "net", "sync", "context", "log", "log/slog", "os/exec", "math/rand", "math/rand/v2", "crypto/rand", "syscall"}

// forbiddenClock are the functions of package time that read or wait for the clock.
var forbiddenClock = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick", "Local"}

type source struct {
	path string // slash-separated, from the root
	file *ast.File
}

func sources(t *testing.T) (files []source, fset *token.FileSet) {
	t.Helper()
	fset = token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "bin") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, source{filepath.ToSlash(path), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, fset
}

func TestImportsFollowTheTable(t *testing.T) {
	files, _ := sources(t)
	seen := map[string]bool{}
	for _, s := range files {
		pkg := s.path[:max(strings.LastIndex(s.path, "/"), 0)]
		allowed, known := imports[pkg]
		seen[pkg] = true
		if !known {
			t.Errorf("%s: package %q is not in the import table", s.path, pkg)
			continue
		}
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !mayImport(allowed, path) {
				t.Errorf("%s imports %s, which the table does not allow %s", s.path, path, pkg)
			}
		}
	}
	for pkg := range imports {
		if !seen[pkg] {
			t.Errorf("the import table names %s, which does not exist", pkg)
		}
	}
}

func mayImport(allowed []string, path string) bool {
	own, isOwn := strings.CutPrefix(path, module)
	if !isOwn {
		if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
			return true // standard library
		}
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		if isOwn {
			prefix, wild := strings.CutSuffix(a, "*")
			return own == a || wild && strings.HasPrefix(own, prefix) && !slices.Contains([]string{"internal/oracle", "internal/firewall/packets"}, own)
		}
		return path == a || strings.HasPrefix(path, a+"/")
	})
}

func isPure(path string) bool {
	return slices.ContainsFunc(pure, func(p string) bool {
		if strings.HasSuffix(p, "/") {
			return strings.HasPrefix(path, p)
		}
		ok, err := filepath.Match(p, path)
		return err == nil && ok
	})
}

func TestTheCoreIsPure(t *testing.T) {
	files, fset := sources(t)
	n := 0
	for _, s := range files {
		if !isPure(s.path) {
			continue
		}
		n++
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(forbiddenInPure, path) {
				t.Errorf("%s: pure code imports %s", s.path, path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: pure code starts a goroutine", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if id, ok := n.X.(*ast.Ident); ok && id.Name == "time" && slices.Contains(forbiddenClock, n.Sel.Name) {
					t.Errorf("%s: pure code uses time.%s", fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
	if n < 10 {
		t.Errorf("only %d pure files found: has the tree moved?", n)
	}
}

// TestFilesStayReadable: a file that outgrows 500 lines is two rooms in one. Tables of data and the
// tests are free.
func TestFilesStayReadable(t *testing.T) {
	files, fset := sources(t)
	for _, s := range files {
		if n := fset.File(s.file.Pos()).LineCount(); n > 560 {
			t.Errorf("%s has %d lines: split it by what it does", s.path, n)
		}
	}
}

func TestEveryPackageTellsItsStory(t *testing.T) {
	files, _ := sources(t)
	told := map[string]bool{}
	for _, s := range files {
		dir := filepath.Dir(s.path)
		told[dir] = told[dir] || s.file.Doc != nil && len(s.file.Doc.Text()) > 80
	}
	for dir, ok := range told {
		if !ok {
			t.Errorf("%s has no package comment that says what it is for", dir)
		}
	}
}

func TestNoRoomWithoutAName(t *testing.T) {
	files, _ := sources(t)
	for _, s := range files {
		for part := range strings.SplitSeq(filepath.Dir(s.path), "/") {
			if slices.Contains([]string{"util", "utils", "common", "helpers", "helper", "misc", "base", "types"}, part) {
				t.Errorf("%s lies in a folder whose name says nothing", s.path)
			}
		}
	}
}
