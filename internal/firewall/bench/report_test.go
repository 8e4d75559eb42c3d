package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// sample is one measured number, as a part hands it to the process that prints.
type sample struct {
	Name    string  `json:"name"`
	Backend string  `json:"backend,omitempty"`
	Value   float64 `json:"value"` // in the unit of its row
}

// row is a line of the table: what is measured, what it should be, and what it is compared with.
type row struct {
	name  string // of the sample
	what  string
	unit  string
	goal  float64 // not above; negative: none
	tool  string  // the name of the sample it is compared with; empty: none
	times float64 // the tool's sample counts so often: the tool would take too long for as much
	title string  // of the tool
}

// result is a row with numbers, as -json prints it.
type result struct {
	What    string   `json:"what"`
	Backend string   `json:"backend"`
	Unit    string   `json:"unit"`
	Ours    float64  `json:"ours"`
	Goal    *float64 `json:"goal,omitempty"`
	Met     *bool    `json:"met,omitempty"`
	Tool    string   `json:"tool,omitempty"`
	Theirs  *float64 `json:"theirs,omitempty"`
	Ratio   *float64 `json:"ratio,omitempty"` // how many times as much the tool takes
}

// machine says what the numbers were measured on.
type machine struct {
	Kernel string `json:"kernel"`
	Cores  int    `json:"cores"`
	Go     string `json:"go"`
	Load   string `json:"load"` // of the last 1, 5 and 15 minutes, at the end
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	return m
}

// compare makes the lines of the table of the numbers that there are.
func compare(rows []row, samples []sample) (out []result) {
	tools := map[string]float64{}
	for _, s := range samples {
		if s.Backend == "" {
			tools[s.Name] = s.Value
		}
	}
	for _, w := range rows {
		for _, s := range samples {
			if s.Name != w.name || s.Backend == "" {
				continue
			}
			r := result{What: w.what, Backend: s.Backend, Unit: w.unit, Ours: s.Value}
			if w.goal >= 0 {
				met := s.Value <= w.goal
				r.Goal, r.Met = &w.goal, &met
			}
			if theirs, ok := tools[w.tool]; ok {
				theirs *= w.times
				r.Tool, r.Theirs = w.title, &theirs
				if s.Value > 0 {
					ratio := theirs / s.Value
					r.Ratio = &ratio
				}
			}
			out = append(out, r)
		}
	}
	return out
}

func printTable(w io.Writer, m machine, results []result) error {
	fmt.Fprintf(w, "Linux %s, %d cores, %s, load %s\n\n", m.Kernel, m.Cores, m.Go, m.Load)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "WHAT\tBACKEND\tOURS\tGOAL\t\tTHE USUAL TOOL\tTAKES\tRATIO")
	for _, r := range results {
		goal, met, theirs, ratio := "", "", "", ""
		if r.Goal != nil {
			goal, met = "≤ "+number(*r.Goal, r.Unit), "met"
			if !*r.Met {
				met = "MISSED"
			}
		}
		if r.Theirs != nil {
			theirs = number(*r.Theirs, r.Unit)
		}
		if r.Ratio != nil {
			ratio = digits(*r.Ratio) + "×"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.What, r.Backend, number(r.Ours, r.Unit), goal, met, r.Tool, theirs, ratio)
	}
	return tw.Flush()
}

func printJSON(w io.Writer, m machine, results []result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Machine machine  `json:"machine"`
		Results []result `json:"results"`
	}{m, results})
}

// number writes a value with its unit, seconds in the unit that suits them.
func number(v float64, unit string) string {
	if unit != "s" {
		return strings.TrimSpace(digits(v) + " " + unit)
	}
	switch {
	case v < 1e-3:
		return digits(v*1e6) + " µs"
	case v < 1:
		return digits(v*1e3) + " ms"
	case v < 300:
		return digits(v) + " s"
	}
	return digits(v/60) + " min"
}

// digits gives three of them, as far as they are not zeros behind the point.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	decimals := max(2-int(math.Floor(math.Log10(math.Abs(v)))), 0)
	s := fmt.Sprintf("%.*f", decimals, v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// quantile gives the value below which the share q of the values lies.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func median(values []float64) float64 { return quantile(values, 0.5) }
