package main

import "os"

// logFile is a log on disk that may be rotated: a line goes to the file that has the log's name when it
// is written, so that nobody has to say that there is a new one. lockedWriter calls it from one
// goroutine at a time.
type logFile struct {
	path string
	file *os.File
}

func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path}
	var err error
	l.file, err = l.open()
	return l, err
}

func (l *logFile) open() (*os.File, error) {
	return os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// Write appends a line. A new file that cannot be opened leaves the old one in use.
func (l *logFile) Write(b []byte) (int, error) {
	if l.moved() {
		if file, err := l.open(); err == nil {
			l.file.Close()
			l.file = file
		}
	}
	return l.file.Write(b)
}

// moved reports whether the name belongs to another file by now, or to none.
func (l *logFile) moved() bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(l.path)
	return err != nil || !os.SameFile(mine, named)
}

func (l *logFile) close() { l.file.Close() }
