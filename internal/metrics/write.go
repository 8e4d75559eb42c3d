package metrics

import (
	"runtime"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/eventlog"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall/cut"
	"github.com/palisade-agent/palisade/internal/report"
)

// maxSources is how many logs are told one by one, the first by their paths: a pattern may find any number. Their
// number is told for all.
const maxSources = 1000

// writeAgent writes what the agent says of itself.
func writeAgent(e *encoder, version string, st agent.Stats) {
	e.single("palisade_build_info", gauge, "What runs; always 1.", 1, "version", version, "goversion", runtime.Version())
	e.single("palisade_start_time_seconds", gauge, "When the daemon was started, in seconds since 1970.", float64(st.Started.UnixMilli())/1000)
	e.single("palisade_healthy", gauge, "Whether nothing is wrong (1) or something is (0), as agentctl status tells.", flag(len(st.Reasons) == 0))
	e.single("palisade_health_reasons", gauge, "How many things are wrong.", float64(len(st.Reasons)))
	e.single("palisade_config_problems", gauge, "Problems of the configuration, warnings among them.", float64(st.Problems))
	e.single("palisade_config_broken_jails", gauge, "Jails that are enabled and cannot run as written.", float64(st.Broken))
	e.single("palisade_engine_inbox", gauge, "Messages that wait for the engine; the logs wait where it is full.", float64(st.Inbox))
	e.single("palisade_tallies", gauge, "Addresses whose failures are counted, in all jails.", float64(st.Book.Tallies))
	e.single("palisade_bans", gauge, "Bans in memory, with those of jails that do not run.", float64(st.Book.Bans))
	e.single("palisade_histories", gauge, "Addresses whose earlier bans are remembered, in all jails.", float64(st.Book.Histories))
	e.single("palisade_line_bytes", gauge, "Text of log lines that is kept with failures and bans.", float64(st.Book.LineBytes))
	writeJails(e, st.Jails)
	writeScripts(e, st.Jails)
	writeSources(e, st.Sources)
	writeFirewall(e, st)
	e.single("palisade_store_commits_total", counter, "Commits to the database.", float64(st.Commits))
	e.single("palisade_store_commit_failures_total", counter, "Commits that failed; they are tried again.", float64(st.FailedCommits))
}

func writeJails(e *encoder, jails []agent.JailStats) {
	e.single("palisade_jails", gauge, "Jails that run.", float64(len(jails)))
	for _, m := range []struct {
		name, kind, help string
		of               func(agent.JailStats) float64
	}{
		{"lines_total", counter, "Lines that were looked at.", func(j agent.JailStats) float64 { return float64(j.Lines) }},
		{"matched_lines_total", counter, "Lines that are failures.", func(j agent.JailStats) float64 { return float64(j.Matched) }},
		{"ignored_lines_total", counter, "Lines that ignoreregex took out, or that are no failure in themselves.", func(j agent.JailStats) float64 { return float64(j.Ignored) }},
		{"gave_up_total", counter, "Searches that were stopped at the limit of a regex.", func(j agent.JailStats) float64 { return float64(j.GaveUp) }},
		{"failures_total", counter, "Failures that were counted.", func(j agent.JailStats) float64 { return float64(j.TotalFailed) }},
		{"bans_total", counter, "Bans, with those restored at the start.", func(j agent.JailStats) float64 { return float64(j.TotalBanned) }},
		{"banned", gauge, "Bans in force.", func(j agent.JailStats) float64 { return float64(j.CurrentlyBanned) }},
		{"tallies", gauge, "Addresses whose failures are counted.", func(j agent.JailStats) float64 { return float64(j.CurrentlyFailed) }},
	} {
		e.family("palisade_jail_"+m.name, m.kind, m.help)
		for _, j := range jails {
			e.value(m.of(j), "jail", j.Name)
		}
	}
}

func writeScripts(e *encoder, jails []agent.JailStats) {
	for _, m := range []struct {
		name, kind, help string
		of               func(action.Status) float64
	}{
		{"commands_total", counter, "Commands of scripts that have ended.", func(s action.Status) float64 { return float64(s.Executed) }},
		{"command_failures_total", counter, "Commands of scripts that failed.", func(s action.Status) float64 { return float64(s.Failed) }},
		{"command_timeouts_total", counter, "Commands of scripts that took too long.", func(s action.Status) float64 { return float64(s.TimedOut) }},
		{"dropped_total", counter, "Bans and the like that a script was not told of, since too many waited.", func(s action.Status) float64 { return float64(s.Dropped) }},
		{"waiting", gauge, "Bans and the like that have not had their turn.", func(s action.Status) float64 { return float64(s.Waiting) }},
	} {
		e.family("palisade_action_"+m.name, m.kind, m.help)
		for _, j := range jails {
			for _, s := range j.Scripts {
				e.value(m.of(s), "jail", j.Name, "action", s.Name)
			}
		}
	}
}

func writeSources(e *encoder, sources []agent.SourceStats) {
	e.family("palisade_sources", gauge, "Logs, by how their reading stands.")
	states := map[string]int{}
	var order []string
	for _, s := range sources {
		if states[s.State] == 0 {
			order = append(order, s.State)
		}
		states[s.State]++
	}
	for _, state := range order {
		e.value(float64(states[state]), "state", state)
	}
	sources = sources[:min(len(sources), maxSources)]
	for _, m := range []struct {
		name, kind, help string
		of               func(agent.SourceStats) (float64, bool)
	}{
		{"following", gauge, "Whether the log is being read.", func(s agent.SourceStats) (float64, bool) { return flag(s.State == "following"), true }},
		{"behind_bytes", gauge, "Bytes of a file that are not read yet.", func(s agent.SourceStats) (float64, bool) { return float64(max(s.Size-s.Offset, 0)), s.Jail == "" }},
		{"lines_total", counter, "Lines that were read.", func(s agent.SourceStats) (float64, bool) { return float64(s.Lines), true }},
		{"errors_total", counter, "How often reading ended with an error, and began again.", func(s agent.SourceStats) (float64, bool) { return float64(s.Failures), true }},
	} {
		e.family("palisade_source_"+m.name, m.kind, m.help)
		for _, s := range sources {
			if v, has := m.of(s); has {
				e.value(v, "source", s.Path, "jail", s.Jail)
			}
		}
	}
}

func writeFirewall(e *encoder, st agent.Stats) {
	f := st.Firewall
	e.single("palisade_firewall_info", gauge, "Which firewall is used; always 1.", 1, "backend", f.Backend)
	e.single("palisade_firewall_healthy", gauge, "Whether the kernel holds what it should (1).", flag(f.Err == nil))
	e.single("palisade_firewall_elements", gauge, "Elements that the kernel has acknowledged.", float64(f.Elements))
	e.single("palisade_firewall_desired", gauge, "Elements that are wished.", float64(f.Desired))
	e.single("palisade_firewall_memory_bytes", gauge, "About how much of the kernel's memory they take; 0 where that is not known.", float64(f.Memory))
	e.single("palisade_firewall_batch_seconds", gauge, "How long the last change of elements took, until the kernel had acknowledged it.", f.Last.Took.Seconds())
	e.single("palisade_firewall_batch_elements", gauge, "Elements of the last change.", float64(f.Last.Changes))
	e.single("palisade_firewall_pending", gauge, "Changes that wait for the kernel.", float64(f.Pending))
	e.single("palisade_firewall_rebuilds_total", counter, "How often all was made anew, since another program had changed it.", float64(f.Rebuilds))
	e.single("palisade_firewall_errors_total", counter, "How often the kernel refused a change, which is tried again.", float64(f.Retries))
	e.family("palisade_firewall_set_elements", gauge, "Elements of each set of the kernel.")
	for _, s := range f.Sets {
		e.value(float64(s.Count), "set", s.Name)
	}
}

func writeEvents(e *encoder, st eventlog.Stats) {
	e.single("palisade_event_file_healthy", gauge, "Whether the event file takes lines (1).", flag(st.Err == nil))
	e.single("palisade_event_file_lines_total", counter, "Lines written to the event file.", float64(st.Written))
	e.single("palisade_event_file_lost_total", counter, "Events that found no room while the event file could not be written.", float64(st.Lost))
	e.single("palisade_event_file_waiting_bytes", gauge, "Lines that wait for the event file.", float64(st.Waiting))
}

func writeCut(e *encoder, st cut.Status) {
	e.family("palisade_cut_total", counter, "Open connections of banned addresses that were ended: sockets of this host, and flows of connection tracking.")
	e.value(float64(st.Sockets), "what", "socket")
	e.value(float64(st.Flows), "what", "flow")
	e.single("palisade_cut_failures_total", counter, "Open connections that the kernel would not end, and looks for them that failed.", float64(st.Failures))
	e.single("palisade_cut_dropped_total", counter, "Bans whose open connections were left alone, since too many waited.", float64(st.Dropped))
	e.single("palisade_cut_missing", gauge, "How much of it this kernel, or this process, cannot do.", float64(len(st.Missing)))
}

// writeReports writes how destinations stand, each with what waits for it.
func writeReports(e *encoder, all []report.DestinationStatus) {
	e.family("palisade_report_waiting", gauge, "Reports that wait to be sent.")
	for _, d := range all {
		e.value(float64(d.Waiting), "destination", d.Name)
	}
	e.family("palisade_report_healthy", gauge, "Whether nothing keeps reports from being sent (1).")
	for _, d := range all {
		e.value(flag(d.Trouble == ""), "destination", d.Name)
	}
	e.family("palisade_report_done_total", counter, "Reports that are at their end.")
	for _, d := range all {
		for _, r := range []struct {
			name string
			n    uint64
		}{{"sent", d.Counts.Sent}, {"known", d.Counts.Known}, {"refused", d.Counts.Refused}, {"cancelled", d.Counts.Cancelled}, {"lost", uint64(max(d.Lost, 0))}} {
			e.value(float64(r.n), "destination", d.Name, "result", r.name)
		}
	}
	e.family("palisade_report_failures_total", counter, "Tries that failed; they are repeated.")
	for _, d := range all {
		e.value(float64(d.Counts.Failed), "destination", d.Name)
	}
}

// writeFeeds writes how lists stand, feeds and allowlists.
func writeFeeds(e *encoder, all []feed.Status, now time.Time) {
	each := func(name, kind, help string, value func(feed.Status) (float64, bool)) {
		e.family(name, kind, help)
		for _, s := range all {
			if v, known := value(s); known {
				e.value(v, "feed", s.Source.Name)
			}
		}
	}
	number := func(f func(feed.Status) float64) func(feed.Status) (float64, bool) {
		return func(s feed.Status) (float64, bool) { return f(s), true }
	}
	each("palisade_feed_healthy", gauge, "Whether the last try brought the list.", number(func(s feed.Status) float64 { return flag(s.Err == nil && s.State != feed.Over) }))
	each("palisade_feed_entries", gauge, "Entries of the list.", number(func(s feed.Status) float64 { return float64(s.Entries) }))
	each("palisade_feed_ranges", gauge, "Ranges of addresses that are blocked or allowed by the list.", number(func(s feed.Status) float64 { return float64(s.Blocked) }))
	each("palisade_feed_age_seconds", gauge, "Time since the last good answer.", func(s feed.Status) (float64, bool) {
		return now.Sub(s.Fetched).Seconds(), !s.Fetched.IsZero()
	})
	each("palisade_feed_fetches_total", counter, "Good answers.", number(func(s feed.Status) float64 { return float64(s.Fetches) }))
	each("palisade_feed_errors_total", counter, "Tries that brought no list.", number(func(s feed.Status) float64 { return float64(s.Errors) }))
}
