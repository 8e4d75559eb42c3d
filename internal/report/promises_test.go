package report_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/report"
)

func TestWhatIsAllowedMeanwhileIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, kept := newTaker(), newMemory()
		var facts report.Facts
		d := report.NewDesk(report.Options{Store: kept, Facts: func() report.Facts { return facts }})
		d.Set([]report.Setup{{Rules: rules(nil), Destination: k}})
		stage(t, d, kept, ban("8.8.8.8"), ban("9.9.9.9"))
		facts.Allow = cidr.Of(netip.MustParsePrefix("8.8.8.0/24"))
		go func() { _ = d.Run(t.Context()) }()
		pass(time.Hour)
		if got := k.all(); !strings.HasPrefix(got, "9.9.9.9") || strings.Contains(got, "8.8.8.8") {
			t.Errorf("told: %s", got)
		}
		r, err := d.Show(1)
		if err != nil || r.State != report.Cancelled || r.Detail != "it is allowed" {
			t.Errorf("%+v %v", r, err)
		}
	})
}

func TestAJailThatIsNoLongerNamedIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		d.stage(ban("8.8.8.8"))
		d.Set([]report.Setup{{Rules: rules(func(r *report.Rules) { r.Jails = []string{"nginx-*"} }), Destination: k}})
		pass(time.Hour)
		if k.all() != "" || d.states() != "8.8.8.8 cancelled" {
			t.Errorf("told %s; states %s", k.all(), d.states())
		}
	})
}

func TestABanLiftedWhileItsReportIsUnderWayIsNotReportedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, kept := newTaker(), newMemory()
		var d *desk
		k.answer = func(r report.Report) report.Result {
			rows := d.Cancel("sshd", netip.PrefixFrom(r.Addr, 32))
			if len(rows) != 0 {
				t.Error("a report that is under way was cancelled: it may arrive")
			}
			return report.Result{Kind: report.Later, Status: 503}
		}
		d = newDesk(t, kept, report.Setup{Rules: rules(nil), Destination: k})
		d.stage(ban("8.8.8.8"))
		pass(24 * time.Hour)
		if k.all() != "8.8.8.8 5m0s" || d.states() != "8.8.8.8 cancelled" {
			t.Errorf("told %s; states %s", k.all(), d.states())
		}
		d.stop()
		d = newDesk(t, kept, report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		pass(24 * time.Hour)
		if k.all() != "8.8.8.8 5m0s" {
			t.Errorf("told after a restart: %s", k.all())
		}
	})
}

func TestOnlyWhatWaitsOrWasRefusedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		k.answer = func(r report.Report) report.Result {
			if r.Addr.String() == "9.9.9.9" {
				return report.Result{Kind: report.Refused, Status: 422}
			}
			return report.Result{Kind: report.Sent, Status: 200}
		}
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		d.stage(ban("8.8.8.8"), ban("9.9.9.9"))
		pass(10 * time.Minute)
		d.stage(ban("1.1.1.1"), ban("1.0.0.1"))
		if err := d.kept.CommitOutbox(d.Cancel("sshd", netip.MustParsePrefix("1.1.1.1/32"))); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Drop([]uint64{4}, ""); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		for id, why := range map[uint64]string{1: "has been sent", 3: "is cancelled (the ban was lifted)", 4: "is dropped (by an operator)"} {
			if n, err := d.Retry([]uint64{id}); n != 0 || !errors.Is(err, report.ErrNotAgain) || !strings.Contains(err.Error(), why) {
				t.Errorf("%d: %d %v", id, n, err)
			}
		}
		if n, err := d.Retry([]uint64{99}); n != 0 || !errors.Is(err, report.ErrNoReport) {
			t.Error(n, err)
		}
		if n, err := d.Retry([]uint64{2}); n != 1 || err != nil {
			t.Error(n, err)
		}
		pass(time.Minute)
		if got := strings.Count(k.all(), "9.9.9.9"); got != 2 {
			t.Errorf("told: %s", k.all())
		}
	})
}

func TestAFloodOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, kept := newTaker(), newMemory()
		setup := report.Setup{Rules: rules(func(r *report.Rules) { r.Flood, r.Hold = 3, 0 }), Destination: k}
		k.answer = func(report.Report) report.Result { return report.Result{Kind: report.Later, Status: 503} }
		d := newDesk(t, kept, setup)
		for _, addr := range []string{"1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4", "1.0.0.5"} {
			d.stage(ban(addr))
			time.Sleep(time.Second)
		}
		d.stop()
		before := k.all()
		d = newDesk(t, kept, setup)
		defer d.stop()
		pass(9 * time.Minute)
		if k.all() != before || !strings.Contains(d.Status()[0].Trouble, "more than 3 addresses") {
			t.Errorf("told %s; %+v", k.all(), d.Status())
		}
		pass(2 * time.Minute)
		if k.all() == before || d.Status()[0].Trouble != "" {
			t.Errorf("told %s; %+v", k.all(), d.Status())
		}
	})
}

// TestWhatIsDroppedStaysDropped: the row of an earlier try is still to be written when a report is dropped.
func TestWhatIsDroppedStaysDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, kept := newTaker(), newMemory()
		k.answer = func(report.Report) report.Result {
			kept.fail(errors.New("disk full"))
			return report.Result{Kind: report.Later, Status: 503}
		}
		d := newDesk(t, kept, report.Setup{Rules: rules(nil), Destination: k})
		d.stage(ban("8.8.8.8"), ban("9.9.9.9"))
		pass(5*time.Minute + time.Second)
		kept.fail(nil)
		if n, err := d.Drop([]uint64{1}, ""); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := kept.CommitOutbox(d.Cancel("sshd", netip.MustParsePrefix("9.9.9.9/32"))); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		d.stop()
		told := k.all()
		d = newDesk(t, kept, report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		pass(24 * time.Hour)
		if k.all() != told || d.states() != "8.8.8.8 dropped, 9.9.9.9 cancelled" {
			t.Errorf("told %s; states %s", k.all(), d.states())
		}
	})
}

func TestManyReportsAreListedAndShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: newTaker()})
		defer d.stop()
		a := netip.MustParseAddr("20.0.0.0")
		var bans []report.Ban
		for range 2500 {
			a = a.Next()
			bans = append(bans, ban(a.String()))
		}
		if n := d.stage(bans...); n != 2500 {
			t.Fatal(n)
		}
		all, err := d.List(report.Query{})
		if err != nil || len(all) != 2500 || all[0].Report.ID != 2500 || all[2499].Report.ID != 1 {
			t.Error(len(all), err)
		}
		for _, q := range []struct {
			report.Query
			want int
		}{
			{report.Query{Limit: 7}, 7},
			{report.Query{Destination: "d", State: report.Waiting}, 2500},
			{report.Query{Destination: "other"}, 0},
			{report.Query{State: report.IsSent}, 0},
			{report.Query{Addr: a}, 1},
		} {
			if all, err := d.List(q.Query); err != nil || len(all) != q.want || q.want > 0 && all[0].Report.ID != 2500 {
				t.Errorf("%+v: %d %v", q.Query, len(all), err)
			}
		}
		if r, err := d.Show(1234); err != nil || r.Report.Addr.String() != "20.0.4.210" {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// taken is a Retractor.
type taken struct {
	*taker
	back []netip.Addr
}

func (k *taken) Retract(_ context.Context, a netip.Addr) (string, error) {
	k.back = append(k.back, a)
	return "done", nil
}

func TestWhatWasSaidIsTakenBackAndWhatWaitsIsNotSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		able, unable := &taken{taker: newTaker()}, newTaker()
		named := func(name string) report.Rules {
			return rules(func(r *report.Rules) { r.Name, r.Dedupe = name, time.Minute })
		}
		d := newDesk(t, newMemory(), report.Setup{Rules: named("able"), Destination: able}, report.Setup{Rules: named("unable"), Destination: unable})
		defer d.stop()
		d.stage(ban("8.8.8.8"), ban("9.9.9.9"))
		pass(10 * time.Minute)
		d.stage(ban("8.8.8.8"), ban("1.1.1.1"))
		told := able.all()
		all, err := d.Retract(t.Context(), netip.MustParseAddr("::ffff:8.8.8.8"))
		if err != nil || len(all) != 2 || all[0].Detail != "done" || all[0].Err != nil || all[1].Err == nil {
			t.Errorf("%+v %v", all, err)
		}
		if all, err = d.Retract(t.Context(), netip.MustParseAddr("1.1.1.1")); err != nil || len(all) != 0 {
			t.Errorf("of one that nobody was told of: %+v %v", all, err)
		}
		pass(time.Hour)
		if able.all() != told || len(able.back) != 1 {
			t.Errorf("told %s; taken back %v", able.all(), able.back)
		}
	})
}

// stage writes the rows of bans, as the engine does.
func stage(t *testing.T, d *report.Desk, kept *memory, bans ...report.Ban) {
	t.Helper()
	rows := d.Stage(bans)
	if err := kept.CommitOutbox(rows); err != nil {
		t.Fatal(err)
	}
	d.Stored(rows)
}

func TestReportsThatAreDoneAreForgottenAfterAMonthWhoeverIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newMemory()
		d := newDesk(t, kept, report.Setup{Rules: rules(nil), Destination: newTaker()})
		d.stage(ban("8.8.8.8"))
		pass(20 * 24 * time.Hour)
		d.stage(ban("9.9.9.9"))
		pass(9 * 24 * time.Hour)
		if d.states() != "8.8.8.8 sent, 9.9.9.9 sent" {
			t.Errorf("states: %s", d.states())
		}
		pass(2 * 24 * time.Hour)
		if d.states() != "9.9.9.9 sent" {
			t.Errorf("states: %s", d.states())
		}
		d.stop()
		pass(30 * 24 * time.Hour)
		d = newDesk(t, kept)
		defer d.stop()
		synctest.Wait()
		if d.states() != "" {
			t.Errorf("states: %s", d.states())
		}
	})
}
