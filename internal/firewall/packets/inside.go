package packets

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const insideEnv = "PALISADE_TEST_NAMESPACE"

// Inside runs the calling test once more in a process of its own, in a network namespace of its own that
// ends with it, and is true there. In the outer process it reports what the inner one said, and is false.
// Machines that do not allow namespaces skip. Tests that begin with it run beside each other.
func Inside(tb testing.TB) bool {
	tb.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	if t, ok := tb.(*testing.T); ok {
		t.Parallel() // it mostly waits
	}
	cmd := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(tb.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout=5m")
	if _, bench := tb.(*testing.B); bench {
		cmd.Args = []string{os.Args[0], "-test.run=^$", "-test.bench=^" + tb.Name() + "$", "-test.benchmem"}
	}
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	// The inner process dies with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		tb.Skipf("no network namespaces here: %v", err)
	case err != nil:
		tb.Fatalf("in the namespace: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		tb.Skipf("in the namespace:\n%s", out)
	default:
		tb.Logf("in the namespace:\n%s", out)
	}
	return false
}
