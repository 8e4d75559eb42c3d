package bench

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNumbersAreWrittenAsPeopleDo(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{4.4781e-6, "s", "4.48 µs"},
		{38.2e-6, "s", "38.2 µs"},
		{0.5, "s", "500 ms"},
		{1.5, "s", "1.5 s"},
		{92.41, "s", "92.4 s"},
		{924, "s", "15.4 min"},
		{0, "", "0"},
		{65677, "", "65677"},
		{0.31, "%", "0.31 %"},
		{150, "MB", "150 MB"},
	} {
		if got := number(c.value, c.unit); got != c.want {
			t.Errorf("%g %s is written %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestQuantilesAreValuesThatOccurred(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(99-i))
	}
	if median(hundred) != 50 || quantile(hundred, 0.99) != 99 || quantile(hundred, 1) != 99 || median([]float64{7}) != 7 || hundred[0] != 99 {
		t.Errorf("%g %g %g", median(hundred), quantile(hundred, 0.99), quantile(hundred, 1))
	}
}

func TestTheTableSaysWhatIsMissedAndHowOthersDo(t *testing.T) {
	rows := []row{
		{name: "x", what: "bans", unit: "s", goal: 1, tool: "tool", times: 10, title: "a tool"},
		{name: "y", what: "bytes", unit: "MB", goal: -1, times: 1},
		{name: "z", what: "nobody measured", goal: 1, times: 1},
	}
	results := compare(rows, []sample{{"x", "nft", 0.5}, {"x", "ipset", 2}, {"tool", "", 3}, {"y", "nft", 8}})
	var text strings.Builder
	if err := printTable(&text, machine{Kernel: "6.1", Cores: 2}, results); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"bans nft 500 ms ≤ 1 s met a tool 30 s 60×",
		"bans ipset 2 s ≤ 1 s MISSED a tool 30 s 15×",
		"bytes nft 8 MB",
	}
	if got := lines[3:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text.Reset()
	if err := printJSON(&text, machine{}, results); err != nil {
		t.Fatal(err)
	}
	var back struct{ Results []result }
	if err := json.Unmarshal([]byte(text.String()), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Results) != 3 || *back.Results[1].Met || *back.Results[0].Ratio != 60 || back.Results[2].Goal != nil {
		t.Errorf("as JSON it is %s", &text)
	}
}
