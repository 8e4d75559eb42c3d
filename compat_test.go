package palisade_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const compat = "docs/COMPAT.md"

// compatRow is one row of a table of docs/COMPAT.md: what | state | how, and why | shown by.
type compatRow struct {
	line               int
	what, state, shown string
}

// compatRows reads the tables. Each has the four columns and a header that says so.
func compatRows(t *testing.T, text string) []compatRow {
	t.Helper()
	var rows []compatRow
	inTable := false
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch {
		case len(cells) != 4:
			t.Errorf("%s:%d has %d cells, want 4", compat, i+1, len(cells))
		case !inTable:
			if cells[1] != "state" || cells[3] != "shown by" {
				t.Errorf("%s:%d: a table without the columns state and shown by", compat, i+1)
			}
			inTable = true
		case cells[0] == "---":
		default:
			rows = append(rows, compatRow{i + 1, cells[0], strings.Trim(cells[1], "*"), cells[3]})
		}
	}
	return rows
}

// testedPackage is what the test files of one folder hold.
type testedPackage struct {
	tests   map[string]bool // functions
	strings map[string]bool // literals: the names of cases are among them
}

// testedPackages are the folders of the project that have tests, by path.
func testedPackages(t *testing.T) map[string]*testedPackage {
	t.Helper()
	all := map[string]*testedPackage{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := ""; {
		case err != nil:
			return err
		case d.IsDir():
			name = d.Name()
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if all[dir] == nil {
			all[dir] = &testedPackage{map[string]bool{}, map[string]bool{}}
		}
		all[dir].add(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (p *testedPackage) add(file *ast.File) {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
			p.tests[f.Name.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				p.strings[s] = true
			}
		}
		return true
	})
}

// The grammar of "shown by" is: `package`: `TestName` ("case", "case"), `TestOther`; `package`: and so on.
var (
	shownPackage = regexp.MustCompile("^`([a-z0-9/]+)`: ")
	shownTest    = regexp.MustCompile("^`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	shownCases   = regexp.MustCompile(`^ \("[^"]+"(?:, "[^"]+")*\)`)
)

// check goes through what a cell names and says what of it does not exist, or cannot be read.
func (r compatRow) check(packages map[string]*testedPackage) error {
	var p *testedPackage
	for rest := r.shown; rest != ""; {
		if m := shownPackage.FindStringSubmatch(rest); m != nil {
			if p = findPackage(packages, m[1]); p == nil {
				return fmt.Errorf("there is no package %s with tests, or more than one", m[1])
			}
			rest = rest[len(m[0]):]
		}
		m := shownTest.FindStringSubmatch(rest)
		if m == nil || p == nil {
			return fmt.Errorf("expected `package`: `TestName` at %q", rest)
		}
		if !p.tests[m[1]] {
			return fmt.Errorf("there is no %s", m[1])
		}
		rest = rest[len(m[0]):]
		cases := shownCases.FindString(rest)
		rest = rest[len(cases):]
		for quoted := range strings.SplitSeq(strings.Trim(cases, " ()"), `", "`) {
			if name := strings.Trim(quoted, `"`); name != "" && !p.strings[name] {
				return fmt.Errorf("%s has no case %q", m[1], name)
			}
		}
		var more bool
		for _, sep := range []string{", ", "; "} {
			if after, ok := strings.CutPrefix(rest, sep); ok {
				rest, more = after, true
				break
			}
		}
		if !more && rest != "" || more && rest == "" {
			return fmt.Errorf("what is meant by %q?", rest)
		}
	}
	return nil
}

func findPackage(packages map[string]*testedPackage, name string) *testedPackage {
	var found []*testedPackage
	for dir, p := range packages {
		if dir == name || strings.HasSuffix(dir, "/"+name) {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// TestWhatIsSaidToBeCompatibleIsShown: each row has one of the three states, and names tests that
// there are; what is said to be the same, or to differ, is shown by at least one.
func TestWhatIsSaidToBeCompatibleIsShown(t *testing.T) {
	text, err := os.ReadFile(compat)
	if err != nil {
		t.Fatal(err)
	}
	packages := testedPackages(t)
	rows := compatRows(t, string(text))
	for _, r := range rows {
		if !slices.Contains([]string{"same", "differs", "absent"}, r.state) {
			t.Errorf("%s:%d: state %q", compat, r.line, r.state)
		}
		if r.state != "absent" && r.shown == "" {
			t.Errorf("%s:%d: no test shows that %s is in the state %q", compat, r.line, r.what, r.state)
		}
		if err := r.check(packages); err != nil {
			t.Errorf("%s:%d: %v", compat, r.line, err)
		}
	}
	if len(rows) < 50 {
		t.Errorf("only %d rows found: has the form changed?", len(rows))
	}
}

// TestEveryOptionHasARow: what the reader of the configuration knows by name is in a table, in the
// spelling of the configuration.
func TestEveryOptionHasARow(t *testing.T) {
	text, err := os.ReadFile(compat)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, r := range compatRows(t, string(text)) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(r.what, -1) {
			listed[m[1]] = true
		}
	}
	options := knownOptions(t)
	for _, o := range options {
		if !listed[o] {
			t.Errorf("%s has no row for %s", compat, o)
		}
	}
	if len(options) < 40 {
		t.Errorf("only %d options found: has their table moved?", len(options))
	}
}

// knownOptions reads the names out of internal/config: from its lists of options, and what files are
// asked for by name.
func knownOptions(t *testing.T) []string {
	t.Helper()
	var names []string
	files, err := filepath.Glob("internal/config/*.go")
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				names = append(names, s)
			}
		}
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if isOptionList(n) {
					for _, e := range n.Elts {
						if option, ok := e.(*ast.CompositeLit); ok && len(option.Elts) > 0 {
							add(option.Elts[0])
						}
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "get" || f.Sel.Name == "integer") && len(n.Args) > 1 {
					add(n.Args[1])
				}
			}
			return true
		})
	}
	return names
}

// isOptionList reports whether a literal is a list of options, or of unnamed structs as the reader of
// fail2ban.conf has them.
func isOptionList(lit *ast.CompositeLit) bool {
	list, ok := lit.Type.(*ast.ArrayType)
	if !ok {
		return false
	}
	if _, unnamed := list.Elt.(*ast.StructType); unnamed {
		return true
	}
	elem, ok := list.Elt.(*ast.Ident)
	return ok && elem.Name == "option"
}
