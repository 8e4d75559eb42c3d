package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// hostileTree is a small configuration that is hard to read rightly. Each is read by fail2ban too.
type hostileTree struct {
	// tree is an archive as parseTree reads it.
	tree string
	// want are commands that must be in our stream, as JSON.
	want []string
	// off names the jails that we alone leave out: for each the beginning of the problem, which names
	// the file and the line. All other jails are as fail2ban has them, if it has any. Where it has
	// these too, its server refuses them, and with them all commands that follow.
	off map[string]string
	// refused is set where fail2ban's client refuses the whole tree. jails are those that we have then.
	refused bool
	jails   string
}

// hostileTrees are all of them, by name.
func hostileTrees() map[string]hostileTree {
	all := map[string]hostileTree{}
	for _, group := range []map[string]hostileTree{
		treesOfFiles, treesOfGrammar, treesOfReferences, treesOfSpecs, treesOfTags, treesOfJails, treesOfGlobals, treesRefused,
	} {
		maps.Copy(all, group)
	}
	return all
}

// folder is where the trees in memory lie, and what stands for the folder of a tree on disk.
const folder = "/etc/fail2ban"

// loadHostile loads a tree that lies in memory, as release 1.0.
func loadHostile(t *testing.T, tree string) *Config {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range parseTree(tree) {
		fsys[cleanPath(folder+"/"+name)] = &fstest.MapFile{Data: []byte(text)}
	}
	c, err := Load(Options{Dir: folder, Files: fsys, Release: Release10, Version: "1.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHostileTrees(t *testing.T) {
	for name, tt := range hostileTrees() {
		t.Run(name, func(t *testing.T) {
			c := loadHostile(t, tt.tree)
			got := comparableStream(t, c.Stream())
			for _, want := range tt.want {
				if !slices.Contains(got, want) {
					t.Errorf("no command %s in\n%s", want, strings.Join(got, "\n"))
				}
			}
			if tt.refused && names(c) != tt.jails {
				t.Errorf("jails %q, want %q", names(c), tt.jails)
			}
			for jail, want := range tt.off {
				if _, on := c.Jail(jail); on {
					t.Errorf("jail %s is on", jail)
				}
				if !slices.ContainsFunc(c.Errors(), func(p Problem) bool { return p.Jail == jail && strings.HasPrefix(p.Error(), want) }) {
					t.Errorf("no problem of %s begins %q: %v", jail, want, c.Problems)
				}
			}
			if len(tt.want) == 0 && len(tt.off) == 0 {
				t.Error("the tree shows nothing")
			}
		})
	}
}

// without leaves out what concerns some jails.
func without(stream []string, off map[string]string) []string {
	return slices.DeleteFunc(stream, func(c string) bool {
		for jail := range off {
			if c == "Jail '"+jail+"' skipped" || strings.Contains(c, fmt.Sprintf(`,%q`, jail)) {
				return true
			}
		}
		return false
	})
}

func TestStreamOfHostileTreesEqualsFail2bans(t *testing.T) {
	trees := hostileTrees()
	order := slices.Sorted(maps.Keys(trees))
	var dirs []string
	for _, name := range order {
		dirs = append(dirs, writeTree(t, parseTree(trees[name].tree)))
	}
	for i, theirs := range batch(t, dirs) {
		t.Run(order[i], func(t *testing.T) {
			tt := trees[order[i]]
			if tt.refused != (theirs.Stream == nil) {
				t.Fatalf("fail2ban refuses the tree: %v (%s)", theirs.Stream == nil, theirs.Why)
			}
			if tt.refused {
				return
			}
			ours, err := Load(Options{Dir: dirs[i], Release: Release10, Version: "1.0.2"})
			if err != nil {
				t.Fatal(err)
			}
			ourLines, theirLines := comparableStream(t, ours.Stream()), comparableStream(t, theirs.Stream)
			for _, d := range diff(without(ourLines, tt.off), without(theirLines, tt.off)) {
				t.Error(d)
			}
		})
	}
}
