package source

import (
	"context"
	"log/slog"
	"time"
)

// Position is how far a path has been read. Two positions can be compared with ==. The zero Position
// stands for nothing read yet.
type Position struct {
	// Path is the path as it was given to NewFile. The file read may have another name by now.
	Path string
	// Device and Inode say which file it is. An Inode of 0 means unknown: then First alone decides,
	// as with a position taken over from fail2ban.
	Device, Inode uint64
	// Offset is the number of bytes read, and so the start of the first line not yet delivered.
	Offset int64
	// First is the SHA-1 of the file's first line with its newline, or of the first MiB when it is
	// longer. It is zero until the file has a whole line.
	First [20]byte
	// Other is the second file while two are read: around a rotation the one renamed and the one
	// that took its path. Its Inode is 0 when only one file is read. A position stored without it
	// may repeat or miss lines, but only when the reader stops within the grace period of a
	// rotation and both files get lines at that time.
	Other Place
	// Cursor is the place in the journal, in journald's spelling; all but Path is zero then. Empty for
	// files.
	Cursor string
}

// Place is how far one file has been read, whatever its name.
type Place struct {
	Device, Inode uint64
	Offset        int64
	First         [20]byte
}

// place returns the file that p names first.
func (p Position) place() Place {
	return Place{Device: p.Device, Inode: p.Inode, Offset: p.Offset, First: p.First}
}

// Covers reports whether a reader that has come to p has had the line that ends at end in the file
// that at names.
func (p Position) Covers(at Position, end int64) bool {
	for _, place := range []Place{p.place(), p.Other} {
		if place.Inode == at.Inode && place.Device == at.Device && place.First == at.First {
			return end <= place.Offset
		}
	}
	return false
}

// Line is one line of a log.
type Line struct {
	// Text is the line without its CR and LF and without NULs at its beginning. It is valid only
	// during the call that delivers it.
	Text []byte
	// End is the offset behind the line's newline in its file.
	End int64
	// Truncated says that the line was longer than FileOptions.MaxLine and Text is its beginning.
	Truncated bool
}

// Batch is what one read of a file gave. All its lines are of the file named by Pos.
type Batch struct {
	// Pos is the position behind the last line.
	Pos Position
	// Lines holds at most 4,096 lines. It is empty only in a batch that reports the end of the file.
	Lines []Line
	// InOperation is false for what was in the file when reading began: it becomes true when the
	// reader has come to the end of a file with content, and is true from the start with Tail.
	InOperation bool
	// EOF says that nothing was left to read when the batch was read.
	EOF bool
}

// DeliverFunc takes the lines of a file. It may block; reading waits for it. When it returns nil the
// batch counts as delivered, any error ends Run.
type DeliverFunc = func(context.Context, Batch) error

// Defaults of FileOptions.
const (
	defaultMaxLine = 16 << 10
	defaultBlock   = 256 << 10
	// defaultGrace outlasts the reopening of files by a daemon that logrotate has signalled.
	defaultGrace = 30 * time.Second
)

// FileOptions says which file to follow and how. Only Path is needed.
type FileOptions struct {
	// Path is the file to follow. It need not exist yet. A symbolic link is followed, also when it
	// comes to point elsewhere.
	Path string
	// Starts are positions to go on from, for instance one per jail. Reading starts at the lowest, so
	// a reader that is ahead sees lines again (see Position.Covers). One that is zero, or whose file
	// is found neither at Path nor beside it, asks for all that Since asks for.
	Starts []Position
	// Tail starts at the end of the file; Starts and Since are ignored. A file that did not exist
	// when Run began is read from its beginning.
	Tail bool
	// Since is the time of the oldest line that matters where there is no position. Zero: all do.
	Since time.Time
	// TimeOf tells the time of a line, for the search for Since. It is called by Run.
	TimeOf func(line []byte) (time.Time, bool)
	// MaxLine is the number of bytes of a line that are delivered. Default: 16 KiB.
	MaxLine int
	// Block is the number of bytes read at once. Default: 256 KiB, at least 2×MaxLine.
	Block int
	// Grace is how long a rotated file must have been quiet before it is closed. Default: 30 s.
	Grace time.Duration
	// Poll looks at the file four times a second and leaves inotify alone. It is chosen by itself on
	// network file systems and where inotify is not to be had.
	Poll bool
	// Log gets what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

// withDefaults returns o with every default in place.
func (o FileOptions) withDefaults() FileOptions {
	if o.MaxLine <= 0 {
		o.MaxLine = defaultMaxLine
	}
	if o.Block <= 0 {
		o.Block = defaultBlock
	}
	o.Block = max(o.Block, 2*o.MaxLine)
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// State says what a File finds at its path.
type State uint8

// The states of a File.
const (
	Idle      State = iota // Run is not running
	Following              // the file is open
	Missing                // there is no file at the path
	Denied                 // permission to read it is missing
	Failed                 // something else is wrong: see FileStatus.Err
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case Following:
		return "following"
	case Missing:
		return "missing"
	case Denied:
		return "denied"
	case Failed:
		return "failed"
	default:
		return "idle"
	}
}

// FileStatus is what a File has done so far, over all its runs.
type FileStatus struct {
	State State
	// Err says why the file cannot be read when State is Denied or Failed.
	Err error
	// Pos is the position behind the last line delivered.
	Pos Position
	// Size is the size in bytes of the file that Pos names when it was last looked at.
	Size int64
	// InOperation is that of the next batch.
	InOperation bool
	// Lines and Bytes were delivered; Truncated of the lines were cut to MaxLine.
	Lines, Bytes, Truncated int64
	// Rotations counts files that took the path of another, Truncations files that became shorter,
	// Unfinished last lines without newline that were given up with their file.
	Rotations, Truncations, Unfinished int64
	// Polling says that changes are looked for four times a second rather than announced by inotify.
	Polling bool
}
