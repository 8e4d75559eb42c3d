package replay_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/replay"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// said is a log of lines, each written so many seconds after noon; a negative number leaves the date out.
func said(lines ...any) string {
	var b strings.Builder
	for i := 0; i < len(lines); i += 2 {
		if s, ok := lines[i].(int); ok && s >= 0 {
			b.WriteString(noon.Add(time.Duration(s) * time.Second).Format("2006-01-02 15:04:05 "))
		}
		fmt.Fprintln(&b, lines[i+1])
	}
	return b.String()
}

// run replays logs of these texts through one jail that bans after two failures in ten minutes.
func run(t *testing.T, change func(*replay.Options), texts ...string) *replay.Result {
	t.Helper()
	o := replay.Options{Jails: []replay.Jail{{
		Policy: jail.Policy{Jail: "app", MaxRetry: 2, FindTime: 10 * time.Minute, BanTime: time.Hour},
		Filter: past(t, `^\s*failure from <HOST>$`, noon),
	}}}
	for i, text := range texts {
		o.Logs = append(o.Logs, replay.Log{Name: fmt.Sprint("log", i), Written: noon.Add(24 * time.Hour), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
	}
	if change != nil {
		change(&o)
	}
	r, err := replay.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWhatIsNotCountedIsTold: each reason has its number, and no failure is in two.
func TestWhatIsNotCountedIsTold(t *testing.T) {
	r := run(t, func(o *replay.Options) {
		o.Latest = noon.Add(24 * time.Hour)
		o.Jails[0].Ignored = func(_ context.Context, id ident.ID) bool { return id.String() == "192.0.2.9" }
	}, said(
		-1, "failure from 192.0.2.1", // no date before it
		0, "failure from 192.0.2.9",
		1000, "failure from 192.0.2.2",
		200, "failure from 192.0.2.2", // out of order by more than findtime
		700, "failure from 192.0.2.2", // and by less
		1010, "failure from 192.0.2.2", // who is banned
		1020, "failure from host.invalid",
		90_000, "failure from 192.0.2.3", // later than any line can be
		1030, "failure from 192.0.2.3",
		1031, "nothing",
	))
	j := r.Jails[0]
	if j.Lines != 10 || j.Matched != 9 || j.Undated != 1 || j.Ignored != 1 || j.TooOld != 1 || j.Kept != 1 || j.Names != 1 || j.Ahead != 1 || j.Failures != 5 || j.Banned != 2 {
		t.Errorf("%+v", j)
	}
	if len(j.Bans) != 2 || j.Bans[1].ID != "192.0.2.3" || !j.Bans[1].Time.Equal(noon.Add(1030*time.Second)) {
		t.Errorf("%+v", j.Bans)
	}
}

// TestNamesAreAskedForIfThereIsAResolver and count for each address.
func TestNamesAreAskedForIfThereIsAResolver(t *testing.T) {
	text := said(0, "failure from host.example", 1, "failure from host.example")
	r := run(t, func(o *replay.Options) {
		o.Resolve = func(_ context.Context, host string) []ident.ID {
			if host != "host.example" {
				t.Errorf("asked for %q", host)
			}
			return []ident.ID{ident.Parse("192.0.2.1"), ident.Parse("2001:db8::1")}
		}
	}, text)
	if j := r.Jails[0]; j.Banned != 2 || j.Names != 0 || j.Failures != 4 {
		t.Errorf("%+v", j)
	}
}

// TestLimitBoundsWhatIsToldNotWhatIsCounted.
func TestLimitBoundsWhatIsToldNotWhatIsCounted(t *testing.T) {
	var lines []any
	for i := range 20 {
		lines = append(lines, i, fmt.Sprintf("failure from 192.0.2.%d", i/2))
	}
	for limit, want := range map[int]int{0: 10, -1: 10, 3: 3} {
		r := run(t, func(o *replay.Options) { o.Limit = limit }, said(lines...))
		if j := r.Jails[0]; j.Banned != 10 || len(j.Bans) != want {
			t.Errorf("limit %d: %d of %d bans", limit, len(j.Bans), j.Banned)
		}
	}
}

// TestEscalationRunsInTheLogsTime: the second ban is longer, and one that is banned when it fails enough
// again is banned on.
func TestEscalationRunsInTheLogsTime(t *testing.T) {
	r := run(t, func(o *replay.Options) {
		o.Jails[0].Policy.BanTime = time.Minute
		o.Jails[0].Policy.Increment = jail.Increment{Enabled: true, Factor: 1, Multipliers: []float64{1, 5}}
	}, said(0, "failure from 192.0.2.1", 1, "failure from 192.0.2.1", 200, "failure from 192.0.2.1", 201, "failure from 192.0.2.1"))
	b := r.Jails[0].Bans
	if len(b) != 2 || b[0].Duration != 60 || b[0].Count != 1 || b[1].Duration != 300 || b[1].Count != 2 {
		t.Errorf("%+v", b)
	}
}

// TestLinesAreReadAsByTheDaemon: holes of truncated logs, long lines, several carriage returns, bytes that
// are no text, and a last line without its end.
func TestLinesAreReadAsByTheDaemon(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	r := run(t, nil, strings.Repeat("\x00", 2<<20)+said(0, "failure from 192.0.2.1\r\r")+long+"\n"+said(1, "nothing \xff\xfe")+strings.TrimSuffix(said(2, "failure from 192.0.2.1"), "\n"))
	if j := r.Jails[0]; j.Lines != 4 || j.Banned != 1 || j.Bans[0].First.Line != 1 || j.Bans[0].Last.Line != 4 {
		t.Errorf("%+v", j)
	}
}

// TestSeveralLogsAreMergedByTime, and what is read is told when it is interrupted.
func TestSeveralLogsAreMergedByTime(t *testing.T) {
	first, second := said(0, "failure from 192.0.2.1", 20, "failure from 192.0.2.2"), said(10, "failure from 192.0.2.2", 700, "failure from 192.0.2.1")
	r := run(t, nil, second, first)
	if j := r.Jails[0]; j.Banned != 1 || j.Bans[0].ID != "192.0.2.2" || j.Bans[0].First.Log != "log0" || j.Bans[0].Last.Log != "log1" || len(j.Logs) != 2 {
		t.Errorf("%+v", j)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	o := replay.Options{Jails: []replay.Jail{{Policy: jail.Policy{Jail: "app"}, Filter: past(t, "<HOST>", noon)}}, Logs: []replay.Log{{Name: "x", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("line\n", 10_000))), nil
	}}}}
	if r, err := replay.Run(ctx, o); err != nil || !r.Interrupted || r.Lines == 0 || r.Lines > 1000 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestComparisonNamesEachKind of difference.
func TestComparisonNamesEachKind(t *testing.T) {
	text := said(0, "failure from 192.0.2.1", 5, "failure from 192.0.2.1", 6, "failure from 192.0.2.2", 20, "failure from 192.0.2.3", 25, "failure from 192.0.2.3")
	with := func(maxRetry int, bantime time.Duration, ignored string) *replay.Result {
		return run(t, func(o *replay.Options) {
			o.Compare = true
			o.Jails[0].Policy.MaxRetry, o.Jails[0].Policy.BanTime = maxRetry, bantime
			o.Jails[0].Ignored = func(_ context.Context, id ident.ID) bool { return id.String() == ignored }
		}, text)
	}
	kinds := func(c *replay.Comparison) string {
		var all []string
		for _, x := range c.Changes {
			all = append(all, x.ID+" "+x.Kind)
		}
		return strings.Join(all, ", ")
	}
	base := with(2, time.Hour, "")
	for _, c := range []struct {
		other *replay.Result
		want  string
	}{
		{with(2, time.Hour, ""), ""},
		{with(1, time.Hour, ""), "192.0.2.2 banned, 192.0.2.1 earlier, 192.0.2.3 earlier"},
		{with(2, time.Hour, "192.0.2.1"), "192.0.2.1 spared"},
		{with(2, -1, ""), "192.0.2.1 longer, 192.0.2.3 longer"},
		{with(2, time.Minute, ""), "192.0.2.1 shorter, 192.0.2.3 shorter"},
	} {
		d := replay.Compare(base, c.other, -1)
		if got := kinds(d); got != c.want || d.Differs() != (c.want != "") {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if d := replay.Compare(base, with(2, -1, ""), 1); len(d.Changes) != 1 || d.Changed["longer"] != 2 {
		t.Errorf("%+v", d)
	}
	if d := replay.Compare(with(1, time.Hour, ""), base, -1); kinds(d) != "192.0.2.1 later, 192.0.2.3 later, 192.0.2.2 spared" {
		t.Error(kinds(d))
	}
}
