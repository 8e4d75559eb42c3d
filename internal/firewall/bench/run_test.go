package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sizes are how much of everything is measured.
type sizes struct {
	Single   int           // bans one by one
	Burst    int           // bans at once
	Restore  int           // bans at the start
	Hosts    int           // of the large feed
	Networks int           // of the large feed
	Delta    int           // hosts of the feed of which a twentieth changes
	Rounds   int           // how often what takes long is done; the median counts
	Tool     int           // bans by a script each
	Fail2ban int           // bans by fail2ban
	Idle     time.Duration // how long it is looked whether anything happens
}

func whole() sizes {
	return sizes{
		Single: 3000, Burst: 10_000, Restore: 100_000, Hosts: 1_000_000, Networks: 20_000, Delta: 500_000,
		Rounds: 5, Tool: 200, Fail2ban: 200, Idle: 8 * time.Second,
	}
}

func small() sizes {
	return sizes{
		Single: 30, Burst: 100, Restore: 300, Hosts: 5000, Networks: 100, Delta: 2000,
		Rounds: 1, Tool: 3, Fail2ban: 3, Idle: 50 * time.Millisecond,
	}
}

const (
	insideEnv = "PALISADE_BENCH_PART" // which part to measure
	sizesEnv  = "PALISADE_BENCH_SIZES"
	resultsFD = 3
	partLimit = 4 * time.Minute // ends what hangs
)

// TestMain prints the whole report with -whole, and otherwise leaves the tests to themselves.
func TestMain(m *testing.M) {
	all := flag.Bool("whole", false, "measure everything in full and print a table, instead of testing; takes some minutes")
	asJSON := flag.Bool("json", false, "with -whole: print JSON")
	only := flag.String("only", "", "with -whole: only the parts whose names contain this")
	flag.Parse()
	if !*all || os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	if err := report(os.Stdout, *asJSON, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func report(w io.Writer, asJSON bool, only string) error {
	var samples []sample
	var failures error
	for _, p := range parts() {
		if !strings.Contains(p.String(), only) {
			continue
		}
		begin := time.Now()
		fmt.Fprintf(os.Stderr, "== %s\n", p)
		got, said, err := p.measure(whole(), os.Stderr)
		switch {
		case err != nil:
			failures = errors.Join(failures, fmt.Errorf("%s: %w\n%s", p, err, said))
		case strings.Contains(said, "--- SKIP"):
			fmt.Fprintf(os.Stderr, "   left out:\n%s", said)
		}
		samples = append(samples, got...)
		fmt.Fprintf(os.Stderr, "   %s: %.1f s\n", p, time.Since(begin).Seconds())
	}
	results, m := compare(rows(), samples), thisMachine()
	if asJSON {
		return errors.Join(failures, printJSON(w, m, results))
	}
	return errors.Join(failures, printTable(w, m, results))
}

// measure runs a part in a process and a network namespace of its own that end with it. What the process
// says beside its samples goes to progress as it comes, and is returned.
func (p part) measure(s sizes, progress io.Writer) (samples []sample, said string, err error) {
	encoded, err := json.Marshal(s)
	if err != nil {
		return nil, "", err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInside$", "-test.v", "-test.timeout="+partLimit.String())
	cmd.Env = append(os.Environ(), insideEnv+"="+p.String(), sizesEnv+"="+string(encoded))
	cmd.ExtraFiles = []*os.File{out}
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, progress
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	// The inner process dies with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := errors.Join(cmd.Start(), out.Close()); err != nil {
		return nil, "", errors.Join(errNoNamespace, err)
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var x sample
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return samples, text.String(), errors.Join(err, cmd.Wait())
		}
		samples = append(samples, x)
	}
	err = errors.Join(lines.Err(), cmd.Wait())
	return samples, text.String(), err
}

var errNoNamespace = errors.New("no network namespace can be made")

// TestInside is a part, in its process; TestTheRig and the report start it.
func TestInside(t *testing.T) {
	name := os.Getenv(insideEnv)
	i := slices.IndexFunc(parts(), func(p part) bool { return p.String() == name })
	if i < 0 {
		t.Skip("runs only inside a namespace")
	}
	var s sizes
	if err := json.Unmarshal([]byte(os.Getenv(sizesEnv)), &s); err != nil {
		t.Fatal(err)
	}
	p := parts()[i]
	results := json.NewEncoder(os.NewFile(resultsFD, "results"))
	p.run(&rig{T: t, sizes: s, part: p, tell: func(x sample) {
		fmt.Fprintf(os.Stderr, "   %s: %s %.6g\n", p, x.Name, x.Value)
		if err := results.Encode(x); err != nil {
			t.Fatal(err)
		}
	}})
}

// TestTheRigMeasuresEveryRow: in small, every part runs and every row of the table gets its number, but
// where a tool is missing.
func TestTheRigMeasuresEveryRow(t *testing.T) {
	var samples []sample
	missing := false
	for _, p := range parts() {
		got, said, err := p.measure(small(), io.Discard)
		if errors.Is(err, errNoNamespace) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", p, err, said)
		}
		if strings.Contains(said, "--- SKIP") {
			t.Logf("%s is left out:\n%s", p, said)
			missing = true
		}
		samples = append(samples, got...)
	}
	if missing {
		t.Skip("a part was left out")
	}
	results := compare(rows(), samples)
	for _, w := range rows() {
		found := slices.ContainsFunc(results, func(r result) bool {
			return r.What == w.what && (w.tool == "" || r.Theirs != nil && r.Tool == w.title)
		})
		if !found {
			t.Errorf("nothing was measured for %q (%s, %s)", w.what, w.name, w.tool)
		}
	}
	for _, s := range samples {
		if s.Name == "delta.leaked" && s.Value != 0 {
			t.Errorf("%s: %g packets of banned sources came through during a change", s.Backend, s.Value)
		}
	}
}

// rig is what a part measures with.
type rig struct {
	*testing.T
	sizes sizes
	part  part
	tell  func(sample)
}

// of tells a number of this part's backend; without one, of a tool.
func (r *rig) of(name string, value float64) {
	r.tell(sample{Name: name, Backend: r.part.backend, Value: value})
}
