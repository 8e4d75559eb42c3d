// Package oracle gives tests the real fail2ban to compare with: Debian's package, downloaded by apt
// into a cache and unpacked there, never installed and never part of this repository. Unpacked does the same
// for other programs that we have to get along with.
//
// Where the package or a Python interpreter cannot be had, a test that asks for them skips and says
// why. With PALISADE_ORACLE=require it fails instead, so that a machine that must have the oracle
// (CI) cannot lose it unnoticed.
package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// python is Debian's own interpreter: the package's modules were built for it.
const python = "/usr/bin/python3"

// The limits are generous: they end what hangs, they do not measure.
const (
	downloadLimit = 3 * time.Minute
	scriptLimit   = 5 * time.Minute
)

// unpacked is shared by all tests of one binary; the lock file orders the binaries.
var unpacked = sync.OnceValues(func() (string, error) {
	return unpack("fail2ban", []string{"fail2ban"}, "etc/fail2ban/jail.conf")
})

// Fail2ban returns the root of Debian's fail2ban package, unpacked: its configuration is at
// etc/fail2ban below it, its modules at usr/lib/python3/dist-packages, its programs at usr/bin. The
// tree is shared between tests and must not be written to.
func Fail2ban(tb testing.TB) string {
	tb.Helper()
	root, err := unpacked()
	if err != nil {
		missing(tb, err)
	}
	return root
}

// Python runs a script of ours in Debian's interpreter with fail2ban's modules importable, feeds it
// stdin and returns what it wrote to stdout. A script that fails, fails the test.
func Python(tb testing.TB, script string, stdin []byte) []byte {
	tb.Helper()
	cmd := Command(tb, python, "-c", script)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatalf("oracle script: %v\n%s", err, stderr.String())
	}
	return stdout.Bytes()
}

// JSON runs a script as Python does and decodes the JSON that it printed into v.
func JSON(tb testing.TB, script string, stdin []byte, v any) {
	tb.Helper()
	out := Python(tb, script, stdin)
	if err := json.Unmarshal(out, v); err != nil {
		tb.Fatalf("oracle script printed no JSON: %v\n%.2000s", err, out)
	}
}

// Command prepares a program with fail2ban's modules on its path, in UTC and in a UTF-8 locale; the
// caller may add to its Env. It ends with the test.
func Command(tb testing.TB, name string, args ...string) *exec.Cmd {
	tb.Helper()
	root := Fail2ban(tb)
	if _, err := os.Stat(python); err != nil {
		missing(tb, fmt.Errorf("no %s: apt-get install python3", python))
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptLimit)
	tb.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(),
		"PYTHONPATH="+filepath.Join(root, "usr/lib/python3/dist-packages"),
		"PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8", "TZ=UTC")
	return cmd
}

// Program is Command for one of the package's own programs, as "fail2ban-client".
func Program(tb testing.TB, name string, args ...string) *exec.Cmd {
	tb.Helper()
	path := filepath.Join(Fail2ban(tb), "usr/bin", name)
	return Command(tb, python, append([]string{path}, args...)...)
}

func missing(tb testing.TB, err error) {
	tb.Helper()
	if os.Getenv("PALISADE_ORACLE") == "require" {
		tb.Fatalf("nothing real to compare with: %v", err)
	}
	tb.Skipf("nothing real to compare with: %v", err)
}

// Unpacked gives the folder into which Debian's packages of these names are unpacked, without being
// installed; they are downloaded once. The name is that of the folder in the cache. Without them the test
// is skipped, or fails if PALISADE_ORACLE=require.
func Unpacked(tb testing.TB, name string, packages ...string) string {
	tb.Helper()
	root, err := unpack(name, packages, "")
	if err != nil {
		missing(tb, err)
	}
	return root
}

// unpack downloads and unpacks packages unless an earlier run did, which the witness, a file of theirs,
// shows.
func unpack(name string, packages []string, witness string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "palisade-test", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	root := filepath.Join(dir, "root")
	if _, err := os.Stat(filepath.Join(root, witness)); err == nil {
		return root, nil
	}
	return root, download(dir, root, packages)
}

func download(dir, root string, packages []string) error {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("this is no Debian: %w", err)
		}
	}
	tmp, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return fmt.Errorf("make a folder to download into: %w", err)
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(context.Background(), downloadLimit)
	defer cancel()
	if err := run(ctx, tmp, "apt-get", append([]string{"-q", "download"}, packages...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) < len(packages) {
		return errors.Join(errors.New("apt-get download left no package"), err)
	}
	for _, deb := range debs {
		if err := run(ctx, tmp, "dpkg-deb", "-x", deb, filepath.Join(tmp, "root")); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("clear the old copy: %w", err)
	}
	return os.Rename(filepath.Join(tmp, "root"), root)
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %.300s", name, args[0], err, out)
	}
	return nil
}
