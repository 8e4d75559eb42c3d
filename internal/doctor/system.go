package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// leastRoom is what a database of some thousand bans needs, with what a commit copies.
	leastRoom = 16 << 20
	// fairRoom is what one of 100,000 bans needs.
	fairRoom = 200 << 20
	// firstYear is before any clock that is right.
	firstYear = 2025
)

// database looks whether agentd can keep its bans.
func (x *exam) database(context.Context) {
	path := x.o.Database
	if x.agentd {
		path = x.daemon.Database
	}
	f := Finding{Check: "database", About: path}
	if st, err := os.Stat(path); err == nil {
		switch mode := st.Mode(); {
		case !mode.IsRegular():
			f.Found, f.Next = "it is no file", "move it away"
			x.bad(f)
			return
		case mode.Perm()&0o077 != 0:
			x.warn(Finding{Check: "database", About: path, Found: fmt.Sprintf("other users may read it: it has the mode %04o", mode.Perm()), Next: "chmod 600 " + path})
		}
	}
	folder := filepath.Dir(path)
	for {
		_, err := os.Stat(folder)
		if !errors.Is(err, fs.ErrNotExist) || folder == filepath.Dir(folder) {
			break
		}
		folder = filepath.Dir(folder) // agentd makes it
	}
	if st, err := os.Stat(folder); err == nil && !st.IsDir() {
		f.Found, f.Next = folder+" is no folder", "move it away"
		x.bad(f)
		return
	}
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		f.Found, f.Next = fmt.Sprintf("cannot write to %s: %v", folder, err), "make it writable for root: look whether the disk is mounted read-only"
		x.forbidden(f)
		return
	}
	room, err := x.m.Free(folder)
	switch {
	case err != nil:
		f.Found, f.Next = err.Error(), "look with df "+folder
		x.warn(f)
	case room < leastRoom:
		f.Found, f.Next = fmt.Sprintf("the disk is full, %d MiB are left: bans would not outlive a restart", room>>20), "make room: df "+folder
		x.bad(f)
	case room < fairRoom:
		f.Found, f.Next = fmt.Sprintf("%d MiB are left on the disk", room>>20), "make room: df "+folder
		x.warn(f)
	default:
		f.Found = fmt.Sprintf("%s is writable, %d MiB are left", folder, room>>20)
		x.ok(f)
	}
}

// clock looks whether the times that are compared with those of the logs are right.
func (x *exam) clock(context.Context) {
	f := Finding{Check: "clock"}
	now := x.m.Now()
	if now.Year() < firstYear {
		f.Found, f.Next = "it is wrong: "+now.Format(time.DateOnly), "set it: timedatectl set-ntp true"
		x.bad(f)
		return
	}
	right, off, err := x.m.Synchronised()
	zone, _ := now.Zone()
	switch {
	case err != nil:
		f.Found, f.Next = err.Error(), "look with timedatectl"
		x.warn(f)
	case !right:
		f.Found, f.Next = "nothing keeps it right: bans begin and end by it", "timedatectl set-ntp true; in a virtual machine or container, see that the host does"
		x.warn(f)
	default:
		f.Found = fmt.Sprintf("synchronised to within %v, zone %s", off.Round(time.Millisecond), zone)
		x.ok(f)
	}
}
