package pyre

import (
	"time"

	"github.com/dlclark/regexp2/v2"
)

// clockPeriod is how often regexp2 looks at the clock. Its own default of 100 ms would make a limit
// of 20 ms a limit of 120.
const clockPeriod = 2 * time.Millisecond

// The period is set once and before any search can run, because regexp2 reads it without a lock.
var _ = func() struct{} { //nolint:unparam // a variable needs a value
	regexp2.SetTimeoutCheckPeriod(clockPeriod)
	return struct{}{}
}()

// HoldClock starts the clock behind the time limit and keeps it for d; without it the clock starts
// with a search and ends a second after the last one.
//
// It is for tests under testing/synctest: a clock that started inside of a bubble would outlive the
// bubble, and run on the bubble's time. Call it in TestMain, with more than the tests can take.
func HoldClock(d time.Duration) {
	re := regexp2.MustCompile("")
	re.MatchTimeout = d
	// An empty pattern always matches: only the deadline it leaves behind counts.
	_, _ = re.MatchString("")
}
