package agent

import "sync/atomic"

// atomicError holds the last error of something that runs by itself. It is safe for concurrent use.
type atomicError struct{ p atomic.Pointer[string] }

func (a *atomicError) set(err error) {
	if err == nil {
		a.p.Store(nil)
		return
	}
	s := err.Error()
	a.p.Store(&s)
}

func (a *atomicError) text() string {
	if s := a.p.Load(); s != nil {
		return *s
	}
	return ""
}
