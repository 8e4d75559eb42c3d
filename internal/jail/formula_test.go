package jail_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/oracle"
)

func half() float64 { return 0.5 }

func TestFormulaComputesAsPython(t *testing.T) {
	vars := jail.Vars{Time: 600 * time.Second, Count: 3, Factor: 1.5}
	for _, c := range []struct {
		formula string
		want    float64
	}{
		{"ban.Time", 600},
		{"ban.Count", 3},
		{"banFactor", 1.5},
		{"ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor", 7200},
		{"ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", 600 * math.Exp(4.5)},
		{" 1 + 2 * 3 ", 7},
		{"(1 + 2) * 3", 9},
		{"2 ** 3 ** 2", 512},
		{"-2 ** 2", -4},
		{"2 ** -1", 0.5},
		{"- -3", 3},
		{"~5", -6},
		{"7 // 2", 3},
		{"-7 // 2", -4},
		{"7 // -2", -4},
		{"-7 % 3", 2},
		{"7 % -3", -2},
		{"7.5 // 2", 3},
		{"-7.5 % 2", 0.5},
		{"7 / 2", 3.5},
		{"1 << 10 >> 2", 256},
		{"6 & 3 | 8 ^ 1", 11},
		{"1 if 0 else 2 if 0 else 3", 3},
		{"1 < 2 < 3", 1},
		{"1 < 3 < 2", 0},
		{"1 == 1.0 != 2 >= 2 <= 2", 1},
		{"3 > 2 and 5", 5},
		{"0 and 5", 0},
		{"0 or 7", 7},
		{"7 or 1/0", 7},
		{"0 and 1/0", 0},
		{"not 0 and not not 1", 1},
		{"not 1 == 2", 1},
		{"True + True", 2},
		{"False", 0},
		{"int(2.9) + int(-2.9)", 0},
		{"round(2.5) + round(3.5)", 6},
		{"round(2.675, 1)", 2.7},
		{"round(1234, -2)", 1200},
		{"min(3, 1, 2) + max(1, 2)", 3},
		{"abs(-3) + abs(2.5)", 5.5},
		{"pow(2, 10)", 1024},
		{"bool(3)", 1},
		{"math.floor(-1.5) + math.ceil(-1.5) + math.trunc(1.9)", -2},
		{"math.sqrt(16) + math.pow(2, 3)", 12},
		{"math.log(math.e) + math.log(8, 2) + math.log2(8) + math.log10(100)", 9},
		{"math.cos(math.pi)", -1},
		{"1e3 + 1.5E-1 + .5 + 2. + 1_000", 2002.65},
		{"random.random() * 10", 5},
		{"random.uniform(10, 20)", 15},
		{"random.randint(1, 6)", 4},
		{"9223372036854775807 + 1", 9223372036854775808},
		{"-9223372036854775807 - 2", -9223372036854775809},
		{"9223372036854775807 * 4", 4 * 9223372036854775807},
		{"3 ** 100", math.Pow(3, 100)},
		{"1 << 100", math.Ldexp(1, 100)},
		{"1 << 63", math.Ldexp(1, 63)},
		{"-1 << 63", -math.Ldexp(1, 63)},
		{"-1 >> 100", -1},
		{"123456789012345678901234567890", 123456789012345678901234567890},
		{"1e999", math.Inf(1)},
		{"math.exp(1000)", math.Inf(1)},
		{"1 << 1000000000", math.Inf(1)},
		{"math.inf - math.inf == 0", 0},
		{"int(1e300) > 1", 1},
		{"0 ** 0 + 10 ** 18 * 9", 9e18 + 1},
		{"round(ban.Count, 400) + round(2.5, -400)", 3},
		{"round(2.5, 400)", 2.5},
		{"round(7.0, -1)", 10},
	} {
		t.Run(c.formula, func(t *testing.T) {
			f, err := jail.ParseFormula(c.formula)
			if err != nil {
				t.Fatal(err)
			}
			if f.String() != c.formula {
				t.Errorf("String() = %q", f)
			}
			got, err := f.Eval(vars, half)
			if err != nil || got != c.want && math.Abs(got-c.want) > 1e-12*math.Abs(c.want) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestFormulaIsRefusedWhereItIsWrong(t *testing.T) {
	for _, c := range []struct {
		formula string
		offset  int
		msg     string
	}{
		{"", 0, "expected a number"},
		{"1 +", 3, "expected a number"},
		{"(1", 2, `expected ")"`},
		{"1)", 1, `unexpected ")"`},
		{"1 2", 2, `unexpected "2"`},
		{"1 if 2", 6, `expected "else"`},
		{"foo", 0, `unknown name "foo"`},
		{"1 + ban.time", 4, `unknown name "ban.time"`},
		{"ban", 0, `unknown name "ban"`},
		{"ban.", 4, "expected a name"},
		{"eval(1)", 0, `unknown function "eval"`},
		{"math.system(1)", 0, `unknown function "math.system"`},
		{"__import__", 0, `unknown name "__import__"`},
		{"ban.Time.__class__", 8, `unexpected "."`},
		{"ban.Time[0]", 8, `unexpected "["`},
		{"'text'", 0, `unexpected "'"`},
		{"lambda: 1", 6, `unexpected ":"`},
		{"lambda", 0, `unknown name "lambda"`},
		{"1 := 2", 2, `unexpected ":"`},
		{"é", 0, `unexpected "é"`},
		{"max(1)", 0, "max takes at least 2 arguments, not 1"},
		{"abs()", 0, "abs takes 1 argument, not 0"},
		{"pow(1)", 0, "pow takes 2 arguments, not 1"},
		{"round(1, 2, 3)", 0, "round takes 1 to 2 arguments, not 3"},
		{"max(1,", 6, "expected a number"},
		{"max(1 2)", 6, `expected ")"`},
		{"1 << 2.0", 2, "<< wants whole numbers"},
		{"ban.Time >> 1 / 1", 9, ">> wants whole numbers"},
		{"1.5 & 1", 4, "& wants whole numbers"},
		{"~1.5", 0, "~ wants a whole number"},
		{"round(1, 0.5)", 0, "round wants a whole number"},
		{"random.randint(0.5, 1)", 0, "randint wants whole numbers"},
		{"010", 0, `"010" is no number`},
		{"1__0", 0, `"1__0" is no number`},
		{"1_", 0, `"1_" is no number`},
		{"1x", 0, `"1" is no number`},
		{"if", 0, `unexpected "if"`},
		{"1 + not 2", 4, `unexpected "not"`},
		{strings.Repeat("(", 65) + "1" + strings.Repeat(")", 65), 32, "nested deeper than 64"},
		{strings.Repeat("-", 65) + "1", 63, "nested deeper than 64"},
		{strings.Repeat("not ", 65) + "1", 252, "nested deeper than 64"},
		{strings.Repeat("1+", 200) + "1", 255, "more than 256 operands"},
		{strings.Repeat(" ", 1025), 1024, "longer than 1024 bytes"},
	} {
		t.Run(fmt.Sprintf("%.30s", c.formula), func(t *testing.T) {
			f, err := jail.ParseFormula(c.formula)
			var fe *jail.FormulaError
			if !errors.As(err, &fe) {
				t.Fatalf("got %v, %v", f, err)
			}
			if fe.Offset != c.offset || !strings.Contains(fe.Msg, c.msg) {
				t.Errorf("at %d: %s; want at %d: %s", fe.Offset, fe.Msg, c.offset, c.msg)
			}
			if want := fmt.Sprintf("column %d: ", fe.Offset+1); !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		})
	}
}

func TestFormulaFailsOnValuesThatArithmeticRefuses(t *testing.T) {
	for _, c := range []struct{ formula, msg string }{
		{"1 / (ban.Count - 9)", "division by zero"},
		{"1 // (ban.Count - 9)", "division by zero"},
		{"1.5 % (ban.Count - 9)", "division by zero"},
		{"1 << (ban.Count - 10)", "negative shift count"},
		{"(ban.Count - 9) ** -1", "0 has no negative power"},
		{"(ban.Count - 10) ** 0.5", "a negative number has no fractional power"},
		{"math.log(ban.Count - 9)", "math.log is not defined"},
		{"math.log(2, ban.Count - 8)", "a logarithm to the base 1"},
		{"math.log(2, ban.Count - 9)", "math.log is not defined"},
		{"math.log2(ban.Count - 9)", "math.log2 is not defined"},
		{"math.log1p(ban.Count - 10)", "math.log1p is not defined"},
		{"math.sqrt(ban.Count - 10)", "math.sqrt is not defined"},
		{"math.asin(ban.Count)", "math.asin is not defined"},
		{"int(math.nan if ban.Count == 9 else 1)", "int of what is not a number"},
		{"random.randint(9, 10 - ban.Count)", "from the larger to the smaller"},
	} {
		t.Run(c.formula, func(t *testing.T) {
			f, err := jail.ParseFormula(c.formula)
			if err != nil {
				t.Fatal(err)
			}
			v, err := f.Eval(jail.Vars{Time: time.Minute, Count: 9, Factor: 1}, half)
			if err == nil || !strings.Contains(err.Error(), c.msg) {
				t.Errorf("got %v, %v; want an error with %q", v, err, c.msg)
			}
		})
	}
}

// formulaScript computes formulas as fail2ban does it: by Python's eval.
const formulaScript = `
import json, math, sys
class Ban:
    def __init__(self, time, count): self.Time, self.Count = time, count
def one(formula, time, count, factor):
    try:
        v = eval(formula, {"math": math, "ban": Ban(time, count), "banFactor": factor})
        return {"value": "complex" if isinstance(v, complex) else repr(float(v))}
    except Exception as e:
        return {"error": type(e).__name__}
print(json.dumps([one(*q) for q in json.load(sys.stdin)]))
`

// TestRandomFormulasComputeAsInPython compares thousands of formulas with what eval makes of them.
// What Python refuses as too large is infinite here.
func TestRandomFormulasComputeAsInPython(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var questions [][4]any
	for range 6000 {
		factor := any(r.IntN(4))
		if r.IntN(2) == 0 {
			factor = float64(r.IntN(8)) / 4
		}
		questions = append(questions, [4]any{randomFormula(r, 4), r.IntN(1000), r.IntN(25), factor})
	}
	input, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct{ Value, Error string }
	oracle.JSON(t, formulaScript, input, &answers)
	values := 0
	for i, q := range questions {
		a := answers[i]
		var factor float64
		switch v := q[3].(type) {
		case int:
			factor = float64(v)
		case float64:
			factor = v
		}
		f, err := jail.ParseFormula(q[0].(string))
		if err != nil {
			// Types that fit only for some values are refused here and now.
			if a.Error == "" && !strings.Contains(err.Error(), "wants whole numbers") {
				t.Errorf("%v: %v; Python: %+v", q, err, a)
			}
			continue
		}
		got, err := f.Eval(jail.Vars{Time: time.Duration(q[1].(int)) * time.Second, Count: q[2].(int), Factor: factor}, half)
		switch {
		case a.Error == "OverflowError" || a.Value == "complex":
		case a.Error == "TypeError" && factor == math.Trunc(factor):
			// A whole factor is whole here, however it was written.
		case a.Error != "":
			if err == nil {
				t.Errorf("%v = %v; Python: %s", q, got, a.Error)
			}
		default:
			var want float64
			fmt.Sscan(a.Value, &want)
			if err != nil || got != want && !(math.Abs(got-want) <= 1e-9*math.Abs(want)) && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("%v = %v, %v; Python: %v", q, got, err, want)
			}
			values++
		}
	}
	if values < 3000 {
		t.Errorf("only %d of the formulas had a value", values)
	}
}

func randomFormula(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(8) == 0 {
		atoms := []string{"ban.Time", "ban.Count", "banFactor", "0", "1", "2", "3", "7", "20", "0.5", "1.5", "2.0", "1e2", "math.pi", "True"}
		return atoms[r.IntN(len(atoms))]
	}
	sub := func() string { return randomFormula(r, depth-1) }
	switch r.IntN(12) {
	case 0:
		return "(" + sub() + ")"
	case 1:
		return "(" + []string{"-", "+", "not "}[r.IntN(3)] + "(" + sub() + "))"
	case 2:
		return "(" + sub() + " if " + sub() + " else " + sub() + ")"
	case 3:
		return "(" + sub() + []string{" < ", " <= ", " == ", " != ", " > ", " >= "}[r.IntN(6)] + sub() + ")"
	case 4:
		return "(" + sub() + []string{" and ", " or "}[r.IntN(2)] + sub() + ")"
	case 5:
		return []string{"abs", "int", "float", "round", "bool", "math.floor", "math.ceil", "math.sqrt", "math.log", "math.atan"}[r.IntN(10)] + "(" + sub() + ")"
	case 6:
		return []string{"min", "max"}[r.IntN(2)] + "(" + sub() + ", " + sub() + ")"
	case 7:
		return "(" + sub() + []string{" << ", " >> ", " ** "}[r.IntN(3)] + []string{"0", "1", "2", "3"}[r.IntN(4)] + ")"
	default:
		return sub() + []string{" + ", " - ", " * ", " / ", " // ", " % "}[r.IntN(6)] + sub()
	}
}

func TestFactorIsANumberOrArithmetic(t *testing.T) {
	for text, want := range map[string]float64{"": 1, " ": 1, "2": 2, "1.33": 1.33, "2.0 / 2.885385": 2.0 / 2.885385, "-1": -1, "math.sqrt(4)": 2} {
		if got, err := jail.ParseFactor(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "ban.Count", "1/0", "1e999", "math.nan", "2,5"} {
		if got, err := jail.ParseFactor(text); err == nil {
			t.Errorf("%q: %v; want an error", text, got)
		}
	}
}

func TestMultipliersAreWholeNumbers(t *testing.T) {
	got, err := jail.ParseMultipliers(" 1 5  30\t60 ")
	if err != nil || fmt.Sprint(got) != "[1 5 30 60]" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := jail.ParseMultipliers(""); err != nil || got != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	for _, text := range []string{"1.5", "1,2", "x", strings.Repeat("1 ", 1025)} {
		if got, err := jail.ParseMultipliers(text); err == nil {
			t.Errorf("%.10q: %v; want an error", text, got)
		}
	}
}

func FuzzFormula(f *testing.F) {
	for _, s := range []string{
		"ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor",
		"ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)",
		"round(random.uniform(1, 2), 3) if not ban.Count % 2 == 1 or 1 < 2 < 3 else -~5 ** -2 // .5",
	} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, count int) {
		formula, err := jail.ParseFormula(s)
		if err != nil {
			var fe *jail.FormulaError
			if !errors.As(err, &fe) || fe.Offset < 0 || fe.Offset > len(s) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		v, err := formula.Eval(jail.Vars{Time: time.Hour, Count: count, Factor: 1.5}, half)
		if w, err2 := formula.Eval(jail.Vars{Time: time.Hour, Count: count, Factor: 1.5}, half); (err == nil) != (err2 == nil) || v != w && !math.IsNaN(v) {
			t.Fatalf("%q: %v, %v and then %v, %v", s, v, err, w, err2)
		}
		// Whatever it gives, a ban lasts between nothing and for ever.
		b := jail.NewBook(jail.Config{Random: half})
		b.SetJail(jail.Policy{Jail: "j", MaxRetry: 1, FindTime: time.Hour, BanTime: time.Minute, Increment: jail.Increment{Enabled: true, Formula: formula}})
		b.Restore(jail.Snapshot{Histories: []jail.History{{Key: jail.Key{Jail: "j", ID: testID}, Count: count, Last: epoch}}}, epoch)
		for _, d := range b.Observe("j", jail.Failure{ID: testID}, epoch.Add(time.Hour)) {
			if d.Kind == jail.BanStart && d.Ban.Duration < time.Minute && d.Ban.Duration != jail.Permanent {
				t.Fatalf("%q: a ban of %v", s, d.Ban.Duration)
			}
		}
	})
}
