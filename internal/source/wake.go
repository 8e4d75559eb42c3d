package source

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nxadm/tail/watch"
)

const (
	// safetyInterval is the longest that a change goes unseen when no event announces it.
	safetyInterval = time.Second
	// pollInterval is how often a file is looked at where there are no events.
	pollInterval = 250 * time.Millisecond
	// restInterval is the least time between two looks: a busy log is read in blocks, not in lines.
	restInterval = 10 * time.Millisecond
	// deafAfter is how many changes may be found by the safety look alone before the file is polled.
	deafAfter = 2
)

// waker waits until a file may have changed. It belongs to one goroutine.
//
// Events come from the inotify tracker that nxadm/tail shares in the process, and only from its three
// functions WatchCreate, Events and RemoveWatchCreate. What else the package offers ends the process
// when a file cannot be examined. The tracker has traps as well; they are kept shut like this:
//
//   - It ends the process when it cannot create its inotify instance. So inotify is tried first, with
//     room for two instances.
//   - It hands events over one by one and waits for the receiver, in the goroutine that also serves
//     registrations: a receiver that pauses stops everybody. So each subscription has a goroutine that
//     does nothing but receive, until the tracker has closed the channel.
//   - A registration that fails leaves a channel behind that nobody receives from, and the counts of
//     a failed and removed one are wrong for ever. So after a failure the channel is removed under the
//     file's own name, which touches no count of its directory.
//   - A watched file that is renamed keeps its watch, and the name cannot be watched again. So files
//     are not watched, only their directories, which report creation, writing and renaming of the
//     names in them. What is written to a renamed file is not reported: it is polled.
//   - Two subscriptions for one name share a channel, and the first to end closes it. So a closed
//     channel is no error, only silence.
//   - A directory that was removed and created again is not watched again while another subscription
//     in it lives. So whoever finds changes that no event announced turns to polling.
type waker struct {
	log  *slog.Logger
	poll bool // polling was asked for
	wake chan struct{}
	subs map[string]*subscription

	last      time.Time // of the last look
	announced bool      // by an event, or sought by polling: the next look
	deaf      int       // changes found without an event
}

// subscription is a name in a directory whose events arrive.
type subscription struct {
	name string
	dir  fileID
	done sync.WaitGroup
}

func newWaker(poll bool, log *slog.Logger) *waker {
	return &waker{log: log, poll: poll, wake: make(chan struct{}, 1), subs: map[string]*subscription{}, announced: true}
}

// names makes the waker listen for changes of exactly these names.
func (w *waker) names(names ...string) {
	wanted := map[string]bool{}
	for _, name := range names {
		name = filepath.Clean(name)
		info, err := os.Stat(filepath.Dir(name))
		if w.poll || err != nil || !info.IsDir() || remote(filepath.Dir(name)) {
			continue
		}
		wanted[name] = true
		if s := w.subs[name]; s != nil {
			if s.dir == idOf(info) {
				continue
			}
			w.unsubscribe(s)
		}
		w.subscribe(name, idOf(info))
	}
	for name, s := range w.subs {
		if !wanted[name] {
			w.unsubscribe(s)
		}
	}
}

func (w *waker) subscribe(name string, dir fileID) {
	if !inotifyWorks() {
		return
	}
	if err := watch.WatchCreate(name); err != nil {
		_ = watch.RemoveWatch(name) // fails always, but takes the channel away
		w.log.Debug("no inotify for a file; it is polled", "source", name, "err", err)
		return
	}
	s := &subscription{name: name, dir: dir}
	w.subs[name] = s
	if events := watch.Events(name); events != nil {
		s.done.Go(func() {
			for range events {
				select {
				case w.wake <- struct{}{}:
				default:
				}
			}
		})
	}
}

func (w *waker) unsubscribe(s *subscription) {
	_ = watch.RemoveWatchCreate(s.name) // fails when the directory is gone, which is fine
	s.done.Wait()
	delete(w.subs, s.name)
}

// stop ends all that was started.
func (w *waker) stop() { w.names() }

// polling reports whether changes are looked for often because no event can be relied on.
func (w *waker) polling() bool { return len(w.subs) == 0 || w.deaf >= deafAfter }

// wait returns when it is time to look again: on an event, or after a while. hurry asks for a short
// while. It fails when ctx ends.
func (w *waker) wait(ctx context.Context, hurry bool) error {
	every := safetyInterval
	if hurry || w.polling() {
		every = pollInterval
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.wake:
		w.announced, w.deaf = true, 0
	case <-timer.C:
		w.announced = every < safetyInterval
	}
	if rest := restInterval - time.Since(w.last); rest > 0 {
		timer.Reset(rest)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

// looked tells w that a look is over, and whether something had changed.
func (w *waker) looked(changed bool) {
	if changed && !w.announced {
		w.deaf++
	}
	w.last, w.announced = time.Now(), true
}

// inotifyWorks reports whether the process can have two more inotify instances.
func inotifyWorks() bool {
	var fds []int
	for range 2 {
		fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
	return len(fds) == 2
}

// remote reports whether path lies on a file system whose changes may be made by another machine, of
// which inotify does not tell. The numbers are those of statfs(2).
func remote(path string) bool {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return false
	}
	switch uint32(st.Type) { //nolint:gosec // the magic numbers have 32 bits
	case 0x6969, // NFS
		0x517b, 0xff534d42, 0xfe534d42, // SMB
		0x65735546,             // FUSE
		0x01021997,             // 9P
		0x00c36400,             // Ceph
		0x5346414f, 0x6b414653, // AFS
		0x73757245, // Coda
		0x0bd00bd0, // Lustre
		0x47504653, // GPFS
		0x786f4256: // VirtualBox shared folders
		return true
	}
	return false
}
